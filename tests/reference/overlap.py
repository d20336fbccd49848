"""Overlap of a map and a mask, and deletion curves, as loops over the formulas."""

from __future__ import annotations

import numpy as np


def iou(heat: np.ndarray, mask: np.ndarray) -> float:
    shared = either = 0
    for y in range(heat.shape[0]):
        for x in range(heat.shape[1]):
            inside = heat[y, x] >= 0.5
            shared += bool(inside and mask[y, x])
            either += bool(inside or mask[y, x])
    return shared / either


def iou_at_area(heat: np.ndarray, mask: np.ndarray, rng: np.random.Generator, rounds: int) -> float:
    """For maps without ties exactly; with ties the IoU of the expected intersection, over random orders of equals."""
    area = int(mask.sum())
    total = 0
    for _ in range(rounds):
        pixels = [(heat[y, x], rng.random(), y, x) for y in range(heat.shape[0]) for x in range(heat.shape[1])]
        chosen = sorted(pixels, reverse=True)[:area]
        total += sum(bool(mask[y, x]) for _, _, y, x in chosen)
    shared = total / rounds
    return shared / (2 * area - shared)


def mass_difference(heat: np.ndarray, mask: np.ndarray) -> float:
    inside = [float(heat[y, x]) for y, x in np.ndindex(*heat.shape) if mask[y, x]]
    outside = [float(heat[y, x]) for y, x in np.ndindex(*heat.shape) if not mask[y, x]]
    return sum(inside) / len(inside) - (sum(outside) / len(outside) if outside else 0.0)


def pointing_game(heat: np.ndarray, mask: np.ndarray) -> float:
    highest = max(float(heat[y, x]) for y, x in np.ndindex(*heat.shape))
    hits = [bool(mask[y, x]) for y, x in np.ndindex(*heat.shape) if heat[y, x] == highest]
    return sum(hits) / len(hits)


def area_under(shares: list[float], values: list[float]) -> float:
    """By trapezoids."""
    return sum(
        (right - left) * (low + high) / 2
        for left, right, low, high in zip(shares, shares[1:], values, values[1:], strict=False)
    )
