"""Two nearest neighbours, and votes of neighbours, by loops over rows."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from tests.reference.geometry import unit


def distances(row: np.ndarray, others: list[np.ndarray]) -> list[float]:
    return [math.sqrt(math.fsum((row - other) ** 2)) for other in others]


def intrinsic_dimension(h: np.ndarray, discard: float = 0.1) -> float:
    rows = [np.array(row) for row in {tuple(row) for row in h.tolist()}]
    ratios = []
    for i, row in enumerate(rows):
        first, second = sorted(distances(row, rows[:i] + rows[i + 1 :]))[:2]
        ratios.append(second / first)
    n = len(rows)
    points = [
        (math.log(mu), -math.log(1 - rank / n))
        for rank, mu in enumerate(sorted(ratios), 1)
        if rank <= (1 - discard) * n and rank < n
    ]
    return math.fsum(x * y for x, y in points) / math.fsum(x * x for x, _ in points)


def accuracy_of_votes(h: np.ndarray, labels: np.ndarray, known: np.ndarray, asked: np.ndarray, neighbors: int) -> float:
    """How often the most frequent label among the nearest known rows, the lowest of several, is right."""
    rows = unit(h)
    right = 0
    for i in asked:
        apart = distances(rows[i], [rows[j] for j in known])
        nearest = sorted(range(len(known)), key=lambda k: apart[k])[:neighbors]
        votes = Counter(int(labels[known[k]]) for k in nearest)
        most = max(votes.values())
        right += min(label for label, count in votes.items() if count == most) == labels[i]
    return right / len(asked)
