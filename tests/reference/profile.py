"""What one row tells, feature by feature."""

from __future__ import annotations

import math


def max_z(row: list[float]) -> float:
    mean = math.fsum(row) / len(row)
    std = math.sqrt(math.fsum((x - mean) ** 2 for x in row) / len(row))
    return (max(row) - mean) / std if std > 0 else 0.0


def l1_norm(row: list[float]) -> float:
    return math.fsum(abs(x) for x in row)


def l2_norm(row: list[float]) -> float:
    return math.sqrt(math.fsum(x * x for x in row))


def sparsity(row: list[float]) -> float:
    root = math.sqrt(len(row))
    if len(row) == 1 or l2_norm(row) == 0:
        return 0.0
    return (root - l1_norm(row) / l2_norm(row)) / (root - 1)


def feature_entropy(row: list[float]) -> float:
    total = l1_norm(row)
    if total == 0:
        return math.log(len(row))
    shares = [abs(x) / total for x in row]
    return -math.fsum(p * math.log(p) for p in shares if p > 0)
