"""Farthest-first traversal, distance by distance."""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = Sequence[float]


def distance(a: Point, b: Point) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def centred_directions(h: Sequence[Point]) -> list[list[float]]:
    n, d = len(h), len(h[0])
    means = [sum(row[j] for row in h) / n for j in range(d)]
    rows = [[x - mean for x, mean in zip(row, means, strict=True)] for row in h]
    return [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in rows]


def farthest_first(h: Sequence[Point], count: int) -> tuple[list[int], list[float]]:
    unit = centred_directions(h)
    mean = [sum(row[j] for row in unit) / len(unit) for j in range(len(unit[0]))]
    chosen = [min(range(len(unit)), key=lambda i: distance(unit[i], mean))]
    distances = [math.nan]
    while len(chosen) < count:
        left = [i for i in range(len(unit)) if i not in chosen]
        nearest = {i: min(distance(unit[i], unit[j]) for j in chosen) for i in left}
        best = max(left, key=lambda i: nearest[i])
        chosen.append(best)
        distances.append(nearest[best])
    return chosen, distances
