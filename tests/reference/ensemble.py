"""Agreement of encoders, one sample and one pair of encoders at a time."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from tests.reference.neighbors import centred, column_means, nearest


def neighbors(h: np.ndarray, anchors: list[int], *, k: int, center: bool) -> list[list[tuple[float, int]]]:
    rows = centred(h, column_means(h, center=center))
    found = []
    for i, sample in enumerate(rows):
        skip = anchors.index(i) if i in anchors else -1
        near = nearest(sample, [rows[a] for a in anchors], k, skip=skip)
        found.append([(value, anchors[j]) for value, j in near])
    return found


def neighborhood_consistency(ensemble: list[np.ndarray], anchors: list[int], *, k: int, center: bool) -> list[float]:
    near = [neighbors(h, anchors, k=k, center=center) for h in ensemble]
    found = []
    for i in range(len(ensemble[0])):
        sets = [{j for _, j in member[i]} for member in near]
        overlaps = [len(a & b) / len(a | b) for a, b in combinations(sets, 2)]
        found.append(math.fsum(overlaps) / len(overlaps))
    return found


def ensemble_distance(ensemble: list[np.ndarray], anchors: list[int], *, k: int, center: bool) -> list[float]:
    near = [neighbors(h, anchors, k=k, center=center) for h in ensemble]
    count = k * len(ensemble)
    return [math.fsum(1 - value for member in near for value, _ in member[i]) / count for i in range(len(ensemble[0]))]


def ensemble_variance(ensemble: list[np.ndarray]) -> list[float]:
    found = []
    for i in range(len(ensemble[0])):
        rows = [h[i] / max(math.hypot(*h[i].tolist()), 1e-300) for h in ensemble]
        total = 0.0
        for column in zip(*rows, strict=True):
            mean = math.fsum(column) / len(rows)
            total += math.fsum((x - mean) ** 2 for x in column) / len(rows)
        found.append(total)
    return found
