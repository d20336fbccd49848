"""Images in arrays: raw pixels, or encoded files one after the other; from an .npz or from memory."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._array import as_vector
from .._files import digest_bytes
from ..errors import FileFormatError, InputError
from .decoding import encode_png
from .files import base_name
from .source import ImageSource, as_ids, row_numbers

_ARRAYS = ("images", "bytes", "offsets", "y", "classes", "ids")


@dataclass(frozen=True, eq=False)
class Archive(ImageSource):
    """Encoded files one after the other in one array."""

    data: np.ndarray = field(repr=False)  # uint8 [total]
    offsets: np.ndarray = field(repr=False)  # int64 [n + 1]

    def encoded(self, i: int) -> bytes:
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes()

    def _extent(self) -> bytes:
        return digest_bytes(self.offsets.astype(np.int64).tobytes(), np.ascontiguousarray(self.data).data).encode()


@dataclass(frozen=True, eq=False)
class Pixels(ImageSource):
    """Raw pixels."""

    pixels: np.ndarray = field(repr=False)  # uint8 [n, h, w, 3]

    def encoded(self, i: int) -> bytes:
        return encode_png(self.read(i))

    def read(self, i: int) -> np.ndarray:
        return np.array(self.pixels[i])

    def _extent(self) -> bytes:
        blocks = (np.ascontiguousarray(image).data for image in self.pixels)
        return digest_bytes(str(self.pixels.shape).encode(), *blocks).encode()


def open_npz(path: Path) -> ImageSource:
    """An .npz of raw pixels or encoded files; see `open_images`.

    Raises:
        FileFormatError: it is no .npz, or damaged, or holds Python objects.
        InputError: its arrays are not those of images, or do not fit together.
    """
    if not zipfile.is_zipfile(path):
        raise FileFormatError(f"{path} is no .npz archive: it is empty, truncated or of another format")
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.keys())
            arrays = {name: np.asarray(archive[name]) for name in _ARRAYS if name in names}
    except Exception as error:  # a broken zip or .npy raises nearly anything
        hint = "it holds Python objects, which are never unpickled" if "allow_pickle" in str(error) else f"{error}"
        raise FileFormatError(f"{path} cannot be read as an .npz of images: {hint}") from error
    if "images" in arrays and "bytes" not in arrays:
        return open_array(arrays["images"], base_name(path), arrays)
    if {"bytes", "offsets"} <= arrays.keys() and "images" not in arrays:
        return _archive(arrays["bytes"], arrays["offsets"], base_name(path), arrays)
    raise InputError(
        f"{path} holds {', '.join(names) or 'nothing'}, but either images (uint8 [n, h, w, 3]), "
        "or bytes (uint8) with offsets (int64 [n + 1]) are needed"
    )


def open_array(pixels: np.ndarray, name: str, arrays: dict[str, np.ndarray]) -> ImageSource:
    """Raw pixels uint8 [n, h, w, 3], with `ids`, `y` and `classes` where `arrays` has them.

    Raises:
        InputError: another type or shape, or parts that do not fit together.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 or 0 in pixels.shape:
        raise InputError(f"images is {pixels.dtype} {list(pixels.shape)}, but uint8 [n, h, w, 3], none 0, is needed")
    return Pixels(name=name, **_columns(arrays, len(pixels)), pixels=pixels)


def _archive(data: np.ndarray, offsets: np.ndarray, name: str, arrays: dict[str, np.ndarray]) -> ImageSource:
    if data.dtype != np.uint8 or data.ndim != 1:
        raise InputError(f"bytes is {data.dtype} {list(data.shape)}, but uint8 [total] is needed")
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or len(offsets) < 2:
        raise InputError(f"offsets is {offsets.dtype} {list(offsets.shape)}, but int64 [n + 1] with n >= 1 is needed")
    if offsets[0] != 0 or offsets[-1] != len(data):
        raise InputError(f"offsets run from {offsets[0]} to {offsets[-1]}, but bytes from 0 to {len(data)}")
    falling = np.flatnonzero(offsets[1:] < offsets[:-1])
    if len(falling):
        raise InputError(f"offsets fall after entry {falling[0]}: image {falling[0]} would end before it begins")
    return Archive(name=name, **_columns(arrays, len(offsets) - 1), data=data, offsets=offsets)


def _columns(arrays: dict[str, np.ndarray], n: int) -> dict[str, Any]:
    """ids, paths and labels of an .npz."""
    rows = row_numbers(n)
    ids = rows if "ids" not in arrays else as_ids(as_vector(arrays["ids"], "ids", n), "ids")
    return {"ids": ids, "paths": rows, "labels": _labels(arrays, n)}


def _labels(arrays: dict[str, np.ndarray], n: int) -> np.ndarray | None:
    if "y" not in arrays:
        return None
    y = as_vector(arrays["y"], "y", n)
    if "classes" not in arrays:
        return y
    classes = as_vector(arrays["classes"], "classes")
    if y.dtype.kind not in "iu":
        raise InputError(f"y is {y.dtype}, but with classes the number of each image's class is needed")
    if y.min() < 0 or y.max() >= len(classes):
        raise InputError(f"y runs from {y.min()} to {y.max()}, but there are {len(classes)} classes, counted from 0")
    return classes[y]
