"""Do the views of a sample agree? How near its augmented copies lie to each other, and to the sample itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import block_rows, column_means, finite_blocks
from .neighbors import unit_rows
from .views import as_views


def view_agreement(views: Any, *, center: bool = True) -> np.ndarray:
    """How much the views of each sample agree: the mean cosine similarity over its pairs of views.

    a_i = 2 / (v (v - 1)) * sum over a < b of cos(x_ia - m, x_ib - m), m = mean of all views (0 without `center`). A
    view that is zero (after centring) has similarity 0 to all. Rows of length 1 in float32, sums in float64.

    Args:
        views: [n samples, v >= 2 views, d], finite.
        center: subtract the mean of all views.

    Returns:
        float64 [n], from -1 / (v - 1) to 1; higher = augmentation moves the sample less.

    Raises:
        InputError: other dimensions, fewer than two views, NaN or infinity.

    >>> view_agreement([[[1.0, 0.0], [3.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]], center=False).tolist()
    [1.0, -1.0]

    Reference: the cosine form of alignment (Wang & Isola, ICML 2020) for each sample: with unit rows and alpha = 2 it
    is 2 - 2 a_i.
    """
    flat = _OneBelowTheOther(views)
    means = column_means(flat) if center else np.zeros(flat.shape[1])
    return np.concatenate([agreement_of(directions_of(block, means)) for block in flat.blocks()])


def view_similarity(h: Rows, views: Any, *, center: bool = True) -> np.ndarray:
    """How near the views of each sample lie to the sample itself: their mean cosine similarity to it.

    s_i = (1 / v) * sum over a of cos(x_ia - m, h_i - m), m = mean of all views (0 without `center`).

    Args:
        h: [n, d], finite: the samples without augmentation.
        views: [n, v >= 2 views, d], finite.
        center: subtract the mean of all views from both.

    Returns:
        float64 [n], from -1 to 1; higher = augmentation moves the sample less.

    Raises:
        InputError: other shapes, NaN or infinity.

    >>> view_similarity([[1.0, 0.0]], [[[2.0, 0.0], [0.0, 5.0]]], center=False).tolist()
    [0.5]
    """
    flat = _OneBelowTheOther(views)
    samples = as_rows(h)
    if samples.shape != (flat.n, flat.shape[1]):
        raise InputError(
            f"h has shape {list(samples.shape)}, but the views are of {flat.n} samples with {flat.shape[1]} features"
        )
    means = column_means(flat) if center else np.zeros(flat.shape[1])
    own = finite_blocks(samples, name="h", size=flat.size)
    return np.concatenate(
        [
            similarity_of(unit_rows(rows, means), directions_of(block, means))
            for (_, rows), block in zip(own, flat.blocks(), strict=True)
        ]
    )


def directions_of(views: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Centred views of length 1 (or 0): [m, v, d] -> float32 [m, v, d]."""
    return unit_rows(views.reshape(-1, views.shape[2]), means).reshape(views.shape)


def agreement_of(unit: np.ndarray) -> np.ndarray:
    """Mean cosine over pairs of views of length 1 (or 0): [m, v, d] -> float64 [m]; from the length of their sum."""
    v = unit.shape[1]
    rows = unit.astype(np.float64)
    pairs = np.square(rows.sum(axis=1)).sum(axis=1) - np.square(rows).sum(axis=(1, 2))
    return np.clip(pairs / (v * (v - 1)), -1 / (v - 1), 1)


def similarity_of(samples: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Mean cosine of samples [m, d] to their views [m, v, d], all of length 1 (or 0): float64 [m]."""
    return np.clip(np.einsum("md,mvd->m", samples, unit, dtype=np.float64) / unit.shape[1], -1, 1)


class _OneBelowTheOther:
    """Views [n, v, d] as rows [n v, d], those of a sample together."""

    def __init__(self, views: Any) -> None:
        self._views = as_views(views)
        self.n, self._v, d = self._views.shape
        self.shape = (self.n * self._v, d)
        self.dtype = np.asarray(self._views[0:1]).dtype
        self.size = max(1, block_rows(self) // self._v)
        as_rows(self, "views")

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        first = rows.start // self._v
        taken = np.asarray(self._views[first : -(-rows.stop // self._v)]).reshape(-1, self.shape[1])
        return taken[rows.start - first * self._v : rows.stop - first * self._v]

    def blocks(self) -> Iterator[np.ndarray]:
        """Views of whole samples, [m, v, d], m <= `size`.

        Raises:
            InputError: NaN or infinity.
        """
        for _, rows in finite_blocks(self, name="views (as rows)", size=self.size * self._v):
            yield rows.reshape(-1, self._v, self.shape[1])
