"""karat score"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from .. import catalog, scoring
from . import inputs, terminal


def score(
    embeddings: Path,
    *,
    reference: inputs.Reference = None,
    scores: Annotated[str, Parameter(help="Scores, separated by commas, or all (karat catalog).")] = ",".join(
        catalog.DEFAULT_SCORES
    ),
    epsilon: inputs.Epsilon = 4.0,
    lower: inputs.Lower = 50,
    upper: inputs.Upper = 95,
    over: inputs.OverChoice = "active",
    normalize: inputs.Normalize = False,
    halves: inputs.HalvesChoice = "auto",
    seed: inputs.Seed = 0,
    on_bad_rows: Annotated[
        Literal["error", "drop"], Parameter(help="Rows with NaN or infinity: refuse them, or give them null scores.")
    ] = "error",
    threads: inputs.Threads = None,
    keep_activations: Annotated[
        bool, Parameter(negative="", help="Also write activations/ and features.parquet beside the scores.")
    ] = False,
    out: Annotated[Path, Parameter(name=("-o", "--out"), help="Scores file.")] = Path("scores.parquet"),
    key: inputs.Key = None,
    column: inputs.Column = None,
    labels: inputs.Labels = None,
    ids: inputs.Ids = None,
    overwrite: terminal.Overwrite = False,
    json: terminal.Json = False,
    require: terminal.Require = None,
) -> None:
    """Score every sample of EMBEDDINGS without labels: which ones does the encoder represent badly?

    EMBEDDINGS is an .npy, .npz, .safetensors, .pt, .parquet or .arrow file, or an .emb folder.
    """
    emb = inputs.read(embeddings, key, column, labels, ids)
    started = time.perf_counter()
    with terminal.progress("scoring") as progress:
        result = scoring.score(
            emb,
            reference=None if reference is None else inputs.read(reference, key, column),
            scores="all" if scores == "all" else [name.strip() for name in scores.split(",")],
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
    seconds = time.perf_counter() - started
    for warning in result.health.warnings:
        terminal.warn(warning)
    size = emb.n * emb.d * emb.dtype.itemsize
    terminal.say(
        f"{emb.n:,} samples, {size / 1e6:,.0f} MB in {seconds:.2f} s ({seconds / emb.n * 1e6:.2f} s per million rows) "
        f"-> {os.fspath(out)}"
    )
    terminal.show(result, as_json=json, require=require)
