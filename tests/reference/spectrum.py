"""Quantities of the singular values, from decompositions of the whole matrix and loops over the formula."""

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


def eigenvalues(h: np.ndarray) -> list[float]:
    """Of the covariance, largest first, those of rounding left out."""
    found = np.linalg.eigvalsh(np.cov(h, rowvar=False).reshape(h.shape[1], -1))[::-1]
    return [float(value) for value in found[: min(len(h) - 1, h.shape[1])]]


def alpha(h: np.ndarray, first: int, last: int) -> float:
    """Minus the weighted covariance of ln rank and ln eigenvalue over the weighted variance of ln rank."""
    points = [(1 / j, math.log(j), math.log(v)) for j, v in enumerate(eigenvalues(h), 1) if first <= j <= last]
    weight = math.fsum(w for w, _, _ in points)
    x_mean = math.fsum(w * x for w, x, _ in points) / weight
    y_mean = math.fsum(w * y for w, _, y in points) / weight
    shared = math.fsum(w * (x - x_mean) * (y - y_mean) for w, x, y in points)
    return -shared / math.fsum(w * (x - x_mean) ** 2 for w, x, _ in points)


def nesum(h: np.ndarray) -> float:
    found = eigenvalues(h)
    return math.fsum(value / found[0] for value in found)


def stable_rank(h: np.ndarray) -> float:
    return float(np.linalg.norm(h, "fro") ** 2 / np.linalg.norm(h, 2) ** 2)


def participation_ratio(h: np.ndarray) -> float:
    """From traces, without eigenvalues."""
    covariance = np.cov(h, rowvar=False).reshape(h.shape[1], -1)
    return float(np.trace(covariance) ** 2 / np.trace(covariance @ covariance))


def condition(h: np.ndarray) -> float:
    """The norm of h times that of its pseudo-inverse."""
    return float(np.linalg.norm(h, 2) * np.linalg.norm(np.linalg.pinv(h, rcond=1e-6), 2))
