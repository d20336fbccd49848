"""Similarity to the nearest neighbours, one pair at a time."""

from __future__ import annotations

import math

import numpy as np


def knn_similarity(h: np.ndarray, reference: np.ndarray | None, *, k: int, center: bool) -> list[float]:
    fitted = h if reference is None else reference
    d = fitted.shape[1]
    means = [math.fsum(fitted[:, j]) / len(fitted) if center else 0.0 for j in range(d)]
    similarity = []
    for i, sample in enumerate(h):
        left = [sample[j] - means[j] for j in range(d)]
        cosines = []
        for row, candidate in enumerate(fitted):
            if reference is None and row == i:
                continue
            right = [candidate[j] - means[j] for j in range(d)]
            lengths = math.hypot(*left) * math.hypot(*right)
            product = math.fsum(x * y for x, y in zip(left, right, strict=True))
            cosines.append(product / lengths if lengths > 0 else 0.0)
        similarity.append(math.fsum(sorted(cosines, reverse=True)[:k]) / k)
    return similarity
