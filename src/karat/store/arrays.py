"""Files of arrays: .npy, .npz, .safetensors, .pt."""

from __future__ import annotations

import json
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from .._array import BFLOAT16
from .._optional import require
from ..errors import FileFormatError, InputError
from .content import Contents, column_named, pick

_SAFETENSORS_TYPES = {
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "BOOL": np.dtype("?"),
    **{f"{letter}{8 * size}": np.dtype(f"<{letter.lower()}{size}") for letter in "IU" for size in (1, 2, 4, 8)},
}


def read_npy(path: Path, key: str | None = None) -> Contents:
    """A memory map of an .npy array. A two-byte void is bfloat16: NumPy stores it so."""
    with open(path, "rb") as file:
        shape, fortran, dtype = _npy_header(file, path)
        offset = file.tell()
    _check_size(path, offset + prod(shape) * dtype.itemsize)
    h = _map(path, dtype, offset, shape, "F" if fortran else "C")
    return Contents(h, provenance={"source": path.name})


def read_npz(path: Path, key: str | None = None) -> Contents:
    """One array of an .npz, and the labels and ids in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}

            def header(name: str) -> tuple[tuple[int, ...], np.dtype]:
                with archive.open(members[name]) as file:
                    shape, _, dtype = _npy_header(file, path, name)
                return shape, np.dtype(object) if dtype.hasobject else dtype

            def read(name: str) -> np.ndarray:
                with archive.open(members[name]) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                return array.view(BFLOAT16) if array.dtype == np.dtype("V2") else array

            return _choose(path, key, {name: header(name) for name in members}, read)
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"{path} is truncated or damaged: {error}") from error


def read_safetensors(path: Path, key: str | None = None) -> Contents:
    """A memory map of one tensor of a .safetensors file, and the labels and ids in it."""
    try:
        with safe_open(path, framework="numpy"):  # checks that header and size of the file agree
            pass
    except SafetensorError as error:
        raise FileFormatError(f"{path} is truncated or damaged: {error}") from error
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        tensors = json.loads(file.read(size))
    tensors.pop("__metadata__", None)

    def read(name: str) -> np.ndarray:
        dtype = _SAFETENSORS_TYPES.get(tensors[name]["dtype"])
        if dtype is None:
            known = ", ".join(_SAFETENSORS_TYPES)
            raise FileFormatError(f"{path}: {name} has the type {tensors[name]['dtype']}, but one of {known} is needed")
        return _map(path, dtype, 8 + size + tensors[name]["data_offsets"][0], tuple(tensors[name]["shape"]))

    heads = {name: (tuple(entry["shape"]), entry["dtype"]) for name, entry in tensors.items()}
    return _choose(path, key, heads, read)


def read_torch(path: Path, key: str | None = None) -> Contents:
    """A tensor saved with torch, or one of a dictionary of them, loaded weights-only and mapped where it can be."""
    torch = require("torch", f"reading {path.name}")
    saved = _weights(torch, path)
    if isinstance(saved, torch.Tensor):
        saved, key = {"h": saved}, key or "h"
    if not isinstance(saved, Mapping):
        raise FileFormatError(f"{path} holds a {type(saved).__name__}, but a tensor or a dictionary of them is needed")
    tensors = {str(name): value for name, value in saved.items() if isinstance(value, torch.Tensor)}

    def read(name: str) -> Any:
        if tensors[name].layout != torch.strided or tensors[name].is_quantized:
            raise FileFormatError(f"{path}: {name} is sparse or quantised, but a dense tensor is needed")
        return tensors[name]

    heads = {name: (tuple(value.shape), str(value.dtype).removeprefix("torch.")) for name, value in tensors.items()}
    return _choose(path, key, heads, read)


def _weights(torch: ModuleType, path: Path) -> Any:
    with open(path, "rb") as file:
        is_zip = file.read(2) == b"PK"  # else the format of torch before 1.6, which cannot be mapped
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # torch.load raises whatever its parts raise
        if "weights only" in str(error).lower():
            raise _pickled(path, "it", "torch.save(tensor, file)") from error
        raise FileFormatError(f"{path} is truncated or damaged: {_first_sentence(error)}") from error


def read_vector(path: Path) -> np.ndarray:
    """A one-dimensional .npy array, in memory."""
    with open(path, "rb") as file:
        shape, _, dtype = _npy_header(file, path)
        _check_size(path, file.tell() + prod(shape) * dtype.itemsize)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def _choose(
    path: Path, key: str | None, heads: Mapping[str, tuple[tuple[int, ...], Any]], read: Callable[[str], Any]
) -> Contents:
    """The matrix, labels and ids among named arrays, of which only these are read."""
    shapes = {name: shape for name, (shape, _) in heads.items()}
    matrix = pick(path, shapes, key, {name: f"{list(shape)} {dtype}" for name, (shape, dtype) in heads.items()})
    shape, dtype = heads[matrix]
    if dtype == np.dtype(object):
        raise _pickled(path, matrix)
    plain = {name: shapes[name] for name, (_, kind) in heads.items() if kind != np.dtype(object)}
    columns: dict[str, Any] = {}
    for what in ("ids", "labels"):
        name = column_named(plain, what, shape[0] if shape else 0)
        if name is not None:
            columns[what] = read(name)
    return Contents(read(matrix), **columns, provenance={"source": path.name, "key": matrix})


def _npy_header(file: IO[bytes], path: Path, member: str | None = None) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and type of the .npy array that begins here."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, EOFError, TypeError, SyntaxError, tokenize.TokenError) as error:
        where = path if member is None else f"{path}: {member}"
        raise FileFormatError(f"{where} is truncated or damaged: no .npy header ({_first_sentence(error)})") from error
    if dtype.hasobject and member is None:
        raise _pickled(path, "it")
    return shape, fortran, BFLOAT16 if dtype == np.dtype("V2") else dtype


def _pickled(path: Path, name: str, instead: str = "np.save(file, array.astype('float32'))") -> FileFormatError:
    return FileFormatError(
        f"{path}: {name} holds pickled objects, which can run code and are never loaded: save plain numbers, {instead}"
    )


def _check_size(path: Path, promised: int) -> None:
    size = path.stat().st_size
    if size < promised:
        raise FileFormatError(f"{path} is truncated: its header promises {promised} bytes, but it has {size}")


def _map(path: Path, dtype: np.dtype, offset: int, shape: tuple[int, ...], order: str = "C") -> np.ndarray:
    if 0 in shape:  # an empty map is impossible
        return np.empty(shape, dtype)
    mapped: np.ndarray = np.memmap(path, dtype, "r", offset, shape, order)  # type: ignore[call-overload]
    return mapped


def _first_sentence(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
