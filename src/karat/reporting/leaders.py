"""Which of the scores of an evaluation are worth a word."""

from __future__ import annotations

import math

from ..records import Evaluation, ScoreEvaluation


def leading(evaluation: Evaluation) -> ScoreEvaluation | None:
    """The row that the summary is about: q_score, else the best score without labels."""
    rows = {row.score: row for row in evaluation.rows}
    return rows.get("q_score") or best(evaluation, labelled=False)


def best(evaluation: Evaluation, *, labelled: bool) -> ScoreEvaluation | None:
    """The row with the highest AUROC among the scores with, or without, labels; `random` does not compete."""
    rows = [row for row in evaluation.rows if row.labelled is labelled and row.score != "random"]
    rows = [row for row in rows if not math.isnan(row.auroc.value)]
    return max(rows, key=lambda row: row.auroc.value, default=None)


def informative(row: ScoreEvaluation) -> bool:
    """Whether the whole interval of AUROC lies above the 0.5 of a coin."""
    return row.auroc.low > 0.5
