"""karat evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import evaluating, runs
from ..errors import InputError
from ..records import ProbeResult, Scores
from . import inputs, terminal


def evaluate(
    scores: Path,
    run: Path,
    *,
    seed: inputs.Seed = 0,
    resamples: Annotated[int, Parameter(help="Bootstrap resamples behind each interval.")] = 1000,
    overwrite: terminal.Overwrite = False,
    json: terminal.Json = False,
    require: terminal.Require = None,
) -> None:
    """Do the scores in SCORES (a Parquet file of karat score) predict the errors of the probe in RUN?"""
    runs.refuse_record(run, "evaluation", overwrite=overwrite)
    scored = runs.load_record(scores)
    if not isinstance(scored, Scores):
        raise InputError(f"{scores} holds a {scored.kind} record, but scores are needed: make them with karat score")
    found = runs.open_run(run)
    probe = found.records.get("probe")
    if not isinstance(probe, ProbeResult):
        why = found.damaged.get("probe", "karat probe TRAIN VAL -o RUN makes one")
        raise InputError(f"{run} holds no probe: {why}")
    result = evaluating.evaluate(scored, probe, seed=seed, resamples=resamples)
    if found.records.get("scores") != scored:
        runs.add_record(run, scored, overwrite=overwrite)
    runs.add_record(run, result, overwrite=overwrite)
    terminal.show(result, as_json=json, require=require)
