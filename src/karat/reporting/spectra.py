"""The spectrum of a representation as plain values: how the variance is spread over its directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# The first directions one by one, then as many at even distances on a logarithmic axis.
FIRST, POINTS = 100, 100
PARTS = (0.5, 0.9, 0.99)
# Ranks that alpha is fitted to, by default.
FITTED = (11, 100)

Json = dict[str, Any]


def spectrum_curve(shares: Sequence[float]) -> Json | None:
    """The shares of the variance along the principal directions, from `Metrics.spectrum`; None where there are none.

    Returns:
        "rank" (from 1) and "share", at most 200 points; "directions": in all;
        "used": those with any variance; "parts": "part" of the variance, and the number of "directions" that hold it;
        "fitted": first and last rank that alpha is fitted to, as far as there are such, or None.
    """
    values = np.asarray(shares, np.float64)
    used = int(np.count_nonzero(values > 0))
    if used == 0:
        return None
    ranks = np.unique(np.r_[1 : min(FIRST, used) + 1, np.geomspace(1, used, POINTS).round().astype(np.intp)])
    held = np.cumsum(values)
    return {
        "rank": ranks.tolist(),
        "share": values[ranks - 1].tolist(),
        "directions": len(values),
        "used": used,
        "parts": [{"part": part, "directions": int(np.searchsorted(held, part * held[-1])) + 1} for part in PARTS],
        "fitted": [FITTED[0], min(FITTED[1], used)] if used > FITTED[0] else None,
    }
