"""How rows lie to each other, by loops over rows and pairs."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np


def unit(rows: np.ndarray) -> list[np.ndarray]:
    return [row / math.sqrt(math.fsum(row * row)) for row in rows if row.any()]


def uniformity(h: np.ndarray, t: float = 2) -> float:
    kernel = [math.exp(-t * math.fsum((a - b) ** 2)) for a, b in combinations(unit(h), 2)]
    return math.log(math.fsum(kernel) / len(kernel))


def self_clustering(h: np.ndarray) -> float:
    """As published: the sum of squared cosines against what random directions and a single one would have."""
    rows, d = unit(h), h.shape[1]
    n = len(rows)
    actual = math.fsum(float(a @ b) ** 2 for a in rows for b in rows)
    expected = n + n * (n - 1) / d
    return (actual - expected) / (n * n - expected)


def coherence(h: np.ndarray) -> float:
    left, sigma, _ = np.linalg.svd(h, full_matrices=False)
    left = left[:, sigma > 1e-6 * sigma[0]]
    n, rank = left.shape
    return n / rank * max(math.fsum(row * row) for row in left)
