"""Sections 1 to 3, 5 (the order of features) and 9.1 of the method, one sample at a time, in exact fractions.

Slow on purpose. Rows of length one are right to 160 bits after the point; nothing else is rounded before the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

Row = Sequence[Fraction]
AUTO_EPSILONS = (4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0)


@dataclass(frozen=True)
class Scored:
    """Q, |L_i|, |L_i ∩ D|, each [n]; D and each L_i as sets of columns; n * A_j; whether halves were used."""

    q_score: np.ndarray
    active: np.ndarray
    inside: np.ndarray
    discriminative: set[int]
    members: list[set[int]]
    counts: list[int]
    halves: bool


def exact(h: np.ndarray) -> list[Row]:
    return [[Fraction(float(value)) for value in row] for row in h]


def moments(row: Row) -> tuple[Fraction, Fraction]:
    """mu_i and the variance sigma_i ** 2."""
    mu = sum(row, Fraction(0)) / len(row)
    return mu, sum(((x - mu) ** 2 for x in row), Fraction(0)) / len(row)


def highly_activating(row: Row, epsilon: float) -> set[int]:
    """L_i: h_ij - mu_i > epsilon * sigma_i, squared so that no root is taken."""
    mu, variance = moments(row)
    return {j for j, x in enumerate(row) if x > mu and (x - mu) ** 2 > Fraction(epsilon) ** 2 * variance}


def closest_call(row: Row, epsilons: Iterable[float]) -> float:
    """How near an entry's deviation (h_ij - mu_i) / sigma_i comes to an epsilon: where tiny, rounding may decide."""
    mu, variance = moments(row)
    if variance == 0:
        return math.inf
    sigma = root(variance)
    return min(abs(float((x - mu) / sigma) - epsilon) for x in row for epsilon in epsilons)


def percentile(values: Iterable[Fraction | int], q: float) -> Fraction:
    """Linear interpolation between order statistics."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * Fraction(q) / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def discriminative(counts: Sequence[int], lower: float = 50, upper: float = 95, over: str = "active") -> set[int]:
    """D as a set of columns."""
    active = [c for c in counts if c > 0]
    if not active:
        return set()
    pool = active if over == "active" else counts
    low, high = percentile(pool, lower), percentile(pool, upper)
    return {j for j, c in enumerate(counts) if c > 0 and low <= c <= high}


def ranked(counts: Sequence[int], upper: float = 95) -> list[int]:
    """Active features up to the upper percentile, those above it, dead ones; by falling count, then column."""
    active = [c for c in counts if c > 0]
    top = percentile(active, upper) if active else 0
    middle = [j for j, c in enumerate(counts) if 0 < c <= top]
    generic = [j for j, c in enumerate(counts) if c > top and c > 0]
    dead = [j for j, c in enumerate(counts) if c == 0]
    return [*sorted(middle, key=lambda j: (-counts[j], j)), *sorted(generic, key=lambda j: (-counts[j], j)), *dead]


def root(square: Fraction) -> Fraction:
    """The square root, right to 200 bits; its denominator is a power of two, so that sums of such stay small."""
    exponent = 200 + (square.denominator.bit_length() - square.numerator.bit_length()) // 2
    return math.isqrt(int(square * Fraction(4) ** exponent)) / Fraction(2) ** exponent


def normalized(row: Row) -> Row:
    square = sum((x**2 for x in row), Fraction(0))
    if square == 0:
        return row
    shrink = root(1 / square)
    return [Fraction(round(x * shrink * 2**160), 2**160) for x in row]


def split(row: Row, means: Row) -> Row:
    centered = [x - m for x, m in zip(row, means, strict=True)]
    return [max(c, Fraction(0)) for c in centered] + [max(-c, Fraction(0)) for c in centered]


def is_signed(reference: Sequence[Row]) -> bool:
    """More than 0.1% of the entries are negative."""
    negative = sum(x < 0 for row in reference for x in row)
    return 1000 * negative > len(reference) * len(reference[0])


def prepare(
    h: np.ndarray, reference: np.ndarray | None, normalize: bool, halves: bool | str
) -> tuple[list[Row], list[Row], bool]:
    """Rows of h and of the reference as features, and whether these are halves."""
    rows = exact(h)
    fitted = rows if reference is None else exact(reference)
    split_up = is_signed(fitted) if halves == "auto" else bool(halves)
    if normalize:
        rows, fitted = [normalized(row) for row in rows], [normalized(row) for row in fitted]
    if split_up:
        means = [sum(column, Fraction(0)) / len(fitted) for column in zip(*fitted, strict=True)]
        rows, fitted = [split(row, means) for row in rows], [split(row, means) for row in fitted]
    return rows, fitted, split_up


def count(rows: Sequence[Row], epsilon: float) -> list[int]:
    counts = [0] * len(rows[0])
    for row in rows:
        for j in highly_activating(row, epsilon):
            counts[j] += 1
    return counts


def q_score(
    h: np.ndarray,
    reference: np.ndarray | None = None,
    *,
    epsilon: float = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: str = "active",
    normalize: bool = False,
    halves: bool | str = "auto",
) -> Scored:
    rows, fitted, split_up = prepare(h, reference, normalize, halves)
    counts = count(fitted, epsilon)
    chosen = discriminative(counts, lower, upper, over)
    members = [highly_activating(row, epsilon) for row in rows]
    scores = []
    for row, mine in zip(rows, members, strict=True):
        mu, _ = moments(row)
        above = [row[j] - mu for j in mine & chosen]
        scores.append(float(sum(above, Fraction(0)) / len(above)) if above else 0.0)
    inside = [len(mine & chosen) for mine in members]
    return Scored(
        np.array(scores), np.array([len(m) for m in members]), np.array(inside), chosen, members, counts, split_up
    )


def q_score_v1(h: np.ndarray) -> np.ndarray:
    """((max_j h_ij - mu_i) / sigma_i) / ||h_i||_1 of the L2-normalised row."""
    scores = []
    for row in map(normalized, exact(h)):
        mu, variance = moments(row)
        length = sum((abs(x) for x in row), Fraction(0))
        scores.append(float((max(row) - mu) / root(variance) / length) if variance > 0 else 0.0)
    return np.array(scores)


def choose_epsilon(h: np.ndarray, *, normalize: bool = False, halves: bool | str = "auto", **band: object) -> float:
    """Of 4, 3.5, ... 1, the largest that leaves at most 5% of the rows empty; else the (largest) that leaves fewest."""
    empty = {}
    for epsilon in AUTO_EPSILONS:
        scored = q_score(h, epsilon=epsilon, normalize=normalize, halves=halves, **band)  # type: ignore[arg-type]
        empty[epsilon] = int((scored.inside == 0).sum())
    for epsilon in AUTO_EPSILONS:
        if 20 * empty[epsilon] <= len(h):
            return epsilon
    return min(AUTO_EPSILONS, key=lambda epsilon: (empty[epsilon], -epsilon))


def q_score_of_many(h: np.ndarray, *, epsilon: float, halves: bool, normalize: bool = False) -> Scored:
    """The same on whole float64 matrices: quick enough for many rows, right to float64."""
    h = h.astype(np.float64)
    if normalize:
        lengths = np.sqrt((h**2).sum(axis=1, keepdims=True))
        h = np.divide(h, lengths, out=np.zeros_like(h), where=lengths > 0)
    if halves:
        centered = h - (h[0] + (h - h[0]).mean(axis=0))
        h = np.hstack([np.maximum(centered, 0), np.maximum(-centered, 0)])
    mu = h[:, :1] + (h - h[:, :1]).mean(axis=1, keepdims=True)
    above = h - mu
    sigma = np.sqrt((above**2).mean(axis=1, keepdims=True))
    active = above > epsilon * sigma
    counts = active.sum(axis=0).tolist()
    chosen = discriminative(counts)
    both = active & np.isin(np.arange(h.shape[1]), sorted(chosen))
    inside = both.sum(axis=1)
    scores = np.where(both, above, 0).sum(axis=1) / np.maximum(inside, 1)
    members = [set(np.flatnonzero(row)) for row in active]
    return Scored(scores, active.sum(axis=1), inside, chosen, members, counts, halves)
