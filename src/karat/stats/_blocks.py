"""A matrix in blocks of rows: finite, in float, and the column means that centre it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._array import Rows, as_float
from ..errors import InputError

# One block in float64 takes this many bytes.
_BLOCK_BYTES = 1 << 25


def finite_blocks(h: Rows, *, name: str, size: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """The rows in order, block by block, each with the number of its first row.

    Args:
        h: [n, d].
        name: of the argument, for the message.
        size: rows in a block (default: 32 MiB of float64).

    Yields:
        (first row, float32 or float64 [m, d]).

    Raises:
        InputError: NaN or infinity; the first rows of the block are named.
    """
    n, d = h.shape
    size = size or max(1, _BLOCK_BYTES // (8 * d))
    for start in range(0, n, size):
        block = as_float(h[start : min(start + size, n)])
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            bad = start + np.flatnonzero(~finite)
            raise InputError(
                f"{name} contains NaN or infinity, first in rows {', '.join(map(str, bad[:5]))}"
                f"{' ...' if len(bad) > 5 else ''}: remove these samples"
            )
        yield start, block


def column_means(h: Rows, *, name: str) -> np.ndarray:
    """Mean of each column, float64 [d].

    Sums are taken from the first row on: large offsets cost no digits, and identical rows are their mean exactly.
    """
    first = next(finite_blocks(h, name=name, size=1))[1][0].astype(np.float64)
    total = np.zeros(h.shape[1])
    for _, block in finite_blocks(h, name=name):
        total += (block - first).sum(axis=0)
    return first + total / h.shape[0]
