"""Calibration, bin by bin."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.reference.resampling import ranks


def bins(predicted: Sequence[float], number: int) -> list[int]:
    return [math.floor(number * (rank - 0.5) / len(predicted)) for rank in ranks(predicted)]


def calibration_error(predicted: Sequence[float], happened: Sequence[bool], number: int) -> float:
    error = 0.0
    members = bins(predicted, number)
    for wanted in range(number):
        p = [value for value, found in zip(predicted, members, strict=True) if found == wanted]
        events = [event for event, found in zip(happened, members, strict=True) if found == wanted]
        if p:
            error += len(p) / len(predicted) * abs(sum(p) / len(p) - sum(events) / len(p))
    return error


def wilson(events: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    share = events / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)
