"""Bootstrap and corrections, draw by draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def resamples(n: int, times: int, seed: int) -> list[list[int]]:
    return np.random.default_rng(seed).integers(n, size=(times, n)).tolist()


def drawn(statistic: Callable[..., float], *columns: Sequence[float], times: int, seed: int) -> list[float]:
    """The statistic of each resample of the rows of all columns together."""
    return [
        statistic(*([column[i] for i in rows] for column in columns))
        for rows in resamples(len(columns[0]), times, seed)
    ]


def holm(p: Sequence[float]) -> list[float]:
    """The smallest level at which Holm's step-down procedure rejects each hypothesis."""
    corrected = [0.0] * len(p)
    largest = 0.0
    for step, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - step) * p[index]))
        corrected[index] = largest
    return corrected


def ranks(values: Sequence[float]) -> list[float]:
    """From 1; equal values have the mean of their places."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    a, b = ranks(first), ranks(second)
    mean = (len(a) + 1) / 2
    product = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    power = sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)
    return product / power**0.5 if power else float("nan")
