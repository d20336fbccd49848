"""Nearest neighbours in the space of an encoder, by blockwise matrix products."""

from __future__ import annotations

import numpy as np

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import column_means, finite_blocks


def knn_similarity(
    h: Rows, *, reference: Rows | None = None, k: int = 20, center: bool = True, block: int = 2048
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
    fitted, name = (rows, "h") if reference is None else (as_rows(reference, "reference"), "reference")
    if block < 1:
        raise InputError(f"block is {block}, but at least one row is needed")
    _check_neighbours(rows, fitted, k, own=reference is None)
    means = column_means(fitted) if center else np.zeros(fitted.shape[1])
    similarity = np.empty(rows.shape[0])
    for start, samples in finite_blocks(rows, name="h", size=block):
        unit = _unit_rows(samples, means)
        nearest = np.full((len(unit), k), -np.inf, np.float32)
        for first, candidates in finite_blocks(fitted, name=name, size=block):
            cosine = unit @ _unit_rows(candidates, means).T  # [m, d] @ [d, m'] -> [m, m']
            if reference is None and first == start:
                np.fill_diagonal(cosine, -np.inf)
            nearest = np.partition(np.hstack([nearest, cosine]), -k, axis=1)[:, -k:]  # [m, k + m'] -> [m, k]
        similarity[start : start + len(unit)] = nearest.mean(axis=1, dtype=np.float64)
    return np.clip(similarity, -1, 1)


def _check_neighbours(h: Rows, reference: Rows, k: int, *, own: bool) -> None:
    n, d = reference.shape
    if h.shape[1] != d:
        raise InputError(
            f"h has {h.shape[1]} features, but reference has {d}: both must come from the same encoder and columns"
        )
    largest = n - 1 if own else n
    if largest < 1:
        raise InputError("h has one row, which has no neighbour but itself: give more rows, or a reference")
    if k < 1:
        raise InputError(f"k is {k}, but at least one neighbour is needed")
    if k > largest:
        whose = f"h has {n} rows and no sample counts as its own neighbour" if own else f"reference has {n} rows"
        raise InputError(f"k is {k}, but {whose}: the largest possible k is {largest}")


def _unit_rows(block: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Centred rows of length 1, float32 [m, d]; zero rows stay zero."""
    centred = block - means  # float64
    peak = np.abs(centred).max(axis=1, keepdims=True)
    centred /= np.where(peak > 0, peak, 1)  # so that no square overflows or vanishes
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1)  # the norm is 0, or at least 1
    return centred.astype(np.float32)
