"""karat calibrate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .. import calibration, runs
from ..joining import keys_of
from ..store import read_column
from . import inputs, requirements, results, terminal

_TABLES = (".csv", ".parquet")
_WORDS = {"": None, "1": 1, "0": 0, "true": 1, "false": 0}


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def calibrate(
    scores: inputs.ScoresPath,
    /,
    *,
    labels: Annotated[
        str,
        Parameter(
            metavar="RUN|FILE",
            help=(
                "Which samples are right: a run with a probe; or a .csv[:COLUMN] or .parquet[:COLUMN] with the columns "
                "id and correct (1 or 0); or a .npy or .txt with one value a sample, in the order of the scores."
            ),
        ),
    ],
    using: Annotated[str, Parameter(metavar="NAMES", help="Scores to learn from, separated by commas.")] = "q_score",
    method: Annotated[
        calibration.Method, Parameter(help="A function that never rises, or a logistic regression.")
    ] = "isotonic",
    folds: Annotated[
        int, Parameter(metavar="N", converter=inputs.whole(at_least=2), help="Folds of the cross-fitting.")
    ] = 5,
    bins: Annotated[
        int, Parameter(metavar="N", converter=inputs.whole(at_least=1), help="Bins of the reliability curve.")
    ] = 10,
    seed: inputs.Seed = 0,
    resamples: inputs.Resamples = 1000,
    out: Annotated[
        Path | None,
        Parameter(
            name=("-o", "--out"),
            metavar="RUN",
            help="Run folder that the result is added to, each sample's P in a table; by default that of --labels.",
        ),
    ] = None,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    run = Path(labels) if out is None and runs.is_run(labels) else out
    if run is not None:
        runs.refuse_record(run, "calibration", overwrite=overwrite)
    scored = inputs.read_scores(scores)
    outcome = inputs.read_probe(runs.open_run(labels)) if Path(labels).is_dir() else _outcome(labels)
    with terminal.progress("calibrating"):
        result = calibration.calibrate(
            scored,
            outcome,
            using=_names(using),
            method=method,
            folds=folds,
            bins=bins,
            seed=seed,
            resamples=resamples,
        )
    for warning in result.warnings:
        terminal.warn(warning)
    if run is not None:
        runs.add_record(run, result, overwrite=overwrite)
        terminal.say(f"-> {runs.columns_path(run, 'calibration')}")
    results.show(result, as_json=json, require=require)


def _outcome(spec: str) -> Any:
    """Whether samples are right: id -> value from a table, else the values in order."""
    before, _, column = spec.rpartition(":")
    if Path(before).suffix.lower() not in _TABLES:
        before, column = spec, "correct"
    if Path(before).suffix.lower() not in _TABLES:
        return [_parsed(value) for value in read_column(spec, "labels").tolist()]
    ids = keys_of(read_column(f"{before}:id", "ids"), before)
    values = read_column(f"{before}:{column}", "labels").tolist()
    return dict(zip(ids.tolist(), map(_parsed, values), strict=True))


def _parsed(value: Any) -> Any:
    """Words as numbers; what is none of them is left for `calibrate` to refuse."""
    return _WORDS.get(value.strip().lower(), value) if isinstance(value, str) else value
