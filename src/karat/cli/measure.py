"""karat measure"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .. import measuring, runs
from ..catalog import metric_names
from ..store import load
from . import inputs, requirements, results, terminal


def _names(text: str) -> str | Sequence[str]:
    return text if text in ("quick", "all") else [name.strip() for name in text.split(",")]


def _check_names(_: Any, text: str) -> None:
    names = _names(text)
    if not isinstance(names, str):
        metric_names([*names, "lidar"], views=True)  # whether there are views is not known yet


def measure(
    embeddings: inputs.EmbeddingsPath,
    /,
    *,
    reference: inputs.Reference = None,
    views: Annotated[
        Path | None,
        Parameter(
            metavar="EMB",
            help="Embeddings of augmented views, for alignment and lidar: an id's rows are an image's views.",
        ),
    ] = None,
    metrics: Annotated[
        str,
        Parameter(
            metavar="NAMES",
            validator=_check_names,
            help="Metrics, separated by commas; quick leaves out coherence and CLID; all (karat catalog).",
        ),
    ] = "quick",
    epsilon: inputs.Epsilon = 4.0,
    lower: inputs.Lower = 50,
    upper: inputs.Upper = 95,
    over: inputs.OverChoice = "active",
    normalize: inputs.Normalize = False,
    halves: inputs.HalvesChoice = "auto",
    sample: Annotated[
        int,
        Parameter(
            metavar="N",
            converter=inputs.whole(at_least=2),
            help="Rows that metrics of pairs are computed on, at random.",
        ),
    ] = 5000,
    convergence: Annotated[
        bool, Parameter(show_default=False, help="Show each metric on n/16, n/8, n/4 and n/2 of the rows too.")
    ] = False,
    seed: inputs.Seed = 0,
    threads: inputs.Threads = None,
    run: inputs.AddTo = None,
    key: inputs.Key = None,
    column: inputs.Column = None,
    ids: inputs.Ids = None,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    if run is not None:
        runs.refuse_record(run, "metrics", overwrite=overwrite)
    emb = load(embeddings, key=key, column=column, ids=ids)
    ref = inputs.read_reference(reference, embeddings, key, column)
    with terminal.progress("measuring"):
        result = measuring.measure(
            emb,
            reference=ref,
            views=inputs.read_reference(views, embeddings, key, column),
            metrics=_names(metrics),
            epsilon=epsilon,
            lower=lower,
            upper=upper,
            over=over,
            normalize=normalize,
            halves=inputs.halves_of(halves),
            sample=sample,
            convergence=convergence,
            seed=seed,
            threads=threads,
        )
    for warning in result.warnings:
        terminal.warn(warning)
    if run is not None:
        runs.add_record(run, result, overwrite=overwrite)
        terminal.say(f"-> {run}")
    results.show(result, as_json=json, require=require)
