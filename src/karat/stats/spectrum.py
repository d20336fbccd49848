"""How many directions a representation uses, and how evenly: quantities of the singular values of h.

Each takes h; `..._of` takes the singular values, so that one decomposition gives many numbers.
"""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from .._array import Rows, as_rows
from ..errors import InputError
from .moments import Gram


def singular_values(h: Rows, *, center: bool = False) -> np.ndarray:
    """The singular values of h, largest first.

    They are roots of the eigenvalues of the smaller Gram matrix (h^T h, or h h^T where n < d), which is summed in
    float64 over blocks of rows. That takes one pass (more where n < d), but squares the condition number: values below
    sqrt(min(n, d) * 2.2e-16) of the largest (7e-7 at 2048) are not told from 0, and are given as 0.

    Args:
        h: [n, d], finite.
        center: subtract the column means first; then the squares, over n - 1, are the covariance's eigenvalues.

    Returns:
        float64 [min(n, d)], falling, at least 0, in the unit of h.

    Raises:
        InputError: not a matrix, NaN or infinity.

    >>> singular_values([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]).tolist()
    [4.0, 3.0]
    """
    gram = Gram.of(as_rows(h))
    return gram.unit * singular_values_of(gram.matrix(center=center))


def singular_values_of(gram: np.ndarray) -> np.ndarray:
    """The singular values, falling, from a Gram matrix [p, p]; what is not told from 0 is 0."""
    return roots_of(np.linalg.eigvalsh(gram)[::-1])


def roots_of(eigenvalues: np.ndarray) -> np.ndarray:
    """Roots of falling eigenvalues of a Gram matrix; what rounding cannot tell from 0 is 0."""
    least = len(eigenvalues) * np.finfo(np.float64).eps * eigenvalues[0]
    return np.sqrt(np.where(eigenvalues > least, eigenvalues, 0))


def effective_rank(h: Rows, *, center: bool = False, power: float = 1.0, epsilon: float = 1e-7) -> float:
    """How many directions h really uses: the exponential of the entropy of its singular values (RankMe).

    exp(-sum_k p_k ln p_k) with p_k = sigma_k^power / sum_l sigma_l^power + epsilon, over the min(n, d) singular values
    sigma of h; natural logarithm; p is not normalised again after epsilon. The defaults are RankMe's: uncentred, sigma
    not squared. Public implementations differ in all three.

    Args:
        h: [n, d], finite.
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
    _check_entropy(power, epsilon)
    return effective_rank_of(singular_values(rows, center=center), power=power, epsilon=epsilon)


def effective_rank_of(sigma: np.ndarray, *, power: float = 1.0, epsilon: float = 1e-7) -> float:
    """`effective_rank` from the singular values, falling, in any unit."""
    if not sigma.any():
        return 0.0
    size = (sigma / sigma[0]) ** power
    return float(np.exp(entr(size / size.sum() + epsilon).sum()))


def _check_entropy(power: float, epsilon: float) -> None:
    if not (np.isfinite(power) and power > 0):
        raise InputError(f"power is {power}, but a number above 0 is needed (1: singular values, 2: their squares)")
    if not (np.isfinite(epsilon) and epsilon >= 0):
        raise InputError(f"epsilon is {epsilon}, but a number of at least 0 is needed (RankMe uses 1e-7)")


def alpha(h: Rows, *, first: int = 11, last: int = 100) -> float:
    """How fast the eigenvalues of the covariance decay: the exponent of lambda_j ~ j^(-alpha) (alpha-ReQ).

    -slope of the weighted least-squares line through (ln j, ln lambda_j), weights 1 / j, over the ranks j = first to
    last; lambda_1 >= lambda_2 >= ... are eigenvalues of the covariance (centred; its denominator changes nothing). The
    range and the weights are those of the authors' package (reptrix 0.1.0). The range moves the number: compare sets
    with the same one. Eigenvalues that are 0 to working precision are left out.

    Args:
        h: [n, d], finite.
        first, last: ranks that are fitted, from 1, both included; `last` may be above the rank of h.

    Returns:
        Usually above 0; near 1 is where good representations were found: neither a higher nor a lower one is better.
        NaN where fewer than two eigenvalues above 0 lie in the range (rank-deficient, narrow, tiny or constant sets).

    Raises:
        InputError: not a matrix, NaN or infinity, first < 1, last <= first.

    >>> import numpy as np
    >>> from scipy.linalg import hadamard
    >>> round(alpha(hadamard(64)[:, 1:31] * np.arange(1.0, 31.0) ** -0.6), 6)
    1.2

    Reference: Agrawal et al., NeurIPS 2022, "alpha-ReQ". Stringer et al., Nature 2019.
    """
    rows = as_rows(h)
    check_range(first, last)
    return alpha_of(singular_values(rows, center=True), first=first, last=last)


def check_range(first: int, last: int) -> None:
    """Refuse ranks that no line can be fitted to.

    Raises:
        InputError: with both numbers.
    """
    if first < 1 or last <= first:
        raise InputError(f"first is {first} and last {last}, but 1 <= first < last is needed: ranks of eigenvalues")


def alpha_of(sigma: np.ndarray, *, first: int = 11, last: int = 100) -> float:
    """`alpha` from the singular values of centred h, falling, in any unit."""
    fitted = sigma[first - 1 : last]
    fitted = fitted[fitted > 0]
    if len(fitted) < 2:
        return float("nan")
    rank = np.arange(first, first + len(fitted))
    # polyfit squares its weights: 1 / j each.
    return -2 * float(np.polyfit(np.log(rank), np.log(fitted), 1, w=rank**-0.5)[0])


def nesum(h: Rows) -> float:
    """The sum of the covariance's eigenvalues over the largest (NESum): sum_j lambda_j / lambda_1.

    The covariance is centred; its denominator changes nothing. `stable_rank(h - h.mean(axis=0))` is the same number.

    Args:
        h: [n, d], finite.

    Returns:
        1 (one direction) to min(n - 1, d) (whitened features); 0.0 by rule where the rows are all the same. Higher =
        closer to whitened.

    Raises:
        InputError: not a matrix, NaN or infinity.

    >>> nesum([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    1.25

    Reference: He & Ozay, ICML 2022, definition 4.1.
    """
    return stable_rank_of(singular_values(h, center=True))


def stable_rank(h: Rows) -> float:
    """The squared Frobenius norm over the squared spectral norm: sum_k sigma_k^2 / sigma_1^2.

    Uncentred, as in the paper's code. Centred it is `nesum`.

    Args:
        h: [n, d], finite.

    Returns:
        1 (rank one) to min(n, d) (all singular values equal); 0.0 by rule where h is zero. Higher = more directions.

    Raises:
        InputError: not a matrix, NaN or infinity.

    >>> stable_rank([[2.0, 0.0], [0.0, 1.0]])
    1.25

    Reference: Tsitsulin, Munkhoeva & Perozzi, 2023 (arXiv 2305.16562), "numerical rank".
    """
    return stable_rank_of(singular_values(h))


def stable_rank_of(sigma: np.ndarray) -> float:
    """sum sigma^2 / sigma_1^2 of falling singular values in any unit; 0 where all are 0."""
    return float(np.square(sigma / sigma[0]).sum()) if sigma.any() else 0.0


def participation_ratio(h: Rows) -> float:
    """How many directions carry the variance: (sum_j lambda_j)^2 / sum_j lambda_j^2.

    lambda are the eigenvalues of the covariance (centred; its denominator changes nothing). Biased low by about its
    square over n: give many more rows than it.

    Args:
        h: [n, d], finite.

    Returns:
        1 (one direction) to min(n - 1, d) (equal variance); 0.0 by rule where the rows are all the same. Higher = more
        directions.

    Raises:
        InputError: not a matrix, NaN or infinity.

    >>> participation_ratio([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    2.0

    Reference: Gao et al., 2017, "A theory of multineuronal dimensionality, dynamics and measurement".
    """
    return participation_ratio_of(singular_values(h, center=True))


def participation_ratio_of(sigma: np.ndarray) -> float:
    """`participation_ratio` from the singular values of centred h, falling, in any unit."""
    if not sigma.any():
        return 0.0
    share = np.square(sigma / sigma[0])
    return float(share.sum() ** 2 / np.square(share).sum())


def condition(h: Rows) -> float:
    """The pseudo-condition number: the largest singular value over the smallest that is not 0.

    sigma_1 / sigma_r, r the rank of h: the norm of h times the norm of its pseudo-inverse; uncentred. Values that are
    not told from 0 (see `singular_values`) count as 0, so that it is at most 1 / sqrt(min(n, d) * 2.2e-16). Dead and
    repeated features do not show in it: look at the rank too. (One public implementation gives the reciprocal, with
    the smallest value in place of the smallest above 0; another centres first.)

    Args:
        h: [n, d], finite.

    Returns:
        At least 1; lower = more even. NaN where h is zero.

    Raises:
        InputError: not a matrix, NaN or infinity.

    >>> condition([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    2.0

    Reference: Tsitsulin, Munkhoeva & Perozzi, 2023 (arXiv 2305.16562), "pseudo-condition number".
    """
    return condition_of(singular_values(h))


def condition_of(sigma: np.ndarray) -> float:
    """`condition` from the singular values, falling, in any unit."""
    present = sigma[sigma > 0]
    return float(present[0] / present[-1]) if len(present) else float("nan")
