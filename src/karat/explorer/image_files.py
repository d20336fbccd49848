"""Where the images of a run are: from an id to pixels. Only what images.json names is read, inside its source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np

from .. import runs
from ..errors import InputError
from ..images import ImageSource, open_images
from ..images.decoding import SUFFIXES, decode
from ..images.files import Files, read_bytes

# Sets that are opened by name may be fetched from elsewhere, or be read by libraries that run what they find: only
# where somebody names them, never because a run does.
_NAMED = ("hf:", "torchvision:")
_TARS = "wds:"


class ImageFiles(Protocol):
    """Images by the ids of samples."""

    def read(self, id: str) -> np.ndarray:
        """uint8 [h, w, 3], upright RGB.

        Raises:
            InputError: no such image, or one that cannot be read, or lies elsewhere.
        """

    def file(self, id: str) -> str:
        """The absolute path of the image's file.

        Raises:
            InputError: no such image, one that lies elsewhere, or images that are no files of their own.
        """


@dataclass(frozen=True)
class FolderImages:
    """Image files below a folder, which is not listed: a path is looked up, checked and read.

    Attributes:
        root: the folder.
        paths: id -> path below it.
    """

    root: Path
    paths: Mapping[str, str]

    def read(self, id: str) -> np.ndarray:
        """See `ImageFiles`."""
        return decode(read_bytes(inside(self.root, self._path(id), id), id), id)

    def file(self, id: str) -> str:
        """See `ImageFiles`."""
        inside(self.root, self._path(id), id)
        return os.path.abspath(self.root / self._path(id))

    def _path(self, id: str) -> str:
        path = self.paths.get(id)
        if path is None:
            raise InputError(f"image {id}: images.json does not name it")
        return path


@dataclass(frozen=True)
class SourceImages:
    """The images of a source.

    Attributes:
        source: an opened one.
        rows: id -> its number in the source.
        root: of image files, the folder that none may lie outside of; None: they may lie anywhere.
    """

    source: ImageSource
    rows: Mapping[str, int]
    root: Path | None = None

    def read(self, id: str) -> np.ndarray:
        """See `ImageFiles`."""
        row = self._row(id)
        if isinstance(self.source, Files):
            self._checked(self.source, row, id)
        return self.source.read(row)

    def file(self, id: str) -> str:
        """See `ImageFiles`."""
        if not isinstance(self.source, Files):
            raise InputError(
                f"the images of {self.source.name} lie in no files of their own, by whose paths other tools know them"
            )
        return os.path.abspath(self._checked(self.source, self._row(id), id))

    def _row(self, id: str) -> int:
        row = self.rows.get(id)
        if row is None:
            raise InputError(f"image {id}: the images hold none of this id")
        return row

    def _checked(self, source: Files, row: int, id: str) -> Path:
        file = source.root / str(source.paths[row])
        if self.root is not None:
            inside(self.root, os.path.relpath(file, self.root), id)
        return file


def images_of(run: Path) -> ImageFiles | None:
    """The images that a run's images.json names; None where there is none.

    Raises:
        InputError: they have moved, cannot be opened, or are a set that only a user may name.
    """
    named = runs.read_images(run)
    if named is None:
        return None
    if named.source.startswith(_NAMED):
        raise InputError(f"the images are {named.source!r}, which is opened only where you name it: give it as images")
    if named.source.startswith(_TARS):
        return _of_source(open_images(named.source), named.paths)
    where = run / named.source
    if where.is_dir():
        return FolderImages(where, named.paths)
    own = where.resolve().is_relative_to(run.resolve())  # a list that came with the run may name files of the run only
    return _of_source(open_images(where), named.paths, root=where.parent if own else None)


def given_images(images: Any) -> ImageFiles:
    """The images that a user names, by their own ids; links are followed.

    Raises:
        InputError, InputTypeError: they cannot be opened.
    """
    source = open_images(images)
    return SourceImages(source, {id: row for row, id in enumerate(source.ids.tolist())})


def inside(root: Path, path: str, id: str) -> Path:
    """A file below a folder.

    Raises:
        InputError: the path leads out of it, directly or over a link, or is not that of an image file.
    """
    parts = PurePosixPath(path)
    if not path or "\0" in path or parts.is_absolute() or ".." in parts.parts or Path(path).is_absolute():
        raise InputError(f"image {id}: its path leads out of the folder of images, and was not followed")
    if parts.suffix.lower() not in SUFFIXES:
        raise InputError(f"image {id}: its path is not that of an image file")
    file = root / path
    try:
        found = file.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name that is too long
        raise InputError(f"image {id} cannot be read: there is no such file") from error
    if not found.is_relative_to(root.resolve()):
        raise InputError(f"image {id}: a link leads out of the folder of images: name the folder to follow links")
    return found


def _of_source(source: ImageSource, paths: Mapping[str, str], *, root: Path | None = None) -> SourceImages:
    row_of = {path: row for row, path in enumerate(source.paths.tolist())}
    rows = {id: row for id, path in paths.items() if (row := row_of.get(path)) is not None}
    return SourceImages(source, rows, root)
