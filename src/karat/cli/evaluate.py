"""karat evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import evaluating, runs
from .._files import refuse_existing
from ..store import load
from . import inputs, requirements, results, terminal


def evaluate(
    scores: Annotated[
        Path, Parameter(help="Parquet file of karat score, of the samples that the probe was judged on.")
    ],
    run: Annotated[Path, Parameter(help="Run folder with a probe; scores and evaluation are added to it.")],
    /,
    *,
    embeddings: Annotated[
        Path | None,
        Parameter(metavar="EMB", help="Embeddings of the samples, with labels: adds R-AUROC (nearest neighbours)."),
    ] = None,
    seed: inputs.Seed = 0,
    resamples: inputs.Resamples = 1000,
    key: inputs.Key = None,
    column: inputs.Column = None,
    labels: inputs.Labels = None,
    ids: inputs.Ids = None,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    runs.refuse_record(run, "evaluation", overwrite=overwrite)
    scored = inputs.read_scores(scores)
    found = runs.open_run(run)
    known = found.records.get("scores") == scored
    own = runs.columns_path(run, "scores")
    if not known and own.resolve() != scores.resolve():
        refuse_existing(own, overwrite=overwrite)
    emb = None if embeddings is None else load(embeddings, key=key, column=column, labels=labels, ids=ids)
    with terminal.progress("evaluating"):
        result = evaluating.evaluate(scored, inputs.read_probe(found), embeddings=emb, seed=seed, resamples=resamples)
    if not known:
        runs.add_record(run, scored, overwrite=overwrite)
    runs.add_record(run, result, overwrite=overwrite)
    for warning in result.warnings:
        terminal.warn(warning)
    terminal.say(f"-> {run}")
    results.show(result, as_json=json, require=require)
