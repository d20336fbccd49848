"""How the rows of a representation lie: on the sphere, and how much each weighs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._array import Rows, as_rows
from ..errors import InputError
from ._blocks import block_rows, finite_blocks
from .moments import Gram
from .spectrum import roots_of

# At most so many rows of each of two blocks in one product.
_PAIR_ROWS = 2048


def uniformity(h: Rows, *, t: float = 2.0) -> float:
    """How evenly the directions of the rows cover the sphere: ln of the mean of exp(-t ||u_i - u_j||^2) over pairs.

    u_i = h_i / ||h_i||, not centred; the pairs are i < j. Rows of zeros have no direction and are left out.

    Args:
        h: [n, d], finite. Takes n^2 d / 2 products: give a sample of a large set.
        t: above 0; 2 in the paper.

    Returns:
        From -4 t (never reached by more than two rows) to 0 (all rows point the same way); lower = more even. NaN where
        fewer than two rows have a direction.

    Raises:
        InputError: not a matrix, NaN or infinity, t <= 0.

    >>> uniformity([[1.0, 0.0], [0.0, 3.0]])
    -4.0

    Reference: Wang & Isola, ICML 2020, section 4.1.2.
    """
    rows = as_rows(h)
    if not (np.isfinite(t) and t > 0):
        raise InputError(f"t is {t}, but a number above 0 is needed (2 in the paper)")
    total, pairs = 0.0, 0
    for cosine, own in _cosines(rows):
        kernel = np.exp(-2 * t * np.maximum(1 - cosine, 0))
        if own:
            kernel = kernel[np.triu_indices(len(kernel), 1)]
        total += float(kernel.sum())
        pairs += kernel.size
    return float(np.log(total / pairs)) if pairs else float("nan")


def self_clustering(h: Rows) -> float:
    """How much closer than on an even sphere the directions of the rows are: 0 random, 1 collapsed (SelfCluster).

    (Q - n - n (n - 1) / d) / (n^2 - n - n (n - 1) / d), Q = sum over all i, j of cos^2(h_i, h_j), not centred. That is
    (m - 1 / d) / (1 - 1 / d) with m the mean of cos^2 over pairs of different rows: a sample of rows estimates it
    without bias. Q = ||W^T W||_F^2, W the rows at length 1: one pass. Rows of zeros have no direction and are left out.
    (The paper writes the norm without its square, but gives the expectation and the maximum of the square.)

    Args:
        h: [n, d], finite.

    Returns:
        At most 1, where all rows lie on one line; about 0 where their directions are random; below 0 where they are
        more orthogonal than that (at least -1). Lower = more even. NaN with one feature, or fewer than two rows that
        have a direction.

    Raises:
        InputError: not a matrix, NaN or infinity.

    >>> self_clustering([[1.0, 0.0], [-2.0, 0.0]])
    1.0

    Reference: Tsitsulin, Munkhoeva & Perozzi, 2023 (arXiv 2305.16562), definition 3.5, and the code they publish.
    """
    rows = as_rows(h)
    d = rows.shape[1]
    n, squares = _squared_cosines(rows)
    expected = n + n * (n - 1) / d
    if n < 2 or d < 2:
        return float("nan")
    return min((squares - expected) / (n * n - expected), 1.0)  # rounding


def coherence(h: Rows) -> float:
    """How much of a direction hangs on a single row: (n / r) max_i ||U_i||^2, U the left singular vectors of h.

    r is the rank of h, and U has r columns: those of singular values above 0 (see `singular_values`); not centred.
    ||U_i||^2 is the leverage of row i. Accurate to about 2e-16 times the square of `condition`.

    Args:
        h: [n, d], finite. Read twice: the second pass needs the singular vectors (2 n d r products).

    Returns:
        1 (all rows weigh the same) to n / r (a row has a direction of its own); lower = more even. NaN where h is zero.

    Raises:
        InputError: not a matrix, NaN or infinity.

    >>> round(coherence([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 6)
    1.5

    Reference: Tsitsulin, Munkhoeva & Perozzi, 2023 (arXiv 2305.16562), "coherence"; their code takes r = min(n, d)
    whatever the rank. Candes & Recht, 2009, definition 1.2.
    """
    rows = as_rows(h)
    gram = Gram.of(rows)
    eigenvalues, vectors = np.linalg.eigh(gram.uncentred)
    return coherence_of(rows, gram.unit, roots_of(eigenvalues[::-1]), vectors[:, ::-1])


def coherence_of(h: Rows, unit: float, sigma: np.ndarray, vectors: np.ndarray) -> float:
    """`coherence` from what `Gram.of(h).uncentred` decomposes to: falling singular values, and vectors as columns."""
    n, d = h.shape
    rank = int(np.count_nonzero(sigma))
    if rank == 0:
        return float("nan")
    vectors = vectors[:, :rank]
    if n < d:  # the left singular vectors themselves
        return max(n / rank * float(np.square(vectors).sum(axis=1).max()), 1.0)  # rounding
    whiten = vectors / sigma[:rank]  # [d, r]
    leverage = (np.square((block / unit) @ whiten).sum(axis=1).max() for _, block in finite_blocks(h, name="h"))
    return max(n / rank * float(max(leverage)), 1.0)


def directions(block: np.ndarray) -> np.ndarray:
    """The rows at length 1, float64, without those that are zero: [m, d] -> [m' <= m, d]."""
    peak = np.abs(block).max(axis=1, keepdims=True)
    present = peak[:, 0] > 0
    rows = block[present] / peak[present].astype(np.float64)  # so that no square overflows or vanishes
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _squared_cosines(h: Rows) -> tuple[int, float]:
    """The number of rows that have a direction, and the sum of cos^2 over all pairs of them, each with itself too."""
    n, d = h.shape
    if n < d:
        found = [(len(cosine), own, float(np.square(cosine).sum())) for cosine, own in _cosines(h)]
        return sum(size for size, own, _ in found if own), sum(total * (1 if own else 2) for _, own, total in found)
    count, product = 0, np.zeros((d, d))
    for _, block in finite_blocks(h, name="h"):
        rows = directions(block)
        count += len(rows)
        product += rows.T @ rows  # [m, d] -> [d, d]
    return count, float(np.square(product).sum())


def _cosines(h: Rows) -> Iterator[tuple[np.ndarray, bool]]:
    """Cosines between the rows of each two blocks, [m, m'], and whether the two are one and the same."""
    size = min(_PAIR_ROWS, block_rows(h))
    for start, block in finite_blocks(h, name="h", size=size):
        rows = directions(block)
        for first, other in finite_blocks(h, name="h", size=size):
            if first > start:
                break
            yield rows @ (rows if first == start else directions(other)).T, first == start
