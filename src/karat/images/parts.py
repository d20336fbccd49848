"""Some images of a source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._files import digest_bytes
from .source import ImageSource


@dataclass(frozen=True, eq=False)
class Part(ImageSource):
    """Some images of a source."""

    whole: ImageSource
    rows: np.ndarray  # int64 [n]

    def encoded(self, i: int) -> bytes:
        return self.whole.encoded(int(self.rows[i]))

    def read(self, i: int) -> np.ndarray:
        return self.whole.read(int(self.rows[i]))

    def _extent(self) -> bytes:
        return f"{self.whole.digest} {digest_bytes(self.rows.astype(np.int64).tobytes())}".encode()


def part_of(source: ImageSource, rows: np.ndarray) -> Part:
    """The images of these rows, in their order, as a source of its own.

    >>> from karat.images import open_images
    >>> len(part_of(open_images(np.zeros((5, 8, 8, 3), np.uint8)), np.array([0, 3])))
    2
    """
    labels = None if source.labels is None else source.labels[rows]
    return Part(source.name, source.ids[rows], source.paths[rows], labels, source, rows)
