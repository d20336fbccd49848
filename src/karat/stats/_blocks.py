"""A matrix in blocks of rows: finite and in float, or as the kernel takes it; and the column means that centre it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .._array import BFLOAT16, Rows, as_block, as_float
from ..errors import InputError
from . import _kernel
from .digest import chunk_rows

# One block in float64 takes this many bytes.
_BLOCK_BYTES = 1 << 25
# (rows [m, d], their numbers [m]) -> [m]
Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]


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
    for numbers, block in numbered_blocks(h, name=name, size=size):
        yield int(numbers[0]), block


def numbered_blocks(
    h: Rows, *, name: str, drop: bool = False, size: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The finite rows in order, block by block, with their numbers; the others are refused, or passed over.

    Args:
        h: [n, d].
        name: of the argument, for the message.
        drop: pass over rows with NaN or infinity.
        size: rows in a block (default: 32 MiB of float64).

    Yields:
        (int64 [m], float32 or float64 [m, d]); m can be 0 where rows are passed over.

    Raises:
        InputError: NaN or infinity; the first rows of the block are named.
    """
    n = h.shape[0]
    size = size or block_rows(h)
    for start in range(0, n, size):
        block = as_float(h[start : min(start + size, n)])
        numbers = np.arange(start, start + len(block))
        finite = np.isfinite(block).all(axis=1)
        if finite.all():
            yield numbers, block
            continue
        if not drop:
            bad = numbers[~finite]
            raise InputError(
                f"{name} contains NaN or infinity, first in rows {', '.join(map(str, bad[:5]))}"
                f"{' ...' if len(bad) > 5 else ''}: remove these samples"
            )
        yield numbers[finite], block[finite]


def block_rows(h: Rows) -> int:
    """Rows of a block that takes 32 MiB in float64."""
    return max(1, _BLOCK_BYTES // (8 * h.shape[1]))


def each_row(h: Rows, measure: Measure, *, name: str = "h", size: int | None = None) -> np.ndarray:
    """One number a row, measured block by block: [n, d] -> float64 [n].

    Raises:
        InputError: NaN or infinity.
    """
    blocks = numbered_blocks(h, name=name, size=size)
    return np.concatenate([measure(block, numbers) for numbers, block in blocks])


def sampled_rows(h: Rows, limit: int, *, seed: int, name: str, drop: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """At most `limit` rows, drawn without replacement, in their order: their numbers and the rows, float64.

    Of the rows drawn, those that are not finite are refused, or left out.

    Raises:
        InputError: NaN or infinity among them, or nothing else.
    """
    n = h.shape[0]
    drawn = np.arange(n) if n <= limit else np.sort(np.random.default_rng(seed).choice(n, limit, replace=False))
    rows = h[0:n] if n <= limit else np.concatenate([h[row : row + 1] for row in drawn.tolist()])
    kept = [(drawn[numbers], block) for numbers, block in numbered_blocks(rows, name=name, drop=drop)]
    numbers, rows = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    if not len(numbers):
        raise InputError(f"all rows of {name} contain NaN or infinity: nothing can be fitted on them")
    return numbers, rows.astype(np.float64)


def column_means(h: Rows, *, normalize: bool = False) -> np.ndarray:
    """Mean of each column over the finite rows, float64 [d]; of L2-normalised rows where asked.

    Sums are taken from the first finite row on: large offsets cost no digits, and identical rows are their mean
    exactly.
    """
    first, total, n = None, np.zeros(h.shape[1]), 0
    size = chunk_rows(h)
    for start in range(0, h.shape[0], size):
        bits = as_bits(as_block(h[start : min(start + size, h.shape[0])]))
        if first is None:
            first = _first_finite(bits, normalize)
        if first is not None:
            n += _kernel.add_columns(bits, normalize, first, total)
    return total if first is None else first + total / n


def as_bits(block: np.ndarray) -> np.ndarray:
    """A block as the kernel takes it: float16 as int16, bfloat16 as uint16 (their bits), other types as they are.

    Read-only, whether the array is or not: each would be compiled apart.
    """
    bits = block.view({np.dtype(np.float16): np.int16, BFLOAT16: np.uint16}.get(block.dtype, block.dtype))
    bits.flags.writeable = False
    return bits


def _first_finite(bits: np.ndarray, normalize: bool) -> np.ndarray | None:
    nothing = np.zeros(bits.shape[1])
    for i in range(len(bits)):
        row = np.zeros(bits.shape[1])
        if _kernel.add_columns(bits[i : i + 1], normalize, nothing, row):
            return row
    return None
