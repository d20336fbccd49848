"""What the row of a sample alone tells: its norms, its peak, and over how many features it is spread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._array import as_rows
from ._blocks import each_row
from .activations import Activations, refuse_bad, scan


def max_z(h: Any, *, threads: int | None = None) -> np.ndarray:
    """How far the largest feature of each sample stands out: (max_j h_ij - mu_i) / sigma_i.

    mu_i and sigma_i are mean and standard deviation (ddof = 0) of sample i over its own d features.

    Args:
        h: [n, d].
        threads: how many to use (default: KARAT_NUM_THREADS, else all).

    Returns:
        float64 [n], from 0 to sqrt(d - 1); higher = one feature stands out further; 0 where sigma_i = 0 (ours).

    Raises:
        InputError: a wrong shape, or rows that are not finite.

    >>> max_z([[0.0, 0.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0]]).round(4).tolist()
    [1.7321, 0.0]
    """
    return each_sample(h, max_z_of, threads=threads)


def l1_norm(h: Any, *, threads: int | None = None) -> np.ndarray:
    """Sum of the magnitudes of each sample: sum_j |h_ij|.

    Args:
        h: [n, d].
        threads: how many to use.

    Returns:
        float64 [n], at least 0, in the unit of h.

    Raises:
        InputError: a wrong shape, or rows that are not finite.

    >>> l1_norm([[3.0, -4.0]]).tolist()
    [7.0]
    """
    return each_sample(h, lambda found: found.l1, threads=threads)


def l2_norm(h: Any, *, threads: int | None = None) -> np.ndarray:
    """Euclidean length of each sample: sqrt(sum_j h_ij^2).

    Args:
        h: [n, d].
        threads: how many to use.

    Returns:
        float64 [n], at least 0, in the unit of h.

    Raises:
        InputError: a wrong shape, or rows that are not finite.

    >>> l2_norm([[3.0, -4.0]]).tolist()
    [5.0]
    """
    return each_sample(h, lambda found: found.l2, threads=threads)


def sparsity(h: Any, *, threads: int | None = None) -> np.ndarray:
    """On how few features each sample rests (Hoyer): (sqrt(d) - ||h_i||_1 / ||h_i||_2) / (sqrt(d) - 1).

    Args:
        h: [n, d].
        threads: how many to use.

    Returns:
        float64 [n], from 0 (all features of one magnitude) to 1 (a single feature); 0 by rule for rows of zeros, and
        where d = 1.

    Raises:
        InputError: a wrong shape, or rows that are not finite.

    >>> sparsity([[0.0, 0.0, 5.0, 0.0], [1.0, -1.0, 1.0, 1.0]]).tolist()
    [1.0, 0.0]

    Reference: Hoyer, JMLR 2004, "Non-negative Matrix Factorization with Sparseness Constraints", section 3.1.
    """
    rows = as_rows(h)
    return each_sample(rows, lambda found: sparsity_of(found, rows.shape[1]), threads=threads)


def feature_entropy(h: Any) -> np.ndarray:
    """Over how many features each sample is spread: -sum_j p_ij ln p_ij, p_ij = |h_ij| / sum_l |h_il|, in nats.

    No softmax: scaling a sample changes nothing.

    Args:
        h: [n, d], finite.

    Returns:
        float64 [n], from 0 (a single feature) to ln d (all of one magnitude); ln d by rule for rows of zeros. Lower =
        more concentrated.

    Raises:
        InputError: a wrong shape, NaN or infinity.

    >>> feature_entropy([[0.0, 2.0], [-3.0, 3.0]]).round(4).tolist()
    [0.0, 0.6931]
    """
    return each_row(as_rows(h), lambda rows, _: entropy_of(rows))


def max_z_of(found: Activations) -> np.ndarray:
    """`max_z` from the moments of the rows; NaN for rows that are not finite."""
    top = found.largest - found.mean
    return np.divide(top, found.std, out=np.where(found.bad, np.nan, 0.0), where=found.std > 0)


def sparsity_of(found: Activations, d: int) -> np.ndarray:
    """`sparsity` from the norms of rows with d features; NaN for rows that are not finite."""
    root = np.sqrt(d)
    ratio = np.divide(found.l1, found.l2, out=np.where(found.bad, np.nan, root), where=found.l2 > 0)
    return np.clip((root - ratio) / max(root - 1, 1e-300), 0, 1)


def entropy_of(rows: np.ndarray) -> np.ndarray:
    """`feature_entropy` of finite rows: [m, d] -> float64 [m]."""
    size = np.abs(rows).astype(np.float64)
    peak = size.max(axis=1, keepdims=True)
    size /= np.where(peak > 0, peak, 1)  # so that no sum overflows
    size[peak[:, 0] == 0] = 1
    size /= size.sum(axis=1, keepdims=True)
    return 0.0 - (size * np.log(size, out=np.zeros_like(size), where=size > 0)).sum(axis=1)


def each_sample(h: Any, pick: Callable[[Activations], np.ndarray], *, threads: int | None = None) -> np.ndarray:
    """One number of each sample's moments, float64 [n].

    Raises:
        InputError: rows that are not finite.
    """
    parts, start = [], 0
    for found in scan(as_rows(h), epsilon=np.inf, threads=threads):
        refuse_bad(found.bad, start)
        parts.append(pick(found))
        start += len(found)
    return np.concatenate(parts)
