"""Image sources: a folder of image files, an .npz of encoded files or raw pixels, or an array."""

from __future__ import annotations

import io
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._array import as_vector
from ._optional import require
from .errors import FileFormatError, InputError, InputTypeError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)
_ARRAYS = ("images", "bytes", "offsets", "y", "classes", "ids")
_WHITE = (255, 255, 255, 255)


@dataclass(frozen=True)
class ImageSource(ABC):
    """Images in a fixed order, decoded one at a time.

    Attributes:
        name: what was given: the last component of its path.
        ids: [n] str, each once.
        paths: [n] str, the path inside the source; the row number where there are no files.
        labels: [n] class names or numbers, or None.
    """

    name: str
    ids: np.ndarray
    paths: np.ndarray
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def encoded(self, i: int) -> bytes:
        """Image i as the bytes of an image file (PNG where the source holds raw pixels)."""

    def read(self, i: int) -> np.ndarray:
        """Image i as uint8 [h, w, 3], RGB, upright.

        Grey, palette, CMYK and 16-bit images are converted, EXIF orientation is applied, transparency is laid over
        white, and of an animation the first frame is taken.

        Raises:
            InputError: corrupt, truncated, too large (Pillow's MAX_IMAGE_PIXELS) or of an unknown range of values.
        """
        return _decode(self.encoded(i), str(self.ids[i]))


@dataclass(frozen=True)
class _Folder(ImageSource):
    """Files under a folder."""

    root: Path = field(repr=False)

    def encoded(self, i: int) -> bytes:
        try:
            return (self.root / str(self.paths[i])).read_bytes()
        except OSError as error:
            raise InputError(f"image {self.ids[i]!s} cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class _Archive(ImageSource):
    """Encoded files one after the other in one array."""

    data: np.ndarray = field(repr=False)  # uint8 [total]
    offsets: np.ndarray = field(repr=False)  # int64 [n + 1]

    def encoded(self, i: int) -> bytes:
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes()


@dataclass(frozen=True)
class _Pixels(ImageSource):
    """Raw pixels."""

    pixels: np.ndarray = field(repr=False)  # uint8 [n, h, w, 3]

    def encoded(self, i: int) -> bytes:
        file = io.BytesIO()
        require("PIL.Image", "writing PNG").fromarray(self.read(i)).save(file, format="PNG")
        return file.getvalue()

    def read(self, i: int) -> np.ndarray:
        return np.ascontiguousarray(self.pixels[i])


def open_images(images: str | os.PathLike[str] | np.ndarray | ImageSource) -> ImageSource:
    """Open a source of images.

    Args:
        images: one of

            * a folder: all image files under it, in the order of their relative paths (POSIX, sorted), which are the
              ids; where each file lies in a first-level sub-folder, that folder's name is the label. Hidden files,
              other suffixes and folders met a second time through a link are passed over;
            * an .npz with `images` uint8 [n, h, w, 3], or with `bytes` uint8 and `offsets` int64 [n + 1]: files one
              after the other. Optional: `y` [n] labels, `classes` the names that y counts from 0, `ids` [n];
            * an array uint8 [n, h, w, 3];
            * an `ImageSource`, which is returned as it is.

    Returns:
        At least one image. Pixels are decoded when they are read.

    Raises:
        InputError: missing, empty, without images, or with parts that do not fit together.
        InputTypeError: none of the above.
    """
    if isinstance(images, ImageSource):
        return images
    if isinstance(images, np.ndarray):
        return _pixels(images, "array", {})
    if not isinstance(images, str | os.PathLike):
        raise InputTypeError(f"images is a {type(images).__name__}, but a folder, an .npz file or an array is needed")
    path = Path(images)
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise InputError(f"{path} does not exist: a folder of images or an .npz file is needed")
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path} is neither a folder nor an .npz file: give the folder that holds the images")
    return _open_npz(path)


def _name(path: Path) -> str:
    return os.path.basename(os.path.abspath(path))


def _open_folder(root: Path) -> ImageSource:
    try:
        found = sorted(file.relative_to(root).as_posix() for file in _image_files(root))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}") from error
    if not found:
        raise InputError(f"{root} holds no image: files that end in {' '.join(sorted(SUFFIXES))} are needed")
    for path in found:
        if path != path.encode(errors="ignore").decode():
            raise InputError(f"{root} holds an image whose name cannot be stored as text: {path!a}: rename it")
    folders = [path.partition("/")[0] for path in found if "/" in path]
    ids = np.array(found)
    labels = np.array(folders) if len(folders) == len(found) else None
    return _Folder(name=_name(root), ids=ids, paths=ids, labels=labels, root=root)


def _image_files(root: Path) -> Iterator[Path]:
    """All image files under `root`; a folder that can be reached twice is entered once, by its real name if it can."""
    entered: set[Path] = set()
    folders: list[Path] = [root]
    links: list[Path] = []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        real = folder.resolve()
        if real in entered:
            continue
        entered.add(real)
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                (links if entry.is_symlink() else folders).append(entry)
            elif entry.suffix.lower() in SUFFIXES and entry.is_file():
                yield entry


def _open_npz(path: Path) -> ImageSource:
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
        return _pixels(arrays["images"], _name(path), arrays)
    if {"bytes", "offsets"} <= arrays.keys() and "images" not in arrays:
        return _archive(arrays["bytes"], arrays["offsets"], _name(path), arrays)
    raise InputError(
        f"{path} holds {', '.join(names) or 'nothing'}, but either images (uint8 [n, h, w, 3]), "
        "or bytes (uint8) with offsets (int64 [n + 1]) are needed"
    )


def _pixels(pixels: np.ndarray, name: str, arrays: dict[str, np.ndarray]) -> ImageSource:
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 or 0 in pixels.shape:
        raise InputError(f"images is {pixels.dtype} {list(pixels.shape)}, but uint8 [n, h, w, 3], none 0, is needed")
    return _Pixels(name=name, **_columns(arrays, len(pixels)), pixels=pixels)


def _archive(data: np.ndarray, offsets: np.ndarray, name: str, arrays: dict[str, np.ndarray]) -> ImageSource:
    if data.dtype != np.uint8 or data.ndim != 1:
        raise InputError(f"bytes is {data.dtype} {list(data.shape)}, but uint8 [total] is needed")
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or len(offsets) < 2:
        raise InputError(f"offsets is {offsets.dtype} {list(offsets.shape)}, but int64 [n + 1] with n >= 1 is needed")
    if offsets[0] != 0 or offsets[-1] != len(data):
        raise InputError(f"offsets run from {offsets[0]} to {offsets[-1]}, but bytes from 0 to {len(data)}")
    falling = np.flatnonzero(offsets[1:] <= offsets[:-1])
    if len(falling):
        raise InputError(f"offsets do not rise after entry {falling[0]}: image {falling[0]} would have no bytes")
    return _Archive(name=name, **_columns(arrays, len(offsets) - 1), data=data, offsets=offsets)


def _columns(arrays: dict[str, np.ndarray], n: int) -> dict[str, Any]:
    """ids, paths and labels of an .npz."""
    rows = np.char.zfill(np.arange(n).astype(str), len(str(n - 1)))
    ids = rows if "ids" not in arrays else as_vector(arrays["ids"], "ids", n).astype(str)
    if len(np.unique(ids)) < n:
        raise InputError(f"ids holds {len(np.unique(ids))} different values, but {n} are needed: one an image")
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


def _decode(data: bytes, name: str) -> np.ndarray:
    """The bytes of an image file -> uint8 [h, w, 3]."""
    pil = require("PIL.Image", "decoding images")
    orientation = require("PIL.ImageOps", "decoding images")
    try:
        with pil.open(io.BytesIO(data)) as image:
            limit = pil.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise InputError(f"it has {image.width} x {image.height} pixels, more than the {limit} allowed")
            return np.array(_to_rgb(orientation.exif_transpose(image)))
    except pil.UnidentifiedImageError as error:
        raise InputError(f"image {name} cannot be decoded: its content is that of no image file") from error
    except Exception as error:  # on corrupt files Pillow raises nearly anything
        raise InputError(f"image {name} cannot be decoded: {error}") from error


def _to_rgb(image: Image) -> Image:
    """Any mode -> RGB: 16-bit grey is scaled by 1/257, transparency is laid over white."""
    pil = require("PIL.Image", "decoding images")
    if image.mode == "F":
        raise InputError("it holds real numbers of unknown range, but 8 or 16 bits a channel are needed")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise InputError("it holds 32-bit numbers of unknown range, but 8 or 16 bits a channel are needed")
        image = pil.fromarray(np.rint(values / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = pil.alpha_composite(pil.new("RGBA", image.size, _WHITE), image)
    return image.convert("RGB")
