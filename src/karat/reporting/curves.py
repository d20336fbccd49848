"""The numbers behind the figures, few enough to draw: bins and evenly spaced points, whatever the number of samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..records import Evaluation, ScoreEvaluation
from .leaders import best, leading
from .samples import RIGHT, UNKNOWN, WRONG, Samples

BINS = 40
POINTS = 300
# Of the tails, this share on each side goes into the outermost bins, so that one far value does not flatten the rest.
_TAIL = 0.001
# Below this coverage a risk rests on so few samples that its curve is noise.
_LEAST_COVERAGE = 0.05

Json = dict[str, Any]


def histogram(samples: Samples) -> Json:
    """How a score is distributed over the samples, and over right and wrong ones apart where a probe judged them.

    Samples whose score is 0 by rule are counted apart. The bars of a group and its `by_rule` add up to 1.

    Returns:
        "edges" [b + 1]; "groups": for each its "name", "n", "by_rule" (share of the group) and "shares" [b]; "clipped":
        whether values lie beyond the outermost edges (they count in the outermost bins).
    """
    drawn = samples.values[~samples.by_rule]
    edges = _edges(drawn)
    groups = {"all": np.ones(len(samples), bool)}
    if np.any(samples.verdict != UNKNOWN):
        groups = {"right": samples.verdict == RIGHT, "wrong": samples.verdict == WRONG}
    return {
        "score": samples.score,
        "edges": edges.tolist(),
        "clipped": bool(len(drawn) and (drawn.min() < edges[0] or drawn.max() > edges[-1])),
        "groups": [_group(name, samples, members, edges) for name, members in groups.items() if members.any()],
    }


def _edges(values: np.ndarray) -> np.ndarray:
    """[BINS + 1], rising, over all but the far tails."""
    if len(values) == 0:
        return np.linspace(0, 1, BINS + 1)
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # one value only
        low, high = low - max(1e-9, abs(low) / 2), high + max(1e-9, abs(high) / 2)
    return np.linspace(low, high, BINS + 1)


def _group(name: str, samples: Samples, members: np.ndarray, edges: np.ndarray) -> Json:
    n = int(members.sum())
    values = samples.values[members & ~samples.by_rule]
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    by_rule = int((members & samples.by_rule).sum())
    return {"name": name, "n": n, "by_rule": by_rule / n, "shares": (counts / n).tolist()}


def share_curve(share: np.ndarray, discriminative: np.ndarray) -> Json:
    """The activation shares of all features in rising order, and where the discriminative ones lie among them.

    Returns:
        "rank" and "share", at most 300 points each; "band": first and last rank of D, or None; and the numbers of
        "features", "dead" (never active), "rare" (below the band), "discriminative", and "generic" (above it).
    """
    order = np.lexsort((discriminative, share))
    rising, member = share[order], discriminative[order]
    ranks = np.unique(np.linspace(0, len(share) - 1, min(POINTS, len(share))).round().astype(np.intp))
    inside = np.flatnonzero(member)
    dead = int((share == 0).sum())
    generic = int((rising[inside[-1] + 1 :] > 0).sum()) if len(inside) else 0
    return {
        "rank": (ranks + 1).tolist(),
        "share": rising[ranks].tolist(),
        "band": [int(inside[0]) + 1, int(inside[-1]) + 1] if len(inside) else None,
        "features": len(share),
        "dead": dead,
        "rare": len(share) - dead - len(inside) - generic,
        "discriminative": len(inside),
        "generic": generic,
    }


def risk_curves(evaluation: Evaluation) -> list[Json]:
    """The risk-coverage curves worth comparing: the leading score, the best without labels, chance and the ceiling."""
    rows = [leading(evaluation), best(evaluation, labelled=False), best(evaluation, labelled=True)]
    rows += [row for row in evaluation.rows if row.score == "random"]
    chosen = {row.score: row for row in rows if row is not None}
    return [_curve(row) for row in chosen.values()]


def _curve(row: ScoreEvaluation) -> Json:
    points = [pair for pair in zip(row.coverage, row.risk, strict=True) if pair[0] >= _LEAST_COVERAGE]
    return {
        "score": row.score,
        "labelled": row.labelled,
        "coverage": [coverage for coverage, _ in points],
        "risk": [risk for _, risk in points],
    }
