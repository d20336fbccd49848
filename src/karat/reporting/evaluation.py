"""The evaluation of scores as rows of plain values: measures, paired tests, classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..records import Evaluation, PairedTest, ScoreEvaluation, to_dict
from .curves import risk_curves
from .gallery import shortened
from .leaders import best, leading
from .tables import defined, meaning

# Of more classes, the ones of lowest accuracy are listed.
MOST_CLASSES = 100
# Not every evaluation has these.
_OPTIONAL = ("spearman", "r_auroc")

Json = dict[str, Any]


def evaluation_section(evaluation: Evaluation) -> Json:
    """Do the scores predict the probe's errors?

    Returns:
        "n", "accuracy", "warnings"; "optional": which of the measures spearman and r_auroc are known; "rivals",
        "ceiling" and "chance" of `evaluation_table`; "tests" of `difference_table`; "classes" of `class_break_down`;
        "curves" of `curves.risk_curves`.
    """
    return {
        "n": evaluation.n,
        "accuracy": evaluation.accuracy,
        "warnings": list(evaluation.warnings),
        "optional": [key for key in _OPTIONAL if any(known(getattr(row, key).value) for row in evaluation.rows)],
        **evaluation_table(evaluation),
        "tests": difference_table(evaluation.tests),
        "classes": class_break_down(evaluation),
        "curves": risk_curves(evaluation),
    }


def evaluation_table(evaluation: Evaluation) -> Json:
    """The measures of each score without labels, best AUROC first; those with labels; and what chance gives."""
    plain = {row["score"]: row for row in to_dict(evaluation)["rows"]}
    rows = sorted(evaluation.rows, key=_rank)
    right, wrong = evaluation.accuracy, 1 - evaluation.accuracy
    areas = {"auroc": 0.5, "auprc": right, "auprc_error": wrong, "aurc": wrong, "augrc": wrong / 2}
    return {
        "rivals": [_measures(plain[row.score], row) for row in rows if not row.labelled],
        "ceiling": [_measures(plain[row.score], row) for row in rows if row.labelled],
        "chance": {**areas, "fpr95": 0.95, "spearman": 0.0, "r_auroc": 0.5},
    }


def _rank(row: ScoreEvaluation) -> tuple[bool, float]:
    value = row.auroc.value
    return value != value, -value


def _measures(plain: Json, row: ScoreEvaluation) -> Json:
    kept = {key: value for key, value in plain.items() if key not in ("coverage", "risk")}
    return kept | {"meaning": meaning(row.score), "chance": row.auroc.low <= 0.5}


def difference_table(tests: Sequence[PairedTest]) -> Json:
    """Paired tests, a row for each score and a column for each that it is tested against.

    Returns:
        "n": how many tests; "against": names; "rows": "score", and "differences": for each name None, or "value",
        "low", "high", "p", "p_holm" and "sign" (1: significantly better, -1: worse, 0: neither).
    """
    found = {(test.first, test.second): test for test in tests}
    against = list(dict.fromkeys(test.second for test in tests))
    return {
        "n": len(tests),
        "against": against,
        "rows": [
            {"score": first, "differences": [difference(found.get((first, second))) for second in against]}
            for first in dict.fromkeys(test.first for test in tests)
        ],
    }


def difference(test: PairedTest | None) -> Json | None:
    """A paired test: the difference, p and sign."""
    if test is None:
        return None
    estimate = {key: defined(value) for key, value in vars(test.difference).items()}
    return {**estimate, "p": defined(test.p), "p_holm": defined(test.p_holm), "sign": test.sign}


def class_break_down(evaluation: Evaluation) -> Json:
    """Each class, the lowest accuracy first, at most 100, with the AUROC of a few scores inside it.

    Returns:
        "n": classes in all; "scores": names; "rows": "label", "n", "errors", "accuracy" and "auroc", one a name.
    """
    rows = (leading(evaluation), best(evaluation, labelled=False), best(evaluation, labelled=True))
    scores = list(dict.fromkeys(row.score for row in rows if row is not None))
    worst = sorted(evaluation.classes, key=lambda row: row.accuracy)[:MOST_CLASSES]
    return {
        "n": len(evaluation.classes),
        "scores": scores,
        "rows": [
            {
                "label": shortened(row.label),
                "n": row.n,
                "errors": row.errors,
                "accuracy": row.accuracy,
                "auroc": [defined(row.auroc.get(name, math.nan)) for name in scores],
            }
            for row in worst
        ],
    }


def known(value: float) -> bool:
    """Whether a number is defined."""
    return not math.isnan(value)
