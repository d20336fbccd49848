"""Score every sample: catalogue rows over embeddings, in one pass, streamed to Parquet where the set is large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ._array import as_float
from ._files import refuse_existing, scratch_folder
from ._version import version
from .catalog import DEFAULT_SCORES, score_names
from .embeddings import Embeddings, as_embeddings
from .errors import InputError, OutputError
from .health import Progress, Tally, WatchedRows
from .records import Provenance, Scores, Summary
from .sink import Distribution, Sink
from .spool import ActivationFiles, DiskSpool, MemorySpool
from .stats.activations import Activations, refuse_bad
from .stats.digest import Digest
from .stats.discriminative import Over
from .stats.halves import Halves
from .stats.neighbors import knn_similarity
from .stats.qscore import QScores, max_z_of, q_of, score_chunks, v1_of
from .stats.reference import Reference, fit_reference

# scores="all" leaves the neighbours out where there are more pairs than this: they would take hours.
_MOST_PAIRS = 10**10
# Neighbours of knn_similarity.
_NEIGHBORS = 20


def score(
    embeddings: Any,
    *,
    reference: Any = None,
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
    the scores are streamed to that Parquet file, and columns are read back from it when they are asked for.

    Args:
        embeddings: Embeddings, or any array-like [n, d].
        reference: the set that the discriminative features are fitted on; None: the embeddings themselves.
        scores: names from the catalogue, or "all".
        epsilon, lower, upper, over, normalize, halves: see `karat.stats.fit_reference`.
        seed: of epsilon="auto" and of the score `random`.
        on_bad_rows: "error" refuses rows with NaN or infinity, "drop" gives them null scores.
        threads: how many to use (default: KARAT_NUM_THREADS, else all).
        out: a Parquet file to write.
        keep_activations: also write activations/ and features.parquet beside `out`.
        overwrite: replace outputs that exist.
        progress: called with (rows done, rows in all).

    Returns:
        A `Scores` record: `.q_score` and the other names are arrays [n]; `.health.warnings` says what not to trust.

    Raises:
        InputError: unusable embeddings, parameters, or rows that are not finite (the first ids are listed).
        OutputError: `out` exists or cannot be written.

    >>> import numpy as np
    >>> h = np.random.default_rng(0).exponential(size=(200, 64)) ** 2
    >>> score(h, epsilon=3).q_score.shape
    (200,)
    """
    emb = as_embeddings(embeddings)
    ref = None if reference is None else as_embeddings(reference)
    names = _feasible(scores, emb, ref)
    target = _check_output(out, keep_activations=keep_activations, overwrite=overwrite)
    if on_bad_rows not in ("error", "drop"):
        raise InputError(f"on_bad_rows={on_bad_rows!r}, but 'error' or 'drop' is needed")
    drop = on_bad_rows == "drop"
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
        near = _neighbors(names, emb, ref, drop=drop)
        stack.enter_context(sink)
        tally, summary = _collect(chunks, emb, names, near=near, seed=seed, drop=drop, sink=sink, files=files)
        parameters = {"scores": list(names), **settings, "on_bad_rows": on_bad_rows}
        inputs = {"embeddings": fitted.digest if ref is None else digest.hexdigest(), "reference": fitted.digest}
        if files is not None:
            files.finish(fitted)
        provenance = Provenance("score", parameters, inputs, version())
        done = sink.finish(_record(provenance, names, fitted, tally, rows, summary))
        if files is not None:
            files.place()
        return done


def _collect(
    chunks: Iterable[tuple[Activations, QScores]],
    emb: Embeddings,
    names: Sequence[str],
    *,
    near: np.ndarray | None,
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
        columns = _columns(found, scored, random, None if near is None else near[start:stop], names)
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
    fitted: Reference,
    tally: Tally,
    rows: WatchedRows,
    summary: dict[str, Summary],
) -> Scores:
    """All but the columns."""
    return Scores(
        provenance=provenance,
        names=names,
        epsilon=fitted.epsilon,
        health=tally.health(rows, fitted),
        summary=summary,
        columns={},
        activation_share=fitted.share,
        discriminative=fitted.discriminative,
        lowest=tally.lowest,
    )


def _feasible(scores: str | Sequence[str], emb: Embeddings, ref: Embeddings | None) -> tuple[str, ...]:
    """The names asked for; of "all", without the neighbours where they are too few, or would take hours."""
    names = score_names(scores)
    m, others = (emb.n, emb.n - 1) if ref is None else (ref.n, ref.n)
    if isinstance(scores, str) and scores == "all" and (emb.n * m > _MOST_PAIRS or others < _NEIGHBORS):
        return tuple(name for name in names if name != "knn_similarity")
    return names


def _check_output(out: str | Path | None, *, keep_activations: bool, overwrite: bool) -> Path | None:
    if out is None:
        if keep_activations:
            raise InputError("keep_activations needs out: the activations are written beside the scores file")
        return None
    target = Path(out)
    refuse_existing(target, overwrite=overwrite)
    if target.suffix != ".parquet":
        raise InputError(
            f"{target} is no name for the scores, which are a Parquet file: {target.with_suffix('.parquet')}"
        )
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


def _neighbors(names: Sequence[str], emb: Embeddings, ref: Embeddings | None, *, drop: bool) -> np.ndarray | None:
    """knn_similarity of each sample where it is asked for; NaN for rows that are dropped."""
    if "knn_similarity" not in names:
        return None
    if not drop:
        return knn_similarity(emb.h, reference=None if ref is None else ref.h, k=_NEIGHBORS)
    rows = as_float(emb.h[0 : emb.n])
    good = np.isfinite(rows).all(axis=1)
    others = None if ref is None else as_float(ref.h[0 : ref.n])
    if others is not None:
        others = others[np.isfinite(others).all(axis=1)]
    near = np.full(emb.n, np.nan)
    near[good] = knn_similarity(rows[good], reference=others, k=_NEIGHBORS)
    return near


def _columns(
    found: Activations, scored: QScores, random: np.random.Generator, near: np.ndarray | None, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """The scores of a chunk by name; NaN in rows that are not finite."""
    values = {
        "q_score": scored.q_score,
        "q_score_v1": v1_of(found),
        "n_active": scored.active.astype(np.float64),
        "n_discriminative": scored.discriminative.astype(np.float64),
        "max_z": max_z_of(found),
        "l1_norm": found.l1,
        "l2_norm": found.l2,
        "random": random.random(len(found)),
    }
    if near is not None:
        values["knn_similarity"] = np.asarray(near, np.float64)
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
