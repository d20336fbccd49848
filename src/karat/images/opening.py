"""open_images: whatever names images -> a source of them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import InputError, InputTypeError
from .arrays import open_array, open_npz
from .files import open_folder
from .hugging_face import open_hf
from .lists import open_csv, open_text
from .source import ImageSource
from .tables import open_parquet
from .tars import open_tars
from .torchvision_sets import open_torchvision

_BY_PREFIX: dict[str, Callable[[str], ImageSource]] = {
    "hf": open_hf,
    "torchvision": open_torchvision,
    "wds": open_tars,
}
_BY_SUFFIX: dict[str, Callable[[Path], ImageSource]] = {
    ".npz": open_npz,
    ".parquet": open_parquet,
    ".csv": open_csv,
    ".txt": open_text,
}
_KINDS = (
    "a folder of images, an .npz, a Parquet of image bytes, a list of paths (.txt, .csv, .parquet), wds:PATTERN, "
    "hf:NAME[:SPLIT] or torchvision:NAME:ROOT[:SPLIT]"
)


def open_images(images: str | os.PathLike[str] | np.ndarray | ImageSource) -> ImageSource:
    """Open a source of images.

    Args:
        images: one of

            * a folder: all image files under it, in the order of their relative paths (POSIX, sorted), which are the
              ids; where each file lies in a first-level sub-folder, that folder's name is the label. Hidden files,
              other suffixes and folders met a second time through a link are passed over;
            * an .npz with `images` uint8 [n, h, w, 3], or with `bytes` uint8 and `offsets` int64 [n + 1]: files one
              after the other. Optional: `y` [n] labels, `classes` the names that y counts from 0, `ids` [n];
            * a .parquet with a column of image bytes (binary, or a struct with a field `bytes`; of several the one
              named image or img). Optional columns: id (else the row number), label, path. It is read row by row;
            * a list of image files: a .txt with a path a line, or a .csv or .parquet with a column path (or file,
              file_name, filename, image_path) and perhaps id and label. Paths are relative to the list's folder; the
              ids are the paths, relative to the folder that all files share where one lies outside the list's;
            * `wds:PATTERN`: WebDataset tars, PATTERN with {a,b}, {000..012}, * or ?. The id is the sample's key
              (shard/key where keys repeat), the label what .cls or .json (label, y, cls or class) says. Nothing is
              extracted, and of links, devices and the like nothing is followed;
            * `hf:NAME[:SPLIT]`: a Hugging Face data set by its hub name, or a folder (save_to_disk, imagefolder,
              Parquet); the images are its column of type Image. The id is a column id or __key__ whose values differ,
              else the file's path in a local folder, else the row number; the label a column label, or the only one
              of classes, by name;
            * `torchvision:NAME:ROOT[:SPLIT]`: a set of torchvision that lies in ROOT; without SPLIT its first one
              (train). Nothing is downloaded;
            * an array uint8 [n, h, w, 3];
            * an `ImageSource`, which is returned as it is.

    Returns:
        At least one image. Pixels are decoded when they are read; an image that cannot be decoded says so then.

    Raises:
        InputError: missing, empty, without images, of an unknown kind, or with parts that do not fit together.
        InputTypeError: none of the above.
        MissingDependencyError: hf: needs the extra `data`, torchvision: the extra `torch`.

    >>> source = open_images(np.zeros((2, 4, 6, 3), np.uint8))
    >>> len(source), source.ids.tolist(), source.read(1).shape
    (2, ['0', '1'], (4, 6, 3))
    """
    if isinstance(images, ImageSource):
        return images
    if isinstance(images, np.ndarray):
        return open_array(images, "array", {})
    if not isinstance(images, str | os.PathLike):
        raise InputTypeError(f"images is a {type(images).__name__}, but a folder, a file, a name or an array is needed")
    prefix, colon, rest = os.fsdecode(images).partition(":")
    if colon and prefix in _BY_PREFIX:
        return _BY_PREFIX[prefix](rest)
    path = Path(os.fsdecode(images))
    try:
        return _open_path(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _open_path(path: Path) -> ImageSource:
    if path.is_dir():
        return open_folder(path)
    if not path.exists():
        raise InputError(f"{path} does not exist{_hint(str(path))}: give {_KINDS}")
    open_file = _BY_SUFFIX.get(path.suffix.lower())
    if open_file is None:
        hint = f" (a tar is wds:{path})" if path.suffix.lower() == ".tar" else ""
        raise InputError(f"{path} is neither a folder nor an .npz, .parquet, .csv or .txt{hint}: give {_KINDS}")
    return open_file(path)


def _hint(name: str) -> str:
    """The nearest prefixes, where a name begins with something like one."""
    found = re.match(r"([\w.-]+):", name)
    if found is None:
        return ""
    near = difflib.get_close_matches(found[1].lower(), _BY_PREFIX, n=2, cutoff=0.5) or list(_BY_PREFIX)
    return f", and {found[1]}: is no kind of source (did you mean {' or '.join(f'{name}:' for name in near)}?)"
