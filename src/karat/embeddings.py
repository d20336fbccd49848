"""Embeddings: a matrix h with the ids, labels and other columns of its rows; read from disk only where looked at."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np

from ._array import Rows, as_rows, as_vector
from .errors import InputError, InputTypeError

RESERVED = ("id", "label", "row", "h")
_BLOCK_ROWS = 4096
Blocks = Iterator[np.ndarray]


class LazyRows:
    """A matrix [n, d] whose rows are read when they are asked for: `rows[a:b]` is an array, `rows[:]` the whole.

    Its children say how rows a to b are read.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        start, stop, step = rows.indices(self.shape[0])
        if step != 1:
            raise InputError(f"rows are read from disk in order, with a step of 1, but the step is {step}")
        return self._read(start, stop) if start < stop else np.empty((0, self.shape[1]), self.dtype)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self[:], dtype=dtype, copy=copy)

    def _read(self, start: int, stop: int) -> np.ndarray:
        raise NotImplementedError


class Shards(LazyRows):
    """Matrices with the same columns (arrays, memory maps, files), one below the other: `parts`.

    >>> Shards([np.zeros((2, 3)), np.ones((1, 3))])[1:3]
    array([[0., 0., 0.],
           [1., 1., 1.]])
    """

    def __init__(self, parts: Sequence[Rows]) -> None:
        if not parts:
            raise InputError("there are no shards, but at least one is needed")
        d, dtype = parts[0].shape[1], parts[0].dtype
        for number, part in enumerate(parts):
            if part.shape[1] != d or part.dtype != dtype:
                raise InputError(
                    f"shard {number} has {part.shape[1]} features of {part.dtype}, "
                    f"but shard 0 has {d} of {dtype}: they must be alike"
                )
        self.parts = parts
        self._starts = [0, *np.cumsum([part.shape[0] for part in parts]).tolist()]
        super().__init__((self._starts[-1], d), dtype)

    def _read(self, start: int, stop: int) -> np.ndarray:
        pieces = []
        number = bisect_right(self._starts, start) - 1
        while start < stop:
            first, end = self._starts[number], min(stop, self._starts[number + 1])
            pieces.append(self.parts[number][start - first : end - first])
            start, number = end, number + 1
        return _stack(pieces)


class Streamed(LazyRows):
    """Rows that a file gives decoded, block by block and forwards; the current block is kept.

    In the order of the rows, a whole pass decodes each block once and holds one at a time.

    Args:
        shape, dtype: of the matrix [n, d].
        starts: the rows at which decoding can begin, rising from 0.
        blocks_from: i -> the blocks from row starts[i] on.
    """

    _blocks: Blocks  # those that follow the current one
    _block: np.ndarray
    _first: int  # number of the current block's first row

    def __init__(
        self, shape: tuple[int, int], dtype: np.dtype, starts: Sequence[int], blocks_from: Callable[[int], Blocks]
    ) -> None:
        super().__init__(shape, dtype)
        self._starts = starts
        self._blocks_from = blocks_from
        self._lock = Lock()
        self._enter(0)

    def _read(self, start: int, stop: int) -> np.ndarray:
        pieces = []
        with self._lock:
            while start < stop:
                try:
                    self._move_to(start)
                except Exception:
                    self._enter(0)  # a generator that has failed gives nothing more
                    raise
                pieces.append(self._block[start - self._first : stop - self._first])
                start += len(pieces[-1])
        return _stack(pieces)

    def _move_to(self, row: int) -> None:
        """Make the block that holds `row` the current one."""
        number = bisect_right(self._starts, row) - 1
        if row < self._first or self._starts[number] > self._first + len(self._block):
            self._enter(number)
        while row >= self._first + len(self._block):
            block = next(self._blocks)
            self._first, self._block = self._first + len(self._block), block

    def _enter(self, number: int) -> None:
        """Begin at a chunk, with no block decoded yet."""
        self._blocks = self._blocks_from(number)
        self._block = np.empty((0, self.shape[1]), self.dtype)
        self._first = self._starts[number]


class Window(LazyRows):
    """Rows start to stop, and some columns, of another matrix; nothing is read before it is asked for."""

    def __init__(self, source: Rows, start: int, stop: int, columns: slice | np.ndarray) -> None:
        self._source, self._start, self._columns = source, start, columns
        d = len(np.arange(source.shape[1])[columns])
        super().__init__((max(0, stop - start), d), source.dtype)

    def _read(self, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._source[self._start + start : self._start + stop])[:, self._columns]


@dataclass(frozen=True, eq=False, repr=False)
class Embeddings:
    """A matrix h [n, d] of encoder outputs with what is known about its rows. Nothing is copied or read on creation.

    `embeddings[rows]` and `embeddings[rows, columns]` (slices, integer arrays, masks) are embeddings again. Of a file,
    slices of rows with any columns stay on disk. Rows without ids keep the row numbers that they had as ids.

    Attributes:
        h: [n, d], real; an array, a memory map, or rows that are read from disk (`h[:]` reads them all).
        ids: [n] strings or integers; None: the row number is the id. An id may occur twice.
        labels: [n]; None: no labels. A missing label is None (or NaN among floats).
        extra: name -> further columns [n]; not named id, label, row or h.
        provenance: where they come from, as plain JSON (name of the source file, encoder, preprocessing).

    Raises:
        InputError: a wrong shape, columns of another length, a reserved name.
        InputTypeError: h or ids of a type that cannot be used.

    >>> embeddings = Embeddings(np.eye(3), ids=["a", "b", "c"])
    >>> embeddings[1:].sample_ids
    array(['b', 'c'], dtype='<U1')
    """

    h: Rows
    ids: np.ndarray | None = None
    labels: np.ndarray | None = None
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        h = as_rows(self.h)
        n = h.shape[0]
        for name in self.extra:
            if name in RESERVED:
                raise InputError(f"extra has a column {name!r}, but {', '.join(RESERVED)} are taken: rename it")
        extra = {name: as_vector(values, f"extra[{name!r}]", n) for name, values in self.extra.items()}
        ids = None if self.ids is None else _check_ids(as_vector(self.ids, "ids", n))
        labels = None if self.labels is None else as_vector(self.labels, "labels", n)
        for name, value in (("h", h), ("ids", ids), ("labels", labels), ("extra", extra)):
            object.__setattr__(self, name, value)

    @property
    def n(self) -> int:
        """Number of samples (rows)."""
        return self.h.shape[0]

    @property
    def d(self) -> int:
        """Number of features (columns)."""
        return self.h.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Type of the entries of h."""
        return self.h.dtype

    @property
    def sample_ids(self) -> np.ndarray:
        """The ids, [n]; the row numbers where there are none."""
        return np.arange(self.n) if self.ids is None else self.ids

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        columns = [name for name in ("ids", "labels") if getattr(self, name) is not None] + list(self.extra)
        return f"Embeddings(n={self.n}, d={self.d}, dtype={self.dtype}{''.join(f', {name}' for name in columns)})"

    def __getitem__(self, index: Any) -> Embeddings:
        pair = index if isinstance(index, tuple) else (index, slice(None))
        if len(pair) != 2:
            raise InputError(f"embeddings have two dimensions, [rows, columns], but {len(pair)} were asked for")
        rows, columns = _check_index(pair[0], self.n, "rows"), _check_index(pair[1], self.d, "columns")
        return replace(
            self,
            h=_select(self.h, rows, columns),
            ids=self.ids if isinstance(rows, slice) and rows == slice(None) else self.sample_ids[rows],
            labels=None if self.labels is None else self.labels[rows],
            extra={name: values[rows] for name, values in self.extra.items()},
        )

    def blocks(self, *, rows: int = _BLOCK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
        """The matrix in blocks of so many rows, in order: (first row, array [<= rows, d])."""
        for start in range(0, self.n, rows):
            yield start, self.h[start : min(start + rows, self.n)]


def as_embeddings(value: Any, name: str = "h") -> Embeddings:
    """Embeddings as they are; any matrix [n, d] becomes embeddings without ids and labels.

    Raises:
        InputTypeError: a path, or nothing that can be a matrix.
        InputError: a wrong shape.
    """
    if isinstance(value, Embeddings):
        return value
    if isinstance(value, str | os.PathLike):
        raise InputTypeError(f"{name} is the path {os.fspath(value)!r}, but embeddings are needed: karat.load(path)")
    return Embeddings(as_rows(value, name))


def _check_ids(ids: np.ndarray) -> np.ndarray:
    if ids.dtype.kind == "T":
        ids = ids.astype(object)
    if ids.dtype == object:
        for row, value in enumerate(ids):
            if not isinstance(value, str):
                raise InputTypeError(f"the id of row {row} is {value!r}, but all ids must be strings, or all integers")
    elif ids.dtype.kind not in "iuU":
        raise InputTypeError(f"ids has dtype {ids.dtype} (first: {ids[0]!r}), but strings or integers are needed")
    return ids


def _check_index(index: Any, size: int, name: str) -> slice | np.ndarray:
    """A slice, or integers in [0, size)."""
    if isinstance(index, slice):
        return index
    array = np.asarray(index)
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise InputTypeError(f"{name} {index!r} cannot be taken: a slice, an array of integers or a mask is needed")
    if array.dtype == bool:
        if len(array) != size:
            raise InputError(f"the mask of {name} has {len(array)} entries, but there are {size} {name}")
        return np.flatnonzero(array)
    outside = (array < -size) | (array >= size)
    if outside.any():
        raise InputError(f"there are {size} {name}, but number {array[outside][0]} was asked for")
    return np.where(array < 0, array.astype(np.int64) + size, array)


def _select(h: Rows, rows: slice | np.ndarray, columns: slice | np.ndarray) -> Rows:
    everything = isinstance(columns, slice) and columns == slice(None)
    if isinstance(h, np.ndarray) and (everything or not isinstance(h, np.memmap)):
        return h[rows] if everything else h[rows][:, columns]
    if isinstance(rows, slice):
        start, stop, step = rows.indices(h.shape[0])
        if step == 1:
            return Window(h, start, stop, columns)
        rows = np.arange(start, stop, step)
    return _gather(h, rows)[:, columns]


def _gather(h: Rows, rows: np.ndarray) -> np.ndarray:
    """Rows in any order, [m, d], in one pass forwards over the blocks that hold them."""
    order = np.argsort(rows, kind="stable")
    rising = rows[order]
    taken = np.empty((len(rows), h.shape[1]), h.dtype)
    done = 0
    while done < len(rows):
        start = int(rising[done])
        end = int(np.searchsorted(rising, start + _BLOCK_ROWS))
        taken[order[done:end]] = h[start : min(start + _BLOCK_ROWS, h.shape[0])][rising[done:end] - start]
        done = end
    return taken


def _stack(pieces: list[np.ndarray]) -> np.ndarray:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
