"""karat evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import evaluating, runs
from .._files import refuse_existing
from ..errors import InputError
from ..records import ProbeResult, Scores
from . import inputs, requirements, results, terminal


def evaluate(
    scores: Annotated[
        Path, Parameter(help="Parquet file of karat score, of the samples that the probe was judged on.")
    ],
    run: Annotated[Path, Parameter(help="Run folder with a probe; scores and evaluation are added to it.")],
    /,
    *,
    seed: inputs.Seed = 0,
    resamples: Annotated[
        int,
        Parameter(metavar="N", converter=inputs.whole(at_least=1), help="Bootstrap resamples behind each interval."),
    ] = 1000,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    runs.refuse_record(run, "evaluation", overwrite=overwrite)
    scored = _scores(scores)
    found = runs.open_run(run)
    known = found.records.get("scores") == scored
    own = runs.columns_path(run, "scores")
    if not known and own.resolve() != scores.resolve():
        refuse_existing(own, overwrite=overwrite)
    with terminal.progress("evaluating"):
        result = evaluating.evaluate(scored, _probe(found), seed=seed, resamples=resamples)
    if not known:
        runs.add_record(run, scored, overwrite=overwrite)
    runs.add_record(run, result, overwrite=overwrite)
    terminal.say(f"-> {run}")
    results.show(result, as_json=json, require=require)


def _scores(path: Path) -> Scores:
    record = runs.load_record(path)
    if not isinstance(record, Scores):
        raise InputError(f"{path} holds a {record.kind} record, but scores are needed: make them with karat score")
    return record


def _probe(run: runs.Run) -> ProbeResult:
    record = run.records.get("probe")
    if not isinstance(record, ProbeResult):
        why = run.damaged.get("probe", "karat probe TRAIN VAL -o RUN makes one")
        raise InputError(f"{run.path} holds no probe: {why}")
    return record
