"""Mean and scatter of rows from one pass: of blocks, of shards, merged in any order; and the smaller Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import column_means, finite_blocks


@dataclass(frozen=True)
class Moments:
    """How many rows, their mean and their scatter; the sum of two is that of all their rows.

    The scatter is summed about each block's own mean and moved when blocks are merged (Chan, Golub & LeVeque 1983), so
    that large offsets cost no digits. Numbers are kept in units of a power of two near the largest entry: no square
    overflows or vanishes.

    Attributes:
        n: rows.
        unit: a power of two; entries of h are at most twice as large.
        center: column means in units of `unit`, float64 [d].
        scatter: sum over rows of (h_i - mean)(h_i - mean)^T in units of unit^2, float64 [d, d].
    """

    n: int
    unit: float
    center: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, block: np.ndarray) -> Moments:
        """The moments of finite rows [m, d], m >= 1. Identical rows have a scatter of exactly 0."""
        unit = power_of_two(float(np.abs(block).max()))
        rows = np.divide(block, unit, dtype=np.float64)
        first = rows[0].copy()
        rows -= first
        mean = rows.mean(axis=0)
        rows -= mean
        return cls(len(rows), unit, first + mean, rows.T @ rows)  # [m, d] -> [d, d]

    def __add__(self, other: Moments) -> Moments:
        unit = max(self.unit, other.unit)
        a, b, n = self.unit / unit, other.unit / unit, self.n + other.n
        shift = other.center * b - self.center * a
        scatter = np.outer(shift, shift * (self.n * other.n / n))
        scatter += self.scatter if a == 1 else self.scatter * a * a
        scatter += other.scatter if b == 1 else other.scatter * b * b
        return Moments(n, unit, self.center * a + shift * (other.n / n), scatter)

    @property
    def mean(self) -> np.ndarray:
        """Column means, float64 [d], in the unit of h."""
        return self.center * self.unit

    def covariance(self, *, ddof: int = 1) -> np.ndarray:
        """The covariance of the columns, float64 [d, d], in the unit of h squared; divided by n - ddof.

        Raises:
            InputError: as few rows as ddof.
        """
        if self.n <= ddof:
            raise InputError(f"h has {self.n} rows, but a covariance with ddof={ddof} needs {ddof + 1}")
        return self.scatter * self.unit / (self.n - ddof) * self.unit


def column_moments(h: Rows, *, name: str = "h") -> Moments:
    """Mean and scatter of the columns of h, in float64, from one pass over its rows; they add up over shards.

    Args:
        h: [n, d], finite. Memory: three matrices [d, d] and one block of rows.
        name: what an error calls it.

    Returns:
        `Moments`; `column_moments(a) + column_moments(b)` are those of a and b, one below the other, but for rounding.

    Raises:
        InputError: not a matrix, NaN or infinity.

    >>> found = column_moments([[1.0, 2.0]]) + column_moments([[3.0, 4.0]])
    >>> found.mean.tolist(), found.covariance().tolist()
    ([2.0, 3.0], [[2.0, 2.0], [2.0, 2.0]])

    Reference: Chan, Golub & LeVeque, The American Statistician 1983.
    """
    blocks = finite_blocks(as_rows(h, name), name=name)
    total = Moments.of(next(blocks)[1])
    for _, block in blocks:
        total += Moments.of(block)
    return total


@dataclass(frozen=True)
class Gram:
    """The smaller Gram matrix of h, with and without centring: h^T h where n >= d, h h^T where n < d.

    The two differ by b c^T + c b^T, so that one pass gives both.

    Attributes:
        shape: (n, d) of h.
        unit: entries are in units of unit^2.
        centred: of h minus its column means, [p, p], p = min(n, d).
        b, c: see above, [p].
    """

    shape: tuple[int, int]
    unit: float
    centred: np.ndarray
    b: np.ndarray
    c: np.ndarray

    @classmethod
    def of(cls, h: Rows) -> Gram:
        """One pass over h where n >= d, several over the fewer rows otherwise.

        Raises:
            InputError: NaN or infinity.
        """
        n, d = h.shape
        if n < d:
            return _gram_of_rows(h)
        found = column_moments(h)
        return cls((n, d), found.unit, found.scatter, found.center * (n / 2), found.center)

    @property
    def uncentred(self) -> np.ndarray:
        """Of h as it is, [p, p]."""
        product = np.outer(self.b, self.c)
        return self.centred + product + product.T

    def matrix(self, *, center: bool) -> np.ndarray:
        """The one or the other."""
        return self.centred if center else self.uncentred


def _gram_of_rows(h: Rows) -> Gram:
    """h h^T, pair of blocks by pair of blocks: the rows are read once for each block of them."""
    n, d = h.shape
    unit = power_of_two(max(float(np.abs(block).max()) for _, block in finite_blocks(h, name="h")))
    mean = column_means(h) / unit
    centred, along = np.empty((n, n)), np.empty(n)
    for start, left in finite_blocks(h, name="h"):
        rows = left / unit - mean
        along[start : start + len(rows)] = rows @ mean
        for first, right in finite_blocks(h, name="h"):
            if first > start:
                break
            product = rows @ (right / unit - mean).T  # [m, d] @ [d, m'] -> [m, m']
            centred[start : start + len(rows), first : first + len(right)] = product
            centred[first : first + len(right), start : start + len(rows)] = product.T
    return Gram((n, d), unit, centred, along + mean @ mean / 2, np.ones(n))


def power_of_two(peak: float) -> float:
    """The largest power of two that is at most `peak`; 1 where that is 0."""
    return float(np.ldexp(1.0, int(np.frexp(peak)[1]) - 1)) if peak > 0 else 1.0
