"""Section 6 of the method, in plain loops over NumPy float64."""

from __future__ import annotations

import math

import numpy as np


def terms(
    h: np.ndarray,
    discriminative: np.ndarray,
    *,
    lambda1: float,
    lambda2: float,
    epsilon: float,
    means: np.ndarray | None = None,
) -> tuple[float, float]:
    """The Q-Score term and the term of the column norms."""
    n, d = h.shape
    scores = []
    for row in h.tolist():
        features = row
        if means is not None:
            centred = [x - m for x, m in zip(row, means.tolist(), strict=True)]
            features = [max(c, 0.0) for c in centred] + [max(-c, 0.0) for c in centred]
        mu = sum(features) / len(features)
        sigma = math.sqrt(sum((x - mu) ** 2 for x in features) / len(features))
        above = [
            x - mu for x, inside in zip(features, discriminative, strict=True) if inside and x > mu + epsilon * sigma
        ]
        scores.append(sum(above) / len(above) if above else 0.0)
    alpha = sum(scores) / n
    norms = [sum(abs(h[i, j]) for i in range(n)) for j in range(d)]
    beta = sum(norms) / d
    first = -lambda1 / n * sum(q for q in scores if q < alpha)
    return first, lambda2 * sum(norm for norm in norms if norm > beta)
