"""Landmarks: a seeded sample of the reference in a half-whitened space, and which of them a sample lies near."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import each_row
from .neighbors import BLOCK, check_found, exclude, mean_similarity, unit_rows
from .projection import DIMENSIONS, Projection

NEIGHBORS = 20
# Variances are divided by themselves to twice this power: at 0.5 all directions would count alike, at 0 as in h.
_POWER = 0.375


def whitened_similarity(
    h: Rows, *, reference: Rows | None = None, k: int = NEIGHBORS, dimensions: int = DIMENSIONS, seed: int = 0
) -> np.ndarray:
    """How dense the neighbourhood of each sample is in a half-whitened space: mean cosine to the k nearest landmarks.

    The landmarks are a seeded sample of at most 10,000 reference rows. Their principal coordinates (of the first
    `dimensions` axes, as in `mahalanobis_distance`) are divided by variance^0.375, so that directions of large variance
    count for less than in h, and rows are given length 1.

    Args:
        h: [n, d], finite.
        reference: [m, d], finite; None: h itself, each sample without itself.
        k: neighbours, at most as many as there are landmarks.
        dimensions: principal axes.
        seed: of the sample.

    Returns:
        float64 [n], from -1 to 1; higher = in a denser neighbourhood.

    Raises:
        InputError: shapes that do not fit, NaN or infinity, more neighbours than landmarks.

    >>> import numpy as np
    >>> cross = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    >>> whitened_similarity(cross, k=1).round(6).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    rows = as_rows(h)
    landmarks = Landmarks.on(rows, reference, dimensions=dimensions, seed=seed)

    def similarity(samples: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return mean_similarity(landmarks.nearest(landmarks.place(samples), numbers, k=k).similarity)

    return each_row(rows, similarity, size=BLOCK)


def neighbor_coherence(
    h: Rows, *, reference: Rows | None = None, k: int = NEIGHBORS, dimensions: int = DIMENSIONS, seed: int = 0
) -> np.ndarray:
    """How alike a sample's neighbours are among themselves: the mean cosine over pairs of its k nearest landmarks.

    c_i = 2 / (k (k - 1)) * sum over a < b of cos(r_a, r_b), in the half-whitened space of `whitened_similarity`. High
    where a sample lies in one clear group; low where it lies between several.

    Args:
        h, reference, dimensions, seed: see `whitened_similarity`.
        k: neighbours, at least 2.

    Returns:
        float64 [n], from -1 / (k - 1) to 1; higher = its neighbours belong together.

    Raises:
        InputError: shapes that do not fit, NaN or infinity, k below 2 or above the number of landmarks.

    >>> import numpy as np
    >>> pairs = np.array([[3.0, 0.1], [3.0, -0.1], [-3.0, 0.1], [-3.0, -0.1]])
    >>> bool((neighbor_coherence(pairs, k=2) < 0.9).all())
    True
    """
    rows = as_rows(h)
    landmarks = Landmarks.on(rows, reference, dimensions=dimensions, seed=seed)
    if k < 2:
        raise InputError(f"k is {k}, but coherence is between neighbours: at least two are needed")

    def coherence(samples: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return landmarks.coherence(landmarks.nearest(landmarks.place(samples), numbers, k=k))

    return each_row(rows, coherence, size=BLOCK)


@dataclass(frozen=True)
class Nearest:
    """The k most similar landmarks of each of m samples, in no order.

    Attributes:
        similarity: cosines, float32 [m, k].
        place: which landmarks, int64 [m, k].
    """

    similarity: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class Landmarks:
    """A projection's sample, half-whitened, with rows of length 1.

    Attributes:
        projection: of the reference.
        unit: the landmarks, float32 [s, p]; p = 0 where the reference's rows are all the same.
        own: whether the samples are the reference, and none is its own neighbour.
    """

    projection: Projection
    unit: np.ndarray
    own: bool

    @classmethod
    def of(cls, projection: Projection, *, own: bool) -> Landmarks:
        return cls(projection, unit_rows(projection.whitened(projection.sample, power=_POWER)), own)

    @classmethod
    def on(cls, h: Rows, reference: Rows | None, *, dimensions: int = DIMENSIONS, seed: int = 0) -> Landmarks:
        """Of the reference of the samples h, or of h itself."""
        rows, name = (h, "h") if reference is None else (reference, "reference")
        projection = Projection.of(rows, dimensions=dimensions, seed=seed, name=name)
        return cls.of(projection, own=reference is None)

    @property
    def alike(self) -> bool:
        """Whether the reference's rows are all the same, so that there are no directions to tell samples by."""
        return self.unit.shape[1] == 0

    def place(self, samples: np.ndarray) -> np.ndarray:
        """Finite samples in the landmarks' space: [m, d] -> float32 [m, p], length 1."""
        return unit_rows(self.projection.whitened(self.projection(samples), power=_POWER))

    def nearest(self, placed: np.ndarray, numbers: np.ndarray | None, *, k: int) -> Nearest:
        """The landmarks nearest to samples [m, p], which are rows `numbers` of h.

        Raises:
            InputError: k out of range.
        """
        without = None
        if self.own and numbers is not None:
            position = np.searchsorted(self.projection.numbers, numbers)
            position = np.minimum(position, len(self.unit) - 1)
            without = np.where(self.projection.numbers[position] == numbers, position, -1)
        return nearest(placed, _pieces(self.unit), k, without=without, own=self.own)

    def coherence(self, near: Nearest) -> np.ndarray:
        """Mean cosine over pairs of a sample's neighbours, [m]: from the length of their sum."""
        k = near.place.shape[1]
        near_rows = self.unit[near.place].astype(np.float64)  # [m, k, p]
        pairs = np.square(near_rows.sum(axis=1)).sum(axis=1) - np.square(near_rows).sum(axis=(1, 2))
        return np.clip(pairs / (k * (k - 1)), -1 / (k - 1), 1)


def nearest(
    unit: np.ndarray,
    pieces: Iterable[tuple[np.ndarray, np.ndarray]],
    k: int,
    *,
    without: np.ndarray | None = None,
    own: bool = False,
) -> Nearest:
    """The k rows of some pieces with the largest product with each of some samples.

    Args:
        unit: float32 [m, p].
        pieces: (numbers, rising, [c]; rows, float32 [c, p]).
        k: how many.
        without: of each sample the number of a row that is no neighbour of it, [m]; -1: none.
        own: whether every sample may be one of the rows, so that one row fewer can be a neighbour.

    Raises:
        InputError: fewer rows than k.
    """
    if k < 1:
        raise InputError(f"k is {k}, but at least one neighbour is needed")
    best = Nearest(np.empty((len(unit), 0), np.float32), np.empty((len(unit), 0), np.int64))
    found = 0
    for numbers, rows in pieces:
        cosine = unit @ rows.T  # [m, p] @ [p, c] -> [m, c]
        if without is not None:
            exclude(cosine, numbers, without)
        top = _largest(cosine, np.broadcast_to(numbers, cosine.shape), k)
        both = np.hstack([best.similarity, top.similarity]), np.hstack([best.place, top.place])
        best = _largest(*both, k)
        found += len(numbers)
    check_found(found - own, k, "the reference")
    return best


def _largest(similarity: np.ndarray, place: np.ndarray, k: int) -> Nearest:
    """The k most similar of some, or all where they are no more: [m, c] -> [m, <= k]."""
    if similarity.shape[1] <= k:
        return Nearest(similarity, place)
    top = np.argpartition(similarity, -k, axis=1)[:, -k:]
    return Nearest(np.take_along_axis(similarity, top, axis=1), np.take_along_axis(place, top, axis=1))


def _pieces(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(rows), BLOCK):
        yield np.arange(start, min(start + BLOCK, len(rows))), rows[start : start + BLOCK]
