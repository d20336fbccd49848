"""Similarity to the nearest neighbours, one pair at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    lengths = math.hypot(*left) * math.hypot(*right)
    return math.fsum(x * y for x, y in zip(left, right, strict=True)) / lengths if lengths > 0 else 0.0


def centred(rows: np.ndarray, means: Sequence[float]) -> list[list[float]]:
    return [[float(x) - m for x, m in zip(row, means, strict=True)] for row in rows]


def column_means(rows: np.ndarray, *, center: bool) -> list[float]:
    return [math.fsum(column) / len(rows) if center else 0.0 for column in rows.T.tolist()]


def nearest(
    sample: Sequence[float], rows: Sequence[Sequence[float]], k: int, skip: int = -1
) -> list[tuple[float, int]]:
    """(cosine, row) of the k most similar rows, the most similar first; row `skip` is none of them."""
    found = [(cosine(sample, row), j) for j, row in enumerate(rows) if j != skip]
    return sorted(found, reverse=True)[:k]


def similarities(h: np.ndarray, reference: np.ndarray | None, *, k: int, center: bool) -> list[list[float]]:
    """The k largest cosines of each sample."""
    fitted = h if reference is None else reference
    means = column_means(fitted, center=center)
    rows = centred(fitted, means)
    return [
        [value for value, _ in nearest(sample, rows, k, skip=i if reference is None else -1)]
        for i, sample in enumerate(centred(h, means))
    ]


def knn_similarity(h: np.ndarray, reference: np.ndarray | None, *, k: int, center: bool) -> list[float]:
    return [math.fsum(found) / k for found in similarities(h, reference, k=k, center=center)]


def knn_distance(h: np.ndarray, reference: np.ndarray | None, *, k: int, center: bool) -> list[float]:
    return [1 - found[-1] for found in similarities(h, reference, k=k, center=center)]
