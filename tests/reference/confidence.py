"""The softmax, one class at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence


def softmax(logits: Sequence[float]) -> list[float]:
    powers = [math.exp(logit) for logit in logits]
    return [power / math.fsum(powers) for power in powers]


def confidence(logits: Sequence[float]) -> float:
    return max(softmax(logits))


def entropy(logits: Sequence[float]) -> float:
    return -math.fsum(p * math.log(p) for p in softmax(logits))


def margin(logits: Sequence[float]) -> float:
    second, first = sorted(softmax(logits))[-2:]
    return first - second
