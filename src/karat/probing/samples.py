"""Labelled samples on their way to a device: in blocks or batches, standardised, from wherever the matrix lies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._array import Rows, as_float
from .._files import writing
from ..embeddings import Shards
from ..errors import InputError
from .devices import Device
from .labelled import Labelled, listed

# Entries of the widest matrix that is made of a block: what fits the caches, in rows enough for a product.
_ENTRIES, _ROWS = 1 << 20, 256
_CACHED = 1 << 18  # entries of a block that one core looks at several times
Transform = Callable[[np.ndarray], np.ndarray]


def block_rows(width: int) -> int:
    """Rows in a block whose widest matrix has so many columns."""
    return max(_ROWS, _ENTRIES // width)


def blocks(h: Rows, rows: np.ndarray, *, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows of a matrix, in order, from one pass over it.

    Args:
        h: [N, d].
        rows: their numbers, rising, [n].
        size: rows of h that are looked at together.

    Yields:
        (which of `rows`, float32 or float64 [m, d]).
    """
    for start in range(0, h.shape[0], size):
        low, high = np.searchsorted(rows, (start, start + size)).tolist()
        if low == high:
            continue
        block = h[start : min(start + size, h.shape[0])]
        yield slice(low, high), as_float(block if high - low == len(block) else block[rows[low:high] - start])


def finite_blocks(samples: Labelled) -> Iterator[np.ndarray]:
    """The labelled rows, block by block.

    Raises:
        InputError: NaN or infinity; the first ids of the block are named.
    """
    for part, block in blocks(samples.h, samples.rows, size=max(16, _CACHED // samples.h.shape[1])):
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad):
            raise InputError(
                f"h of {samples.name} holds NaN or infinity, first in ids {listed(samples.ids[part][bad])}: "
                "remove these samples"
            )
        yield block


def refuse_bad(samples: Labelled) -> None:
    """Look at every row.

    Raises:
        InputError: NaN or infinity.
    """
    for _ in finite_blocks(samples):
        pass


@dataclass(frozen=True)
class Standard:
    """Columns minus their mean, divided by their standard deviation (a constant one by 1).

    Attributes:
        mean, scale: float64 [d].
    """

    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Float rows [m, d], standardised, as float32."""
        moved = block - self.mean.astype(block.dtype)
        moved /= self.scale.astype(block.dtype)
        return moved.astype(np.float32, copy=False)


def standard_of(samples: Labelled) -> Standard:
    """Mean and standard deviation (ddof=0) of the columns, in float64 and one pass, merged block by block.

    Raises:
        InputError: NaN, infinity, or numbers too large to be squared.
    """
    n, first, mean, scatter = 0, np.zeros(0), np.zeros(0), np.zeros(0)
    with np.errstate(over="ignore"):
        for block in finite_blocks(samples):
            rows = block.astype(np.float64)
            if n == 0:
                first, mean, scatter = rows[0].copy(), np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
            rows -= first  # a constant column is 0, exactly
            center = rows.mean(axis=0)
            rows -= center
            shift, m = center - mean, len(rows)
            scatter += np.einsum("ij,ij->j", rows, rows) + shift**2 * (n * m / (n + m))
            mean += shift * (m / (n + m))
            n += m
    if not np.isfinite(scatter).all():
        raise InputError(f"h of {samples.name} has numbers too large to be squared: divide them by a constant")
    scale = np.sqrt(scatter / n)
    return Standard(first + mean, np.where(scale > 0, scale, 1.0))


def as_float32(block: np.ndarray) -> np.ndarray:
    """Float rows as they are, as float32."""
    return block.astype(np.float32, copy=False)


class Blocks:
    """Some rows and their classes on a device, block by block: kept there, or made again each time.

    Args:
        h, rows: which rows of which matrix; the rows rising, [n].
        y: their classes, int64 [n].
        transform: float rows -> float32 rows.
        size: rows of h in a block.
        kept: keep them on the device.
    """

    def __init__(
        self, h: Rows, rows: np.ndarray, y: np.ndarray, transform: Transform, device: Device, *, size: int, kept: bool
    ) -> None:
        self.device, self.y, self.d = device, y, h.shape[1]
        self._source = h, rows, size
        self._transform, self._kept = transform, kept
        self._made: list[tuple[Any, Any]] = []

    def __len__(self) -> int:
        return len(self.y)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Float32 rows [m, d] and classes int64 [m]."""
        if self._made:
            yield from self._made
            return
        h, rows, size = self._source
        made = []
        for part, block in blocks(h, rows, size=size):
            pair = self.device.put(self._transform(block)), self.device.put(self.y[part])
            if self._kept:
                made.append(pair)
            yield pair
        self._made = made


class Batches:
    """Rows in any order as float32 batches on a device. Only the rows of a batch are read, and widened, at a time.

    Args:
        h: an array, a memory map, shards of them; anything else can be read in order only, and is copied to a
            temporary file first.
        transform: float rows -> float32 rows.

    Raises:
        OutputError: the temporary file could not be written.
    """

    def __init__(self, h: Rows, transform: Transform, device: Device) -> None:
        self.d = h.shape[1]
        given = h.parts if isinstance(h, Shards) else [h]
        self._parts = [part if isinstance(part, np.ndarray) else _copied(part) for part in given]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])
        self._transform, self._device = transform, device

    def __call__(self, rows: np.ndarray) -> Any:
        """These rows, [m, d]."""
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        block = np.empty((len(rows), self.d), self._parts[0].dtype)
        for number in np.unique(numbers):
            mine = numbers == number
            block[mine] = self._parts[number][rows[mine] - self._starts[number]]
        return self._device.put(self._transform(as_float(block)))


def _copied(h: Rows) -> np.ndarray:
    """The same matrix in a temporary file, mapped into memory; gone when it is no longer used."""
    with tempfile.TemporaryFile() as file, writing(Path(tempfile.gettempdir())):
        size = block_rows(h.shape[1])
        for start in range(0, h.shape[0], size):
            file.write(np.ascontiguousarray(h[start : min(start + size, h.shape[0])]).view(np.uint8).data)
        file.flush()
        return np.memmap(file, h.dtype, "r", shape=h.shape)
