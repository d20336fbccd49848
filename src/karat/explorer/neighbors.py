"""The nearest neighbours of a sample, by its embedding."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

import numpy as np

from ..errors import FileFormatError, InputError
from ..stats._blocks import column_means
from .embedded import Embedded, embedded
from .opened import OpenedRun

_BLOCK_BYTES = 1 << 25  # of a block in float32
_MOST = 200
# A search reads the whole matrix: one at a time.
_searching = Lock()


def nearest(run: OpenedRun, id: str, k: int = 12) -> list[tuple[str, float]]:
    """(id, cosine similarity from -1 to 1) of the k samples nearest to one, the nearest first; itself left out.

    cos(h_i - m, h_j - m) with the mean m of all rows, as the score knn_similarity takes it, but in float32. They are
    looked for among the embeddings that the sample is in, block by block. What was found is kept.

    Args:
        run: an opened one.
        id: of the sample.
        k: how many, from 1 to 200; fewer where there are fewer.

    Returns:
        Empty where the run holds no embeddings of this sample, or they cannot be read.

    Raises:
        InputError: k out of range.

    Reference: see `karat.stats.knn_similarity`.
    """
    if not 1 <= k <= _MOST:
        raise InputError(f"k is {k}, but a whole number from 1 to {_MOST} is needed")
    try:
        with _searching:
            return list(_found(run, id, k))
    except (FileFormatError, OSError):  # the run says what is damaged
        return []


@lru_cache(maxsize=1000)
def _found(run: OpenedRun, id: str, k: int) -> tuple[tuple[str, float], ...]:
    for folder in embedded(run.path):
        row = folder.row_of(id)
        if row is not None:
            rows, similarity = _nearest_rows(folder, row, k)
            return tuple(zip(folder.ids_at(rows.tolist()), similarity.tolist(), strict=True))
    return ()


@lru_cache(maxsize=4)
def _means(folder: Embedded) -> np.ndarray:
    return column_means(folder.h).astype(np.float32)


def _nearest_rows(folder: Embedded, row: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the k largest similarities, and these, the largest first; of equal ones the first row first."""
    h, means = folder.h, _means(folder)
    own = h[row : row + 1].astype(np.float32)[0] - means
    length = float(np.linalg.norm(own))
    if not np.isfinite(length):
        return np.empty(0, np.int64), np.empty(0)
    unit = own / length if length > 0 else own
    best, similarity = np.empty(0, np.int64), np.empty(0, np.float32)
    size = max(1, _BLOCK_BYTES // (4 * h.shape[1]))
    for start in range(0, h.shape[0], size):
        found = _similarity(h[start : start + size], means, unit)
        if start <= row < start + len(found):
            found[row - start] = -np.inf
        best = np.concatenate([best, np.arange(start, start + len(found))])
        similarity = np.concatenate([similarity, found])
        order = np.lexsort((best, -similarity))[:k]
        best, similarity = best[order], similarity[order]
    known = np.isfinite(similarity)
    return best[known], np.clip(similarity[known].astype(np.float64), -1, 1)


def _similarity(block: np.ndarray, means: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Cosines of the rows [m, d] to a unit vector, float32 [m]; 0 for a row at the mean, -inf for one not finite."""
    centred = block.astype(np.float32) - means
    norm = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    cosine = np.divide(centred @ unit, norm, out=np.zeros_like(norm), where=norm > 0)
    cosine[~np.isfinite(norm)] = -np.inf
    return cosine
