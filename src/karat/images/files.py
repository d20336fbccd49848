"""Image files: all under a folder, or those that a list names."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from .._files import reason
from ..errors import InputError
from .decoding import SUFFIXES
from .source import ImageSource, as_ids

# No image in use comes near it (Pillow's limit of pixels, uncompressed, is half of it); what does is no image.
LARGEST = 1 << 30


@dataclass(frozen=True, eq=False)
class Files(ImageSource):
    """Files under a folder: `paths` are relative to it."""

    root: Path = field(repr=False)

    @classmethod
    def below(
        cls, root: Path, paths: Sequence[str], *, name: str, labels: np.ndarray | None, ids: np.ndarray | None = None
    ) -> Self:
        """Files by their paths relative to `root`, which are the ids where there are no others."""
        checked = as_ids(paths, name) if ids is None else np.array(paths)
        return cls(name=name, ids=checked if ids is None else ids, paths=checked, labels=labels, root=root)

    def encoded(self, i: int) -> bytes:
        return read_bytes(self.root / str(self.paths[i]), str(self.ids[i]))

    def _extent(self) -> bytes:
        return np.array([_size(self.root / str(path)) for path in self.paths], np.int64).tobytes()


def read_bytes(path: Path, name: str) -> bytes:
    """The content of an image's file.

    Raises:
        InputError: it is missing, unreadable, no regular file (a pipe, a device) or larger than any image.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"image {name} cannot be read: it is no regular file")
        refuse_large(status.st_size, name)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"image {name} cannot be read: {reason(error)}") from error


def refuse_large(size: int, name: str) -> None:
    """Refuse an image file of more than 1 GiB.

    Raises:
        InputError: it is larger.
    """
    if size > LARGEST:
        raise InputError(f"image {name} cannot be read: it has {size:,} bytes, more than the {LARGEST:,} allowed")


def open_folder(root: Path) -> Files:
    """All image files under a folder, in the order of their relative paths; see `open_images`.

    Raises:
        InputError: it cannot be read, holds no image, or one whose name is no text.
    """
    try:
        found = sorted(file.relative_to(root).as_posix() for file in _image_files(root))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {reason(error)}") from error
    if not found:
        raise InputError(f"{root} holds no image: files that end in {' '.join(sorted(SUFFIXES))} are needed")
    folders = [path.partition("/")[0] for path in found if "/" in path]
    labels = None if len(folders) < len(found) else np.array(folders)
    return Files.below(root, found, name=base_name(root), labels=labels)


def base_name(path: Path) -> str:
    """The last component of a path, of the folder itself for "."."""
    return os.path.basename(os.path.abspath(path))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _image_files(root: Path) -> Iterator[Path]:
    """All image files under `root`; a folder that can be reached twice is entered once, by its real name if it can.

    Links that lead nowhere are among them: reading one says so.
    """
    entered: set[Path] = set()
    folders: list[Path] = [root]
    links: list[Path] = []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        real = folder.resolve()
        if real in entered:
            continue
        entered.add(real)
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            is_link = entry.is_symlink()
            if os.path.isdir(entry.path) if is_link else entry.is_dir():
                (links if is_link else folders).append(folder / entry.name)
            elif _is_image(entry):
                yield folder / entry.name


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file with an image's suffix, or a link with one that leads nowhere."""
    if os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
        return False
    if entry.is_symlink():
        return os.path.isfile(entry.path) or not os.path.exists(entry.path)
    return entry.is_file()
