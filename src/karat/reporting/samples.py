"""The samples behind a scores record: one score, their ids, and a probe's verdict where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..records import ProbeResult, Scores, WithColumns

UNKNOWN, WRONG, RIGHT = -1, 0, 1


@dataclass(frozen=True)
class Samples:
    """The samples that have a score, in the order of the table.

    Attributes:
        score: its name.
        values: [m] float64, finite.
        ids: [m].
        labels: [m], or None.
        by_rule: bool [m]: the Q-Score is 0 by rule, because no discriminative feature is highly active.
        verdict: int8 [m]: RIGHT, WRONG or UNKNOWN to the probe.
        predictions: [m] objects: the class that the probe takes each for; None where it is unknown.
        unscored: samples left out, because their score is missing or infinite.
    """

    score: str
    values: np.ndarray
    ids: np.ndarray
    labels: np.ndarray | None
    by_rule: np.ndarray
    verdict: np.ndarray
    predictions: np.ndarray
    unscored: int

    def __len__(self) -> int:
        return len(self.values)


def read_samples(scores: Scores, probes: Sequence[ProbeResult], by: str) -> Samples:
    """The samples of `scores` by the score `by`, with the verdict of the first probe that shares an id with them.

    Raises:
        FileFormatError: the table is missing or damaged.
    """
    values = column(scores, by)
    if values.dtype.kind not in "fiub":
        raise FileFormatError(f"the column {by!r} of the scores record holds no numbers")
    values = values.astype(np.float64)
    ids = column(scores, "id", len(values))
    labels = column(scores, "label", len(values)) if "label" in scores.columns else None
    scored = np.isfinite(values)
    verdict, predictions = _verdicts(ids, probes)
    return Samples(
        score=by,
        values=values[scored],
        ids=ids[scored],
        labels=None if labels is None else labels[scored],
        by_rule=values[scored] == 0 if by == "q_score" else np.zeros(int(scored.sum()), bool),
        verdict=verdict[scored],
        predictions=predictions[scored],
        unscored=int((~scored).sum()),
    )


def column(record: WithColumns, name: str, n: int | None = None) -> np.ndarray:
    """One column of a record's table, [n].

    Raises:
        FileFormatError: the table or the column is missing, cannot be read, or has another length.
    """
    what = f"the column {name!r} of the {record.kind} record"
    try:
        values = np.asarray(record.columns[name])
    except KeyError as error:
        raise FileFormatError(f"{what} is missing") from error
    except FileFormatError as error:  # its own words name the file, and a report holds no paths
        raise FileFormatError(f"{what} cannot be read: make it again") from error
    if n is not None and len(values) != n:
        raise FileFormatError(f"{what} has {len(values)} rows, but {n} are needed")
    return values


def _verdicts(ids: np.ndarray, probes: Sequence[ProbeResult]) -> tuple[np.ndarray, np.ndarray]:
    """The verdict and the prediction of each id: int8 [n], object [n]."""
    verdict, predictions = np.full(len(ids), UNKNOWN, np.int8), np.full(len(ids), None, object)
    for probe in probes:
        try:
            judged = column(probe, "id")
            correct = column(probe, "correct", len(judged)).astype(bool)
            predicted = column(probe, "prediction", len(judged))
        except FileFormatError:
            continue  # the probe's own section says so
        row_of = {name: row for row, name in enumerate(names(judged))}
        rows = np.array([row_of.get(name, -1) for name in names(ids)], np.intp)
        known = rows >= 0
        if known.any():
            verdict[known] = np.where(correct[rows[known]], RIGHT, WRONG)
            predictions[known] = predicted[rows[known]]
            break
    return verdict, predictions


def names(values: Sequence[Any] | np.ndarray) -> list[str]:
    """Ids or labels as text, so that 7 and "7" are the same sample."""
    return [str(value) for value in np.asarray(values).tolist()]
