"""Histograms of a column: what is asked of the database, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

MOST_BINS = 1000


@dataclass(frozen=True)
class Histogram:
    """How a column's numbers are distributed.

    Attributes:
        edges: float64 [bins + 1], rising, over the range of the column whatever the query.
        counts: int64 [bins].
        correct: int64 [bins]: how many of them the probe gets right; None where no probe has judged.
        missing: samples whose value is missing or infinite, which are in no bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    correct: np.ndarray | None
    missing: int


def edges_of(low: float | None, high: float | None, bins: int) -> np.ndarray:
    """Evenly spaced edges from low to high, float64 [bins + 1]; around the value where there is but one.

    Raises:
        InputError: fewer than one bin, or more than 1,000.

    >>> edges_of(0, 1, 2).tolist(), edges_of(3, 3, 1).tolist()
    ([0.0, 0.5, 1.0], [2.5, 3.5])
    """
    if not 1 <= bins <= MOST_BINS:
        raise InputError(f"bins is {bins}, but a whole number from 1 to {MOST_BINS} is needed")
    if low is None or high is None:
        low, high = 0.0, 1.0
    half = high / 2 - low / 2  # the range itself may be larger than any number
    if half / bins <= abs(low) * 1e-15:
        pad = max(0.5, abs(low) * 1e-3)
        low, high = low - pad, low + pad
    return 2 * np.linspace(low / 2, high / 2, bins + 1)


def bin_of(column: str, edges: np.ndarray) -> tuple[str, list[float]]:
    """The expression for a value's bin, -1 where it is missing or infinite, and the values that it binds."""
    half_low, half_width = edges[0] / 2, (edges[-1] / 2 - edges[0] / 2) / (len(edges) - 1)
    place = f"floor(({column} * 0.5 - ?) / ?)"
    whole = f"least(greatest({place}, 0), ?)::INT"
    sql = f"CASE WHEN {column} IS NULL OR NOT isfinite({column}::DOUBLE) THEN -1 ELSE {whole} END"
    return sql, [float(half_low), float(half_width), len(edges) - 2]


def histogram_of(edges: np.ndarray, found: Mapping[str, np.ndarray], *, judged: bool) -> Histogram:
    """From rows of (bin, n, correct)."""
    bins = len(edges) - 1
    counts, correct, missing = np.zeros(bins, np.int64), np.zeros(bins, np.int64), 0
    for place, n, right in zip(*(found[name].tolist() for name in ("bin", "n", "correct")), strict=True):
        if place < 0:
            missing = n
        else:
            counts[place], correct[place] = n, right
    return Histogram(edges, counts, correct if judged else None, missing)
