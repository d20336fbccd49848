"""--require: a number of a record held against a bound, for use in CI."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated, Any

from cyclopts import CycloptsError, Parameter

from ..records import (
    Calibration,
    Comparison,
    Compression,
    Evaluation,
    Explanation,
    Faithfulness,
    Finetuning,
    Metrics,
    Overlap,
    ProbeResult,
    Record,
    Scores,
    Selection,
    Study,
)
from ..records.study import MEASURES

_PATTERN = re.compile(r"\s*([\w.-]+)\s*(>=|<=|==|>|<)\s*([-+\w.]+)\s*")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}
_COUNTS = ("n", "n_mapped", "n_empty", "n_zero_maps", "discriminative_features", "epsilon")
_MEASURES = ("auroc", "auprc", "auprc_error", "fpr95", "aurc", "augrc", "spearman", "r_auroc")


class RequirementFailed(Exception):
    """A --require that does not hold."""


def _check_syntax(_: Any, texts: Sequence[str] | None) -> None:
    for text in texts or ():
        parse(text)


Require = Annotated[
    list[str] | None,
    Parameter(
        name="--require",
        metavar="'NAME>=NUMBER'",
        validator=_check_syntax,
        help="End with status 3 unless this holds (>=, <=, >, <, ==); can be repeated.",
    ),
]


def parse(text: str) -> tuple[str, str, float]:
    """Name, comparison and bound.

    Raises:
        ValueError: it is no comparison of a name with a number.

    >>> parse("effective_rank>=30")
    ('effective_rank', '>=', 30.0)
    """
    match = _PATTERN.fullmatch(text)
    try:
        if match:
            return match[1], match[2], float(match[3])
    except ValueError:
        pass
    raise ValueError("It cannot be read: NAME>=NUMBER is needed, or one of <=, >, <, ==")


def check(requirements: Sequence[str], record: Record) -> None:
    """Hold requirements against the numbers of a record. NaN fulfils none.

    Raises:
        RequirementFailed: one does not hold.
        CycloptsError: one names no number of the record.
    """
    numbers = numbers_of(record)
    for text in requirements:
        name, comparison, bound = parse(text)
        if name not in numbers:
            nearest = get_close_matches(name, numbers, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise CycloptsError(msg=f"--require {text!r}: {name} is none of {', '.join(sorted(numbers))}{hint}")
        if not _COMPARISONS[comparison](numbers[name], bound):
            raise RequirementFailed(f"{text} is required, but {name} is {numbers[name]:.6g}")


def numbers_of(record: Record) -> Mapping[str, float]:
    """The numbers that --require can name."""
    match record:
        case Metrics():
            return record.values
        case Scores():
            health = {
                key: float(value) for key, value in asdict(record.health).items() if isinstance(value, int | float)
            }
            return health | {
                f"{name}.{key}": value
                for name, summary in record.summary.items()
                for key, value in asdict(summary).items()
            }
        case ProbeResult():
            top5 = {} if record.top5 is None else {"top5": record.top5}
            return {"accuracy": record.accuracy, **top5, "n_train": record.n_train, "n_val": record.n_val}
        case Evaluation():
            return {"accuracy": record.accuracy} | {
                f"{row.score}.{measure}": getattr(row, measure).value for row in record.rows for measure in _MEASURES
            }
        case Compression():
            return _of_compression(record)
        case Calibration():
            parts = {"ece": record.ece, "brier": record.brier, "auroc": record.auroc}
            return {"error_rate": record.error_rate} | {name: estimate.value for name, estimate in parts.items()}
        case Selection():
            return {"n": record.n, "budget": record.budget}
        case Comparison():
            return _of_comparison(record)
        case Finetuning():
            last = record.history[-1]
            return {"loss": last.loss, "objective": last.objective, "spread": last.spread, **last.metrics}
        case Study():
            return _of_study(record)
        case Explanation():
            return {name: float(getattr(record, name)) for name in _COUNTS}
        case Overlap():
            return {
                f"{row.maps}.{row.mask}.{measure}": getattr(row, measure).value
                for row in record.measured
                if row.samples == "all"
                for measure in ("iou", "iou_at_area", "mass", "pointing")
            }
        case Faithfulness():
            areas = ("deletion", "insertion", "deletion_lead", "insertion_lead")
            return {f"{row.order}.{row.of}.{area}": getattr(row, area).value for row in record.orders for area in areas}


def _of_compression(record: Compression) -> dict[str, float]:
    """Accuracies at the keep asked for, and by how much the selection is better than each control."""
    accuracies = {
        f"{point.method}.accuracy": point.accuracy.value for point in record.curve if point.keep == record.keep
    }
    differences = {f"{test.second}.difference": test.difference.value for test in record.tests}
    return {"k": record.k, "d": record.d} | accuracies | differences


def _of_comparison(record: Comparison) -> dict[str, float]:
    """Of each encoder but the first: how its probe and its scores differ from those of the first."""
    numbers: dict[str, float] = {}
    for shift in record.probes:
        of_probe = {"difference": shift.difference.value, "gained": shift.gained, "lost": shift.lost, "p": shift.p}
        numbers |= {f"{shift.second}.{key}": value for key, value in of_probe.items()}
    return numbers | {f"{shift.second}.{shift.score}.spearman": shift.spearman.value for shift in record.shifts}


def _of_study(record: Study) -> dict[str, float]:
    """Every measure of each arm, and how arms differ in linear accuracy: "q_score.lambda0.difference"."""
    numbers = {f"{arm.name}.{name}": getattr(arm, name).value for arm in record.arms for name in MEASURES}
    for test in record.tests:
        numbers |= {f"{test.first}.{test.second}.difference": test.difference.value}
        numbers |= {f"{test.first}.{test.second}.{end}": getattr(test.difference, end) for end in ("low", "high")}
        numbers |= {f"{test.first}.{test.second}.p": test.p_holm}
    return numbers
