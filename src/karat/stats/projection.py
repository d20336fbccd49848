"""The main directions of a representation, from a seeded sample of a reference set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import sampled_rows

# What is fitted, is fitted on at most this many rows of the reference.
FITTED_ROWS = 10_000
# Principal components that are kept.
DIMENSIONS = 64
# Components with less than this share of the first one's variance are left out: they are rounding.
_LEAST_VARIANCE = 1e-9
# Up to so many features the covariance is decomposed exactly; beyond, by seeded random projections.
_EXACT = 1024


@dataclass(frozen=True)
class Projection:
    """The principal components of a set, fitted on a seeded sample of it.

    Attributes:
        mean: of the sample, [d].
        unit: coordinates are in units of the largest centred entry of the sample, so that no square overflows.
        axes: orthonormal, [p, d], p <= `dimensions`; p = 0 where the rows of the sample are all the same.
        variance: of the sample along each axis (over n - 1), falling, [p].
        numbers: rows of the reference that the sample holds, rising, [s].
        sample: their coordinates, [s, p].
    """

    mean: np.ndarray
    unit: float
    axes: np.ndarray
    variance: np.ndarray
    numbers: np.ndarray
    sample: np.ndarray

    @classmethod
    def of(
        cls,
        reference: Rows,
        *,
        dimensions: int = DIMENSIONS,
        limit: int = FITTED_ROWS,
        seed: int = 0,
        name: str = "h",
        drop: bool = False,
    ) -> Projection:
        """Fit on at most `limit` rows of a reference [m, d]; takes that many rows in float64, twice.

        Raises:
            InputError: fewer than one dimension, or rows that are not finite (unless they are to be dropped).
        """
        if dimensions < 1:
            raise InputError(f"dimensions is {dimensions}, but at least one is needed")
        numbers, rows = sampled_rows(as_rows(reference, name), limit, seed=seed, name=name, drop=drop)
        first = rows[0].copy()
        rows -= first
        mean = rows.mean(axis=0)
        rows -= mean  # identical rows are now exactly zero
        unit = float(np.abs(rows).max())
        if unit == 0:
            nothing = np.empty((0, rows.shape[1]))
            return cls(first + mean, 1.0, nothing, np.empty(0), numbers, np.empty((len(rows), 0)))
        rows /= unit
        axes, variance = _components(rows, min(dimensions, *rows.shape), seed)
        return cls(first + mean, unit, axes, variance, numbers, rows @ axes.T)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """The coordinates of rows: [m, d] -> float64 [m, p].

        Raises:
            InputError: another number of features.
        """
        if rows.shape[1] != len(self.mean):
            raise InputError(
                f"h has {rows.shape[1]} features, but reference has {len(self.mean)}: both must come from the same "
                "encoder and columns"
            )
        return np.subtract(rows, self.mean, dtype=np.float64) / self.unit @ self.axes.T

    def whitened(self, coordinates: np.ndarray, *, power: float = 0.5) -> np.ndarray:
        """Coordinates divided by their variance to some power; at 0.5 the sample has variance 1 along each axis."""
        return coordinates / self.variance**power


def _components(rows: np.ndarray, dimensions: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Axes [p, d] and variances [p] of centred rows; on one thread, so that sums have one order."""
    solver = "covariance_eigh" if rows.shape[1] <= _EXACT else "randomized"
    with threadpool_limits(1):
        found = PCA(dimensions, svd_solver=solver, random_state=seed).fit(rows)
    kept = found.explained_variance_ > _LEAST_VARIANCE * found.explained_variance_[0]
    return found.components_[kept], found.explained_variance_[kept]
