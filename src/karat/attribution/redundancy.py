"""Features that say the same: pairs whose correlation is above a bound, and groups of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .._array import Rows, as_float

# Columns whose products are held at once, and rows that are read at once.
_COLUMNS, _ROWS = 1024, 8192


@dataclass(frozen=True)
class Moments:
    """What correlations are made of.

    Attributes:
        mean, std: of each column, [f].
        products: (start, stop) -> means over rows of column i times column j, i in [start, stop), [stop - start, f].
    """

    mean: np.ndarray
    std: np.ndarray
    products: Callable[[int, int], np.ndarray]


def moments_of_sparse(values: sparse.csr_array) -> Moments:
    """Of sparse columns; what is not there counts as 0."""
    exact = values.astype(np.float64)
    n = exact.shape[0]
    mean = np.asarray(exact.sum(axis=0)).reshape(-1) / n
    square = np.asarray(exact.multiply(exact).sum(axis=0)).reshape(-1) / n
    transposed = exact.T.tocsr()

    def products(start: int, stop: int) -> np.ndarray:
        product: np.ndarray = (transposed[start:stop] @ exact).toarray() / n
        return product

    return Moments(mean, np.sqrt(np.maximum(square - mean**2, 0)), products)


def moments_of_rows(h: Rows, columns: np.ndarray, sign: np.ndarray) -> Moments:
    """Of some columns of h, each times its sign; two passes, so that a large mean costs no accuracy."""
    n = h.shape[0]
    starts = range(0, n, _ROWS)

    def block(start: int) -> np.ndarray:
        return as_float(h[start : min(start + _ROWS, n)])[:, columns].astype(np.float64) * sign

    mean = sum((block(start).sum(axis=0) for start in starts), np.zeros(len(columns))) / n
    gram = np.zeros((len(columns), len(columns)))
    for start in starts:
        centred = block(start) - mean
        gram += centred.T @ centred / n
    std = np.sqrt(np.diag(gram))
    return Moments(np.zeros(len(columns)), std, lambda start, stop: gram[start:stop])


def correlated_columns(moments: Moments, *, above: float) -> sparse.coo_array:
    """Which pairs of different columns correlate above the bound (Pearson), bool [f, f]. Constant columns never do."""
    f = len(moments.mean)
    scale = np.divide(1, moments.std, out=np.zeros(f), where=moments.std > 0)
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, f, _COLUMNS):
        stop = min(start + _COLUMNS, f)
        covariance = moments.products(start, stop) - np.outer(moments.mean[start:stop], moments.mean)
        i, j = np.nonzero(covariance * scale[start:stop, None] * scale > above)
        first.append(i[i + start != j] + start)
        second.append(j[i + start != j])
    rows, columns = np.concatenate(first), np.concatenate(second)
    return sparse.coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(f, f))


def signed_correlation(h: Rows, features: np.ndarray, *, above: float) -> sparse.coo_array:
    """The same for columns of h; feature d + j is column j, negated."""
    d = h.shape[1]
    return correlated_columns(moments_of_rows(h, features % d, np.where(features < d, 1.0, -1.0)), above=above)


def grouped(pairs: sparse.coo_array, count: int) -> list[tuple[int, ...]]:
    """Connected groups of two or more, in the order of their first members."""
    if not count:
        return []
    _, group = connected_components(pairs, directed=False)
    order = np.argsort(group, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return sorted(tuple(found.tolist()) for found in members if len(found) > 1)
