"""The digest of a matrix, and the chunks of rows that it and the pass over the rows go by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xxhash

from .._array import Rows, as_block

# Rows are read, hashed and handed to threads in chunks of this many bytes.
_CHUNK_BYTES = 1 << 23


@dataclass
class Digest:
    """xxh3-128 of dtype, shape and chunks of rows, taken while the rows are read."""

    shape: tuple[int, int]
    dtype: np.dtype
    _chunks: list[bytes] = field(default_factory=list)

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def hexdigest(self) -> str:
        header = f"{self.dtype.newbyteorder('<')} {list(self.shape)}".encode()
        return xxhash.xxh3_128(header + b"".join(self._chunks)).hexdigest()


def chunk_rows(h: Rows) -> int:
    """Rows in a chunk: a function of the row's size alone, so that the digest does not depend on the machine."""
    return max(1, _CHUNK_BYTES // max(1, h.shape[1] * np.dtype(h.dtype).itemsize))


def digest_rows(h: Rows) -> str:
    """xxh3-128 of dtype, shape and rows: the digest that a pass takes, without the pass."""
    digest = Digest((h.shape[0], h.shape[1]), np.dtype(h.dtype))
    size = chunk_rows(h)
    for start in range(0, h.shape[0], size):
        block = as_block(h[start : min(start + size, h.shape[0])])
        digest.add(xxhash.xxh3_128_digest(block.view(np.uint8).data))
    return digest.hexdigest()
