"""How views lie to each other, by loops over images and views."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from scipy.linalg import fractional_matrix_power

from tests.reference.geometry import unit


def alignment(views: np.ndarray, power: float = 2) -> float:
    distances = [
        math.sqrt(math.fsum((a - b) ** 2)) ** power for image in views for a, b in combinations(unit(image), 2)
    ]
    return math.fsum(distances) / len(distances)


def lidar(views: np.ndarray, delta: float = 1e-4, epsilon: float = 1e-7) -> float:
    n, v, d = views.shape
    grand = sum(row for image in views for row in image) / (n * v)
    between, within = np.zeros((d, d)), np.zeros((d, d))
    for image in views:
        mean = sum(image) / v
        between += np.outer(mean - grand, mean - grand) / (n - 1)
        for row in image:
            within += np.outer(row - mean, row - mean) / (n * (v - 1))
    whiten = fractional_matrix_power(within + delta * np.eye(d), -0.5)
    eigenvalues = np.linalg.eigvalsh(whiten @ between @ whiten).clip(0)
    entropy = 0.0
    for value in eigenvalues:
        p = value / math.fsum(eigenvalues) + epsilon
        entropy -= p * math.log(p)
    return math.exp(entropy)
