"""Quantities of the singular values, from the singular value decomposition of the whole matrix."""

from __future__ import annotations

import math

import numpy as np


def effective_rank(h: np.ndarray, *, center: bool = False, power: float = 1, epsilon: float = 1e-7) -> float:
    if center:
        h = h - h.mean(axis=0)
    sizes = [sigma**power for sigma in np.linalg.svd(h, compute_uv=False)]
    entropy = 0.0
    for size in sizes:
        p = size / math.fsum(sizes) + epsilon
        entropy -= p * math.log(p) if p > 0 else 0.0
    return math.exp(entropy)
