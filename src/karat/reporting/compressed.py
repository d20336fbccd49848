"""The compression of features as plain values: what is kept, what it costs, and whether the controls do better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..records import Compression, CurvePoint
from .evaluation import difference
from .tables import defined

SELECTION, ALL = "karat", "all_features"
_MEANINGS = {
    SELECTION: "this selection, without labels",
    "random": "random subsets of the features",
    "variance": "the features of highest variance",
    "pca": "the first principal components",
    "sparse_projection": "sparse random projections",
    ALL: "nothing is dropped",
}

Json = dict[str, Any]


def compression_section(compression: Compression) -> Json:
    """Which features to keep, and what it costs.

    Returns:
        "n", "d", "keep", "k", "epsilon", "halves", "dead" (features never highly active), "verdict" (a sentence),
        "warnings"; "curve" of `keep_curve`; "tests" of the selection at `keep`: "against", "meaning", and the
        "difference" with "p_holm" and "sign".
    """
    return {
        "n": compression.n,
        "d": compression.d,
        "keep": compression.keep,
        "k": compression.k,
        "epsilon": compression.epsilon,
        "halves": compression.halves,
        "dead": int((compression.share == 0).sum()),
        "verdict": compression.verdict,
        "warnings": list(compression.warnings),
        "curve": keep_curve(compression.curve),
        "tests": [
            {"against": test.second, "meaning": _meaning(test.second), "difference": difference(test)}
            for test in compression.tests
        ],
    }


def keep_curve(curve: Sequence[CurvePoint]) -> Json:
    """Accuracy against the share of the features kept.

    Returns:
        "keeps": rising, each with its "k"; "methods": "method", "meaning" and "points", rising in keep, each "keep",
        "value", "low" and "high"; "whole": the last three of all features, or None.
    """
    rising = sorted(curve, key=lambda point: point.keep)
    parts = [point for point in rising if point.method != ALL]
    whole = [_accuracy(point) for point in rising if point.method == ALL]
    return {
        "keeps": [{"keep": keep, "k": k} for keep, k in dict.fromkeys((point.keep, point.k) for point in parts)],
        "methods": [
            {
                "method": method,
                "meaning": _meaning(method),
                "points": [{"keep": point.keep, **_accuracy(point)} for point in parts if point.method == method],
            }
            for method in dict.fromkeys(point.method for point in curve if point.method != ALL)
        ],
        "whole": whole[-1] if whole else None,
    }


def _accuracy(point: CurvePoint) -> Json:
    return {key: defined(value) for key, value in vars(point.accuracy).items()}


def _meaning(method: str) -> str:
    return _MEANINGS.get(method, "")
