"""karat select"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import runs, selecting
from .._files import refuse_existing
from ..records.files import check_name
from ..store import load
from . import inputs, requirements, results, terminal


def select(
    scores: inputs.ScoresPath,
    /,
    *,
    budget: Annotated[
        int, Parameter(metavar="N", converter=inputs.whole(at_least=1), help="How many samples to propose.")
    ] = 500,
    embeddings: Annotated[
        Path | None, Parameter(metavar="EMB", help="Embeddings of the samples, for diverse and mixed.")
    ] = None,
    strategy: Annotated[
        selecting.Strategy,
        Parameter(help="The lowest scores; samples that cover the set; or samples that cover the lowest ones."),
    ] = "score",
    by: Annotated[str, Parameter(metavar="SCORE", help="Score whose low values are wanted.")] = "q_score",
    seed: inputs.Seed = 0,
    out: Annotated[
        Path,
        Parameter(
            name=("-o", "--out"), metavar="FILE", help="List to write: .csv, .parquet, .arrow, or .txt (ids only)."
        ),
    ] = Path("selection.csv"),
    run: inputs.AddTo = None,
    key: inputs.Key = None,
    column: inputs.Column = None,
    ids: inputs.Ids = None,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    refuse_existing(out, overwrite=overwrite)
    check_name(out)
    if run is not None:
        runs.refuse_record(run, "selection", overwrite=overwrite)
    emb = None if embeddings is None else load(embeddings, key=key, column=column, ids=ids)
    with terminal.progress("selecting"):
        result = selecting.select(
            inputs.read_scores(scores), budget=budget, embeddings=emb, strategy=strategy, by=by, seed=seed
        )
    for warning in result.warnings:
        terminal.warn(warning)
    result.write(out)
    terminal.say(f"{result.budget:,} ids -> {out}")
    if run is not None:
        runs.add_record(run, result, overwrite=overwrite)
        terminal.say(f"-> {run}")
    results.show(result, as_json=json, require=require)
