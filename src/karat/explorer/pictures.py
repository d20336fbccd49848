"""Pictures of samples: thumbnails made on demand, from pixels. Ids never become paths."""

from __future__ import annotations

import io
from collections.abc import Sequence
from threading import BoundedSemaphore, Lock
from typing import Any

import numpy as np

from .._optional import require
from ..errors import InputError
from .bounded import Bounded
from .image_files import ImageFiles, given_images, images_of
from .opened import OpenedRun

SIDES = (16, 512)
FULL = 1600
_CACHED = 64 << 20  # bytes of JPEG
_AT_ONCE = 2  # images that are decoded at once: each may take hundreds of megabytes
_SMALL = 64  # up to here a JPEG is kept nearly without loss: it will be shown enlarged
_NAMED, _COUNTED = 3, 1000  # images that cannot be read and are named, or counted


class Pictures:
    """Pictures of a run's samples. Nothing is opened before the first is asked for; any number of threads may ask.

    Args:
        run: its images.json says which image belongs to which id.
        images: where the images are instead, by the same ids (anything that `karat.images.open_images` takes).
    """

    def __init__(self, run: OpenedRun, images: Any = None) -> None:
        self._run, self._given = run, images
        self._files: ImageFiles | None = None
        self._opened = False
        self._why: list[str] = []
        self._unread: dict[str, str] = {}
        self._lock = Lock()
        self._decoding = BoundedSemaphore(_AT_ONCE)
        self._cache: Bounded[bytes] = Bounded(_CACHED)

    @property
    def available(self) -> bool:
        """Whether it is known where the images are; they may have moved."""
        return self._given is not None or (self._run.path / "images.json").is_file()

    @property
    def problems(self) -> list[str]:
        """Sentences: why there are no pictures, or not all; they grow as pictures are asked for."""
        with self._lock:
            unread = list(self._unread.values())
        more = f" and {len(unread) - _NAMED} more" if len(unread) > _NAMED else ""
        return [*self._why, *([f"Pictures are missing: {'; '.join(unread[:_NAMED])}{more}."] if unread else [])]

    def thumbnail(self, id: str, side: int = 128) -> bytes | None:
        """A JPEG that fits into a square of `side` pixels, made from the image's pixels; None: no such image.

        A smaller image keeps its size.

        Args:
            id: of the sample.
            side: from 16 to 512.

        Raises:
            InputError: a side out of range.
        """
        if not SIDES[0] <= side <= SIDES[1]:
            raise InputError(f"side is {side}, but a whole number from {SIDES[0]} to {SIDES[1]} is needed")
        return self._jpeg(id, side)

    def full(self, id: str) -> bytes | None:
        """A JPEG of the image, at most 1,600 pixels a side; None: no such image."""
        return self._jpeg(id, FULL)

    def pixels(self, id: str) -> np.ndarray | None:
        """uint8 [h, w, 3], upright RGB; None: no such image, which `problems` then says."""
        files = self._open()
        if files is None:
            return None
        try:
            return files.read(id)
        except InputError as error:
            with self._lock:
                if len(self._unread) < _COUNTED:
                    self._unread[id] = str(error)
            return None

    def files(self, ids: Sequence[str]) -> list[str]:
        """The absolute paths of the samples' image files, which are not opened.

        Raises:
            InputError: a sample without one, or images that are no files of their own.
        """
        files = self._open()
        if files is None:
            raise InputError(next(iter(self._why), "the run does not say where its images are").rstrip("."))
        return [files.file(id) for id in ids]

    def _jpeg(self, id: str, side: int) -> bytes | None:
        found = self._cache.get((id, side))
        if found is None:
            with self._decoding:
                pixels = self.pixels(id)
                found = None if pixels is None else _encoded(pixels, side)
            if found is not None:
                self._cache.put((id, side), found, len(found))
        return found

    def _open(self) -> ImageFiles | None:
        with self._lock:
            if not self._opened:
                self._opened = True
                try:
                    self._files = images_of(self._run.path) if self._given is None else given_images(self._given)
                except InputError as error:
                    self._why.append(f"There are no pictures: {error}.")
            return self._files


def _encoded(pixels: np.ndarray, side: int) -> bytes:
    """uint8 [h, w, 3] -> a JPEG of at most so many pixels a side; nothing of the file but its pixels is in it."""
    image = require("PIL.Image", "pictures").fromarray(pixels)
    image.thumbnail((side, side))
    file = io.BytesIO()
    if max(image.size) <= _SMALL:
        image.save(file, format="JPEG", quality=95, subsampling=0)
    else:
        image.save(file, format="JPEG", quality=85)
    return file.getvalue()
