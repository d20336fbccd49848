"""karat compare"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import CycloptsError, Parameter

from .. import comparison, runs
from . import inputs, requirements, results, terminal


def compare(
    *run: Annotated[Path, Parameter(help="Runs of two or more encoders on the same images, the first the base.")],
    by: Annotated[
        str, Parameter(metavar="SCORE", help="Score whose percentiles are kept for each sample.")
    ] = "q_score",
    names: Annotated[
        str | None, Parameter(metavar="NAMES", help="One for each run, separated by commas; by default its folder's.")
    ] = None,
    seed: inputs.Seed = 0,
    resamples: inputs.Resamples = 1000,
    out: Annotated[
        Path | None, Parameter(name=("-o", "--out"), metavar="RUN", help="Run folder that the result is added to.")
    ] = None,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    if len(run) < 2:
        raise CycloptsError(msg=f"karat compare needs two runs or more, but {len(run)} was given")
    if out is not None:
        runs.refuse_record(out, "comparison", overwrite=overwrite)
    with terminal.progress("comparing"):
        result = comparison.compare(
            *run, names=None if names is None else names.split(","), by=by, seed=seed, resamples=resamples
        )
    for warning in result.warnings:
        terminal.warn(warning)
    if out is not None:
        runs.add_record(out, result, overwrite=overwrite)
        terminal.say(f"-> {out}")
    results.show(result, as_json=json, require=require)
