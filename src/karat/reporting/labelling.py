"""Calibration and selection as plain values: what a few labels tell, and which to ask for next."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..records import Calibration, Selection, to_dict
from .gallery import SHOWN, Pictures, shortened
from .samples import column
from .tables import better, defined, meaning

# Chosen samples shown, and how many of them before one asks for the rest.
MOST, FIRST = 200, 24

Json = dict[str, Any]


def calibration_section(calibration: Calibration) -> Json:
    """P(misclassified), predicted and observed.

    Returns:
        "n", "n_labelled", "using", "method", "error_rate", "warnings"; "rows": the judgements, each "name", "value",
        "low" and "high" (None without an interval), "meaning"; "bins": "n", "predicted", "observed" {value, low, high};
        "certain": whether the scores tell wrong from right (the interval of AUROC lies above 0.5).
    """
    plain = to_dict(calibration)
    kept = ("n", "n_labelled", "using", "method", "error_rate", "warnings")
    return {
        **{key: plain[key] for key in kept},
        "rows": _judgements(plain),
        "bins": plain["reliability"],
        "certain": calibration.auroc.low > 0.5,
    }


def _judgements(plain: Json) -> list[Json]:
    chance, base = ({"value": plain[key]} for key in ("ece_by_chance", "brier_of_base_rate"))
    rows = (
        ("expected calibration error", plain["ece"], "mean distance of predicted from observed; 0 is calibrated"),
        ("the same by chance alone", chance, "what a perfect prediction shows on so few samples"),
        ("Brier score", plain["brier"], "mean squared distance of prediction from outcome; lower is better"),
        ("Brier score of the error rate", base, "that of one prediction for all"),
        ("AUROC", plain["auroc"], "how well the predictions rank wrong above right samples; 0.5 is a coin"),
    )
    return [{"name": name, "low": None, "high": None, **value, "meaning": words} for name, value, words in rows]


def selection_section(selection: Selection, pictures: Pictures | None) -> Json:
    """Which samples to label next.

    Returns:
        "n", "budget", "strategy", "by", "meaning" and "better" of that score, "warnings", "pictures" (whether there are
        images), "first" (how many to show at once); "rows": at most 200, in order, each "id", "score", "percentile",
        "distance", "reason", "picture".

    Raises:
        FileFormatError: the record's table is missing or damaged.
    """
    ids = column(selection, "id")
    shown = slice(0, MOST)
    numbers = {
        name: _numbers(column(selection, source, len(ids))[shown])
        for name, source in (("score", selection.by), ("percentile", "percentile"), ("distance", "distance"))
    }
    reasons = column(selection, "reason", len(ids))[shown]
    names = [str(name) for name in ids[shown].tolist()]
    found = {} if pictures is None else pictures(names, SHOWN)
    rows = zip(names, reasons.tolist(), *numbers.values(), strict=True)
    return {
        "n": selection.n,
        "budget": selection.budget,
        "strategy": selection.strategy,
        "by": selection.by,
        "meaning": meaning(selection.by),
        "better": better(selection.by),
        "warnings": list(selection.warnings),
        "pictures": pictures is not None,
        "first": FIRST,
        "rows": [
            {
                "id": shortened(name),
                "reason": shortened(reason),
                "picture": found.get(name),
                **dict(zip(numbers, values, strict=True)),
            }
            for name, reason, *values in rows
        ],
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    return [defined(value) for value in values.astype(np.float64).tolist()]
