"""Score every sample: catalogue rows over embeddings, in one pass, streamed to Parquet where the set is large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .._files import refuse_existing, scratch_folder
from .._version import version
from ..catalog import DEFAULT_SCORES
from ..embeddings import Embeddings, as_embeddings
from ..errors import InputError, OutputError
from ..health import Progress, Tally, WatchedRows
from ..records import Health, Provenance, Scores, Summary
from ..records.files import TABLES, check_name
from ..sink import Distribution, Sink
from ..spool import ActivationFiles, DiskSpool, MemorySpool
from ..stats.activations import Activations, refuse_bad
from ..stats.digest import Digest
from ..stats.discriminative import Over
from ..stats.halves import Halves
from ..stats.profile import max_z_of, sparsity_of
from ..stats.qscore import QScores, q_of, score_chunks, v1_of
from ..stats.reference import Reference, fit_reference
from .families import Sources, Values
from .joined import Companions, join
from .needs import SETTINGS, Given, possible
from .panel import Panel

__all__ = ["score"]


def score(
    embeddings: Any,
    *,
    reference: Any = None,
    views: Any = None,
    ensemble: Sequence[Any] | None = None,
    scores: str | Sequence[str] = DEFAULT_SCORES,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
    on_bad_rows: Literal["error", "drop"] = "error",
    threads: int | None = None,
    out: str | Path | None = None,
    keep_activations: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Scores:
    """Score every sample without labels; higher = better represented.

    Reads the embeddings once (twice where the features are signed), in memory that does not grow with n: with `out`,
    the scores are streamed to that Parquet file, and columns are read back from it when they are asked for. Scores that
    rest on neighbours, clusters, principal components, views or other encoders take another reading, and what they are
    fitted on (at most 10,000 rows of the reference) is held in memory; so are views and encoders whose rows are in
    another order. Each is also a function, `karat.stats.NAME`: its docstring has the formula. Here they have their
    defaults, which the record names.

    Args:
        embeddings: Embeddings, or any array-like [n, d].
        reference: the set that the discriminative features are fitted on, and that neighbours, clusters and components
            are those of; None: the embeddings themselves.
        views: augmented views of the samples: an array [n, v views, d], or Embeddings in which the rows of one id are
            the views of one sample. They may hold other samples too.
        ensemble: Embeddings or arrays of the same samples by other encoders; they join by id, and by row where the
            samples or the encoder have no ids. Neighbours across encoders are sought among the samples themselves.
        scores: names from the catalogue, or "all": those whose needs are met (`.left_out` says what the others need).
        epsilon, lower, upper, over, normalize, halves: of the Q-Score, see `karat.stats.fit_reference`.
        seed: of epsilon="auto", of the score `random`, and of all that is sampled or fitted.
        on_bad_rows: "error" refuses rows with NaN or infinity, and samples that the views or an encoder lack; "drop"
            gives them null scores (of views and ensemble only, where it is these that lack them).
        threads: how many to use (default: KARAT_NUM_THREADS, else all).
        out: a file to write: .parquet, which holds the record too, is streamed, and is what karat reads; .csv and
            .arrow are for other programs (see `Scores.write`), and their columns wait in memory.
        keep_activations: also write activations/ and features.parquet beside `out`.
        overwrite: replace outputs that exist.
        progress: called with (rows done, rows in all).

    Returns:
        A `Scores` record: `.q_score` and the other names are arrays [n]; `.health.warnings` says what not to trust.

    Raises:
        InputError: unusable embeddings, parameters, or rows that are not finite (the first ids are listed); a score
            whose needs are not met.
        OutputError: `out` exists or cannot be written.

    >>> import numpy as np
    >>> h = np.random.default_rng(0).exponential(size=(200, 64)) ** 2
    >>> score(h, epsilon=3).q_score.shape
    (200,)
    """
    emb = as_embeddings(embeddings)
    ref = None if reference is None else as_embeddings(reference)
    target = _check_output(out, keep_activations=keep_activations, overwrite=overwrite)
    if on_bad_rows not in ("error", "drop"):
        raise InputError(f"on_bad_rows={on_bad_rows!r}, but 'error' or 'drop' is needed")
    drop = on_bad_rows == "drop"
    joined = join(emb, views, ensemble, drop=drop)
    names, left_out = possible(scores, _given(emb, ref, joined))
    settings: dict[str, Any] = {"epsilon": epsilon, "lower": lower, "upper": upper, "over": over}
    settings |= {"normalize": normalize, "halves": halves, "seed": seed}
    with ExitStack() as stack:
        rows = WatchedRows(emb.h, progress)
        sink = Sink(target, _known_columns(emb, names))
        spool = stack.enter_context(_spool(target)) if ref is None else None
        files = (
            stack.enter_context(ActivationFiles(target.parent, overwrite=overwrite))
            if target is not None and keep_activations
            else None
        )
        source, ids, name = (rows, emb.ids, "h") if ref is None else (ref.h, ref.ids, "reference")
        fitted = fit_reference(source, **settings, drop_bad=drop, threads=threads, spool=spool, ids=ids, name=name)
        digest = Digest(rows.shape, rows.dtype)
        chunks = (
            score_chunks(rows, fitted, threads=threads, digest=digest)
            if spool is None
            else ((found, q_of(found, fitted.discriminative)) for found in spool)
        )
        sources = Sources(emb.h, None if ref is None else ref.h, fitted, joined, seed, drop, threads)
        panel = Panel(sources, names, progress=progress if ref is None else None)
        stack.enter_context(sink)
        tally, summary = _collect(chunks, emb, names, panel, seed=seed, drop=drop, sink=sink, files=files)
        parameters = {"scores": list(names), **settings, "on_bad_rows": on_bad_rows} | _computed_with(names)
        inputs = {"embeddings": fitted.digest if ref is None else digest.hexdigest(), "reference": fitted.digest}
        if files is not None:
            files.finish(fitted)
        provenance = Provenance("score", parameters, inputs | joined.digests, version())
        health = tally.health(rows, fitted)
        health = replace(health, warnings=(*health.warnings, *joined.notes))
        done = sink.finish(_record(provenance, names, left_out, fitted, tally.lowest, health, summary))
        if files is not None:
            files.place()
        return done


def _given(emb: Embeddings, ref: Embeddings | None, joined: Companions) -> Given:
    widths = (emb.d, *(member.shape[1] for member in joined.ensemble))
    return Given(emb.n, emb.n if ref is None else ref.n, ref is None, joined.views is not None, widths)


def _computed_with(names: Sequence[str]) -> dict[str, Any]:
    """The settings of the scores that have some."""
    settings = {name: SETTINGS[name] for name in names if name in SETTINGS}
    return {"settings": settings} if settings else {}


def _collect(
    chunks: Iterable[tuple[Activations, QScores]],
    emb: Embeddings,
    names: Sequence[str],
    panel: Panel,
    *,
    seed: int,
    drop: bool,
    sink: Sink,
    files: ActivationFiles | None,
) -> tuple[Tally, dict[str, Summary]]:
    """Send the scores of all chunks to the sink, their activations to the files; count them, and sum each score up.

    Raises:
        InputError: rows that are not finite, unless they are to be dropped.
    """
    known, tally, random, start = _known_columns(emb, names), Tally(), np.random.default_rng(seed), 0
    distributions = {name: Distribution(emb.n) for name in names}
    for found, scored in chunks:
        if not drop:
            refuse_bad(found.bad, start, emb.ids)
        stop = start + len(found)
        columns = _columns(found, scored, random, panel.take(len(found)), names, emb.d)
        for name, values in columns.items():
            distributions[name].add(start, values)
        samples = {"id": np.arange(start, stop)} | {name: values[start:stop] for name, values in known.items()}
        tally.add(found, scored, samples["id"])
        sink.append(samples | columns)
        if files is not None:
            files.append(found)
        start = stop
    return tally, {name: distribution.summary() for name, distribution in distributions.items()}


def _record(
    provenance: Provenance,
    names: tuple[str, ...],
    left_out: dict[str, str],
    fitted: Reference,
    lowest: tuple[tuple[Any, float], ...],
    health: Health,
    summary: dict[str, Summary],
) -> Scores:
    """All but the columns."""
    return Scores(
        provenance=provenance,
        names=names,
        epsilon=fitted.epsilon,
        health=health,
        summary=summary,
        columns={},
        activation_share=fitted.share,
        discriminative=fitted.discriminative,
        lowest=lowest,
        left_out=left_out,
    )


def _check_output(out: str | Path | None, *, keep_activations: bool, overwrite: bool) -> Path | None:
    if out is None:
        if keep_activations:
            raise InputError("keep_activations needs out: the activations are written beside the scores file")
        return None
    target = Path(out)
    refuse_existing(target, overwrite=overwrite)
    check_name(target, "scores", among=TABLES)
    if keep_activations and target.suffix != ".parquet":
        raise InputError(f"keep_activations needs scores in a Parquet file beside them: {target.stem}.parquet")
    if not target.parent.is_dir():
        raise OutputError(f"{target} could not be written: there is no folder {target.parent}")
    return target


@contextmanager
def _spool(target: Path | None) -> Iterator[MemorySpool | DiskSpool]:
    """Memory, or a file beside the output that is always removed."""
    if target is None:
        yield MemorySpool()
        return
    with scratch_folder(target) as folder, closing(DiskSpool(folder / "activations", target)) as spool:
        yield spool


def _columns(
    found: Activations, scored: QScores, random: np.random.Generator, others: Values, names: Sequence[str], d: int
) -> Values:
    """The scores of a chunk by name; NaN in rows that are not finite."""
    values = {
        "q_score": scored.q_score,
        "q_score_halves": scored.q_score,  # where they are not halves, the panel has it
        "q_score_v1": v1_of(found),
        "n_active": scored.active.astype(np.float64),
        "n_discriminative": scored.discriminative.astype(np.float64),
        "max_z": max_z_of(found),
        "l1_norm": found.l1,
        "l2_norm": found.l2,
        "sparsity": sparsity_of(found, d),
        "random": random.random(len(found)),
    } | others
    return {name: np.where(found.bad, np.nan, values[name]) for name in names}


def _known_columns(emb: Embeddings, names: Sequence[str]) -> dict[str, np.ndarray]:
    """ids, labels and extra columns, those that there are.

    Raises:
        InputError: an extra column has the name of a score.
    """
    for name in emb.extra:
        if name in names:
            raise InputError(
                f"the column {name!r} has the name of a score: rename it, or leave that score out (scores=)"
            )
    columns = {"id": emb.ids, "label": emb.labels, **emb.extra}
    return {name: values for name, values in columns.items() if values is not None}
