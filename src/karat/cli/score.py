"""karat score"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from .. import scoring
from ..catalog import DEFAULT_SCORES, score_names
from ..embeddings import Embeddings
from ..store import load
from . import inputs, requirements, results, terminal


def _names(text: str) -> str | Sequence[str]:
    return "all" if text == "all" else [name.strip() for name in text.split(",")]


def _check_names(_: Any, text: str) -> None:
    score_names(_names(text))


# Of fewer rows the seconds are those of starting up.
_RATED_ROWS = 10_000


def score(
    embeddings: inputs.EmbeddingsPath,
    /,
    *,
    reference: inputs.Reference = None,
    views: Annotated[
        Path | None,
        Parameter(metavar="EMB", help="Embeddings of augmented views: the rows of one id are the views of a sample."),
    ] = None,
    ensemble: Annotated[
        list[Path] | None,
        Parameter(metavar="EMB", help="Embeddings of the same samples by another encoder; can be repeated."),
    ] = None,
    scores: Annotated[
        str,
        Parameter(metavar="NAMES", validator=_check_names, help="Scores, separated by commas, or all (karat catalog)."),
    ] = ",".join(DEFAULT_SCORES),
    epsilon: inputs.Epsilon = 4.0,
    lower: inputs.Lower = 50,
    upper: inputs.Upper = 95,
    over: inputs.OverChoice = "active",
    normalize: inputs.Normalize = False,
    halves: inputs.HalvesChoice = "auto",
    seed: inputs.Seed = 0,
    on_bad_rows: Annotated[
        Literal["error", "drop"], Parameter(help="Refuse rows with NaN or infinity, or give them null scores.")
    ] = "error",
    threads: inputs.Threads = None,
    out: Annotated[
        Path, Parameter(name=("-o", "--out"), metavar="FILE", help="Scores: .parquet, .csv or .arrow.")
    ] = Path("scores.parquet"),
    keep_activations: Annotated[
        bool, Parameter(show_default=False, help="Also write activations/ and features.parquet beside the scores.")
    ] = False,
    key: inputs.Key = None,
    column: inputs.Column = None,
    labels: inputs.Labels = None,
    ids: inputs.Ids = None,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    emb = load(embeddings, key=key, column=column, labels=labels, ids=ids)
    read = partial(inputs.read_reference, embeddings=embeddings, key=key, column=column)
    started = time.perf_counter()
    with terminal.progress("scoring") as progress:
        result = scoring.score(
            emb,
            reference=read(reference),
            views=read(views),
            ensemble=None if ensemble is None else [read(path) for path in ensemble],
            scores=_names(scores),
            epsilon=epsilon,
            lower=lower,
            upper=upper,
            over=over,
            normalize=normalize,
            halves=inputs.halves_of(halves),
            seed=seed,
            on_bad_rows=on_bad_rows,
            threads=threads,
            out=out,
            keep_activations=keep_activations,
            overwrite=overwrite,
            progress=progress,
        )
    for warning in result.health.warnings:
        terminal.warn(warning)
    terminal.say(f"{_speed(emb, time.perf_counter() - started)} -> {out}")
    results.show(result, as_json=json, require=require)


def _speed(emb: Embeddings, seconds: float) -> str:
    megabytes = emb.n * emb.d * emb.dtype.itemsize / 1e6
    rate = f" ({seconds / emb.n * 1e6:,.1f} s per million rows)" if emb.n >= _RATED_ROWS else ""
    return f"{emb.n:,} samples, {megabytes:,.1f} MB in {seconds:.2f} s{rate}"
