"""Nearest neighbours in the space of an encoder, by blockwise matrix products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import column_means, each_row, numbered_blocks

# Rows of the samples and of the reference in one product.
BLOCK = 2048


def knn_similarity(
    h: Rows, *, reference: Rows | None = None, k: int = 20, center: bool = True, block: int = BLOCK
) -> np.ndarray:
    """How dense the neighbourhood of each sample is: its mean cosine similarity to the k nearest reference rows.

    s_i = (1 / k) * sum over the k largest of cos(h_i - m, r_j - m), m = column means of the reference (0 without
    `center`). Rows that are zero (after centring) stay zero: their similarity to every row is 0. Means and
    normalisation in float64, products in float32 (errors about 1e-6), mean of the k in float64.

    Args:
        h: [n, d], finite.
        reference: [m, d], finite. Default: h itself, each sample without itself (by row number: duplicates count). A
            reference that is given is taken whole, even where it holds the same samples.
        k: neighbours, from 1 to m (to n - 1 without a reference).
        center: subtract the reference's column means from both.
        block: rows of h and of the reference in one product. Memory grows with block * (d + block), not with n or m;
            the reference is read once for each block of h.

    Returns:
        float64 [n], from -1 to 1; higher = in a denser neighbourhood.

    Raises:
        InputError: shapes that do not fit, NaN or infinity, more neighbours than there are rows.

    >>> import numpy as np
    >>> knn_similarity([[1, 0]], reference=[[2, 0], [0, 1], [-1, 0]], k=2, center=False).tolist()
    [0.5]
    """
    rows = as_rows(h)
    near = Neighborhood.of(rows, reference, k=k, center=center, block=block)
    return each_row(rows, lambda samples, numbers: mean_similarity(near(samples, numbers)), size=block)


def knn_distance(
    h: Rows, *, reference: Rows | None = None, k: int = 20, center: bool = True, block: int = BLOCK
) -> np.ndarray:
    """How far each sample is from its k-th nearest reference row: 1 minus their cosine similarity.

    With `k` neighbours and centring as in `knn_similarity`, which takes the mean over all k: this takes the last one.

    Args:
        h, reference, k, center, block: see `knn_similarity`.

    Returns:
        float64 [n], from 0 to 2; lower = in a denser neighbourhood.

    Raises:
        InputError: shapes that do not fit, NaN or infinity, more neighbours than there are rows.

    >>> import numpy as np
    >>> knn_distance([[1, 0]], reference=[[2, 0], [0, 1], [-1, 0]], k=2, center=False).tolist()
    [1.0]

    Reference: Sun et al., ICML 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors", which takes the
    Euclidean distance of L2-normalised rows, sqrt(2 (1 - cos)): the same order. There rows are not centred.
    """
    rows = as_rows(h)
    near = Neighborhood.of(rows, reference, k=k, center=center, block=block)
    return each_row(rows, lambda samples, numbers: last_distance(near(samples, numbers)), size=block)


@dataclass(frozen=True)
class Neighborhood:
    """Rows that samples have as neighbours; they are read again for every block of samples.

    Attributes:
        rows: [m, d].
        means: what is subtracted from rows and samples, [d].
        k: neighbours.
        own: whether the samples are these rows, and none is its own neighbour.
        drop: pass over rows that are not finite.
        block: rows in one product.
    """

    rows: Rows
    means: np.ndarray
    k: int
    own: bool
    drop: bool
    block: int

    @classmethod
    def of(
        cls,
        h: Rows,
        reference: Rows | None = None,
        *,
        k: int,
        center: bool = True,
        drop: bool = False,
        block: int = BLOCK,
    ) -> Neighborhood:
        """The reference of the samples h, or h itself.

        Raises:
            InputError: shapes that do not fit, or more neighbours than there are rows.
        """
        rows = h if reference is None else as_rows(reference, "reference")
        if block < 1:
            raise InputError(f"block is {block}, but at least one row is needed")
        check_neighbors(h.shape[1], rows.shape, k, own=reference is None)
        means = column_means(rows) if center else np.zeros(rows.shape[1])
        return cls(rows, means, k, reference is None, drop, block)

    def __call__(self, samples: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Similarities of finite samples [m, d], rows `numbers` [m] of h, to their neighbours: float32 [m, k].

        Raises:
            InputError: fewer finite rows than neighbours.
        """
        unit, name = unit_rows(samples, self.means), "h" if self.own else "reference"
        best, found = np.empty((len(unit), 0), np.float32), 0
        for candidates, rows in numbered_blocks(self.rows, name=name, drop=self.drop, size=self.block):
            cosine = unit @ unit_rows(rows, self.means).T  # [m, d] @ [d, c] -> [m, c]
            if self.own:
                exclude(cosine, candidates, numbers)
            best = np.hstack([best, cosine])
            if best.shape[1] > self.k:
                best = np.partition(best, -self.k, axis=1)[:, -self.k :].copy()  # [m, k + c] -> [m, k]
            found += len(candidates)
        check_found(found - self.own, self.k, name)
        return best


def check_neighbors(d: int, shape: tuple[int, int], k: int, *, own: bool) -> None:
    """Refuse a reference that does not fit samples with d features, or has too few rows for k neighbours.

    Raises:
        InputError: with what was given and what is possible.
    """
    rows, features = shape
    if d != features:
        raise InputError(
            f"h has {d} features, but reference has {features}: both must come from the same encoder and columns"
        )
    largest = rows - 1 if own else rows
    if largest < 1:
        raise InputError("h has one row, which has no neighbour but itself: give more rows, or a reference")
    if k < 1:
        raise InputError(f"k is {k}, but at least one neighbour is needed")
    if k > largest:
        whose = f"h has {rows} rows and no sample counts as its own neighbour" if own else f"reference has {rows} rows"
        raise InputError(f"k is {k}, but {whose}: the largest possible k is {largest}")


def check_found(found: int, k: int, name: str) -> None:
    """Refuse to go on where rows that are not finite were passed over and too few are left.

    Raises:
        InputError: with both numbers.
    """
    if found < k:
        raise InputError(f"k is {k}, but only {found} finite rows of {name} can be neighbours: give a smaller k")


def mean_similarity(similarity: np.ndarray) -> np.ndarray:
    """Of the similarities to k neighbours: [m, k] -> float64 [m], from -1 to 1."""
    return np.clip(similarity.mean(axis=1, dtype=np.float64), -1, 1)


def last_distance(similarity: np.ndarray) -> np.ndarray:
    """Distance to the k-th neighbour: [m, k] -> float64 [m], from 0 to 2."""
    return 1 - np.clip(similarity.min(axis=1).astype(np.float64), -1, 1)


def unit_rows(block: np.ndarray, means: np.ndarray | float = 0.0) -> np.ndarray:
    """Centred rows of length 1, float32 [m, d]; zero rows stay zero."""
    centred = np.subtract(block, means, dtype=np.float64)
    peak = np.abs(centred).max(axis=1, keepdims=True, initial=0)
    centred /= np.where(peak > 0, peak, 1)  # so that no square overflows or vanishes
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1)  # the norm is 0, or at least 1
    return centred.astype(np.float32)


def exclude(cosine: np.ndarray, numbers: np.ndarray, without: np.ndarray) -> None:
    """Make no candidate [c] a neighbour of the row [m] that it is."""
    place = np.searchsorted(numbers, without)
    itself = place < len(numbers)
    itself[itself] = numbers[place[itself]] == without[itself]
    cosine[itself, place[itself]] = -np.inf
