"""Any array-like -> a checked matrix [n, d]. The only place that knows tensors exist."""

from __future__ import annotations

import sys
from typing import Any, Protocol, runtime_checkable

import ml_dtypes
import numpy as np

from .errors import InputError, InputTypeError

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = (np.dtype(np.float16), BFLOAT16, np.dtype(np.float32), np.dtype(np.float64))


@runtime_checkable
class Rows(Protocol):
    """What the kernel reads: a matrix whose rows come as slices (an array, a memory map, shards of files)."""

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


def as_rows(h: Any, name: str = "h") -> Rows:
    """Check that `h` is a matrix [n, d] of numbers, n >= 1 and d >= 1, without copying it.

    NumPy arrays, memory maps, torch tensors (detached, moved to the CPU; bfloat16 stays so), nested lists, data
    frames, and anything with `shape`, `dtype` and row slices that give arrays. Values are not looked at: finiteness
    comes out of the kernel.

    Raises:
        InputTypeError: sparse, ragged, masked, object, string or complex input.
        InputError: not two dimensions, no rows, or no columns.
    """
    matrix = untensor(h, name)
    if isinstance(matrix, np.ma.MaskedArray):
        raise InputTypeError(f"{name} is a masked array, whose hidden entries would count: {name}.filled(np.nan)")
    if not isinstance(matrix, np.ndarray) and not _sliceable(matrix):
        matrix = _to_array(matrix, name)
    shape = tuple(matrix.shape)
    if len(shape) != 2:
        hint = "one sample is a row: h[None, :]" if len(shape) == 1 else "flatten or pool to one vector a sample"
        raise InputError(f"{name} has shape {list(shape)}, but a matrix [n samples, d features] is needed: {hint}")
    if 0 in shape:
        raise InputError(f"{name} has shape {list(shape)}: at least one sample and one feature are needed")
    dtype = np.dtype(matrix.dtype)
    if dtype not in FLOATS and dtype.kind not in "fiub":
        raise InputTypeError(
            f"{name} has dtype {dtype}, but real numbers are needed (float16, bfloat16, float32 or float64)"
        )
    return matrix


def as_block(rows: np.ndarray) -> np.ndarray:
    """A slice of rows, C-contiguous, in native byte order, as float16, bfloat16, float32 or float64.

    Integers and booleans become float64, long doubles float64; nothing is copied that need not be.
    """
    dtype = rows.dtype
    if dtype.newbyteorder("=") not in FLOATS:
        dtype = np.dtype(np.float64)
    return np.ascontiguousarray(rows, dtype=dtype.newbyteorder("="))


def as_float(rows: np.ndarray) -> np.ndarray:
    """The same numbers as float32 (from half precision and float32) or float64 (from the rest)."""
    block = as_block(rows)
    return block.astype(np.float32) if block.dtype.itemsize == 2 else block


def as_vector(values: Any, name: str, n: int | None = None) -> np.ndarray:
    """A one-dimensional array (of n entries where n is given): ids, labels or scores.

    Raises:
        InputError: another number of dimensions or entries.
        InputTypeError: no array at all.
    """
    try:
        vector = np.asarray(untensor(values, name))
    except ValueError as error:
        raise InputTypeError(f"{name} is no vector: its entries have different lengths") from error
    if vector.ndim != 1:
        raise InputError(f"{name} has shape {list(vector.shape)}, but one value a sample is needed")
    if n is not None and len(vector) != n:
        raise InputError(f"{name} has {len(vector)} entries, but there are {n} samples: they must be as many")
    return vector


def untensor(value: Any, name: str) -> Any:
    """A torch tensor as an array: detached, on the CPU, bfloat16 still bfloat16; anything else as it is.

    Raises:
        InputTypeError: a tensor without an array's memory: sparse, quantised, of an 8-bit float type.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    try:
        if value.dtype == torch.bfloat16:
            return value.detach().cpu().view(torch.int16).numpy().view(BFLOAT16)
        return value.numpy(force=True)
    except (TypeError, RuntimeError) as error:
        raise InputTypeError(f"{name} is a {value.dtype} tensor that no array can hold: {error}") from error


def _sliceable(value: Any) -> bool:
    return isinstance(value, Rows) and not hasattr(value, "iloc") and not hasattr(value, "tocsr")


def _to_array(value: Any, name: str) -> np.ndarray:
    if hasattr(value, "tocsr"):
        raise InputTypeError(f"{name} is a sparse matrix, but a dense one is needed: {name}.toarray()")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputTypeError(f"{name} is no matrix: its rows have different lengths") from error
    if array.dtype == object:
        raise InputTypeError(f"{name} is a {type(value).__name__} of objects, but a matrix of numbers is needed")
    return array
