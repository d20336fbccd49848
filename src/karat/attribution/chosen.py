"""Some images of a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from .._files import digest_bytes
from ..images import ImageSource


@dataclass(frozen=True, eq=False)
class Chosen(ImageSource):
    """Some images of a source, in any order."""

    source: ImageSource
    rows: np.ndarray = field(repr=False)  # int64 [m]

    @classmethod
    def of(cls, source: ImageSource, rows: np.ndarray) -> Self:
        """Images `rows` of a source."""
        labels = None if source.labels is None else source.labels[rows]
        return cls(source.name, source.ids[rows], source.paths[rows], labels, source=source, rows=rows)

    def encoded(self, i: int) -> bytes:
        return self.source.encoded(int(self.rows[i]))

    def read(self, i: int) -> np.ndarray:
        return self.source.read(int(self.rows[i]))

    def _extent(self) -> bytes:
        return digest_bytes(self.source.digest.encode(), np.asarray(self.rows, np.int64).tobytes()).encode()
