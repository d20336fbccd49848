"""How many directions a representation uses: quantities of the singular values of h."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import entr

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import column_means, finite_blocks


def effective_rank(h: Rows, *, center: bool = False, power: float = 1.0, epsilon: float = 1e-7) -> float:
    """How many directions h really uses: the exponential of the entropy of its singular values (RankMe).

    exp(-sum_k p_k ln p_k) with p_k = sigma_k^power / sum_l sigma_l^power + epsilon, over the min(n, d) singular values
    sigma of h; natural logarithm; p is not normalised again after epsilon. The defaults are RankMe's: uncentred, sigma
    not squared. Entries are divided by the largest one first, which changes nothing but the range: no overflow.

    The singular values are roots of the eigenvalues of the smaller Gram matrix (h^T h, or h h^T where n < d), summed in
    float64 over blocks of rows. Those under about 1e-8 of the largest are not resolved; p is moved by epsilon anyway.

    Args:
        h: [n, d], finite; read two times (three times with `center`).
        center: subtract the column means first.
        power: 1 for RankMe, 2 for the entropy of the (uncentred) covariance's eigenvalues; above 0.
        epsilon: added to each p_k, at least 0.

    Returns:
        About 1 (rank one) to about min(n, d) (all singular values equal); 0.0 by rule where all are zero (h is zero, or
        its rows are all the same and `center` is set). Higher = more directions are used.

    Raises:
        InputError: not a matrix, NaN or infinity, power <= 0, epsilon < 0.

    >>> import numpy as np
    >>> round(effective_rank(np.eye(5)), 4)
    5.0

    Reference: Garrido et al., ICML 2023, "RankMe", equation 1. Roy & Vetterli, EUSIPCO 2007, without epsilon.
    """
    rows = as_rows(h)
    if not (np.isfinite(power) and power > 0):
        raise InputError(f"power is {power}, but a number above 0 is needed (1: singular values, 2: their squares)")
    if not (np.isfinite(epsilon) and epsilon >= 0):
        raise InputError(f"epsilon is {epsilon}, but a number of at least 0 is needed (RankMe uses 1e-7)")
    sigma = _relative_singular_values(rows, center=center)
    if not sigma.any():
        return 0.0
    size = sigma**power
    return float(np.exp(entr(size / size.sum() + epsilon).sum()))


def _relative_singular_values(h: Rows, *, center: bool) -> np.ndarray:
    """The min(n, d) singular values in units of the largest, float64; all zero where h is."""
    means = column_means(h) if center else np.zeros(h.shape[1])
    peak = max(np.abs(block).max() for _, block in _scaled_blocks(h, means, 1.0))
    if peak == 0:
        return np.zeros(min(h.shape))
    eigenvalues = np.linalg.eigvalsh(_gram(h, means, peak))
    # Rounding leaves zeros of the spectrum slightly negative.
    return np.sqrt(np.clip(eigenvalues, 0, None) / eigenvalues[-1])


def _gram(h: Rows, means: np.ndarray, peak: float) -> np.ndarray:
    """The smaller Gram matrix of the scaled rows: [d, d], or [n, n] where n < d."""
    n, d = h.shape
    if n >= d:
        gram = np.zeros((d, d))
        for _, block in _scaled_blocks(h, means, peak):
            gram += block.T @ block  # [m, d] -> [d, d]
        return gram
    gram = np.empty((n, n))
    for start, left in _scaled_blocks(h, means, peak):
        for first, right in _scaled_blocks(h, means, peak):
            gram[start : start + len(left), first : first + len(right)] = left @ right.T  # [m, d] -> [m, m']
    return gram


def _scaled_blocks(h: Rows, means: np.ndarray, peak: float) -> Iterator[tuple[int, np.ndarray]]:
    for start, block in finite_blocks(h, name="h"):
        yield start, (block - means) / peak
