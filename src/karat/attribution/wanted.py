"""Which features the map of each image shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .._array import as_rows
from ..errors import InputError
from ..stats.activations import Activations, concatenate, refuse_bad
from ..stats.qscore import score_chunks
from ..stats.reference import Reference

Features = Sequence[int] | Sequence[Sequence[int]] | np.ndarray


def given_features(features: Features, n: int, dim: int) -> np.ndarray:
    """Features that somebody chose, for all images alike or for each: int64 [n, k], -1 where an image has fewer.

    Args:
        features: numbers from 0 to dim - 1, or dim + j for the negative half of feature j; one list, or one an image.
        n, dim: images, and features of the encoder.

    Raises:
        InputError: no feature, one that there is not, or lists for another number of images.
    """
    single = isinstance(features, np.ndarray) and features.ndim == 1
    if single or not any(isinstance(entry, Iterable) for entry in features):
        lists = [_numbers(features, dim)] * n
        if not len(lists[0]):
            raise InputError("features is empty, but at least one feature is needed")
    else:
        lists = [_numbers(entry, dim) for entry in features]
    if len(lists) != n:
        raise InputError(f"features has lists for {len(lists)} images, but there are {n}")
    return padded(np.cumsum([0, *map(len, lists)]), np.concatenate(lists))


def discriminative_of(found: Activations, discriminative: np.ndarray) -> np.ndarray:
    """The highly activated discriminative features of each image, L_i ∩ D: int64 [n, k], -1 where it has fewer."""
    inside = discriminative[found.column]
    counts = np.bincount(found.row[inside], minlength=len(found))
    return padded(np.cumsum([0, *counts]), found.column[inside])


def discriminative_in(h: Any, reference: Reference, *, threads: int | None) -> np.ndarray:
    """The same from h [n, d]."""
    found = concatenate([found for found, _ in score_chunks(as_rows(h), reference, threads=threads)])
    refuse_bad(found.bad)
    return discriminative_of(found, reference.discriminative)


def padded(indptr: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Sparse rows as int64 [n, k], filled up with -1; k is at least 1."""
    lengths = np.diff(indptr)
    wanted = np.full((len(lengths), max(1, int(lengths.max(initial=0)))), -1, np.int64)
    wanted[np.arange(wanted.shape[1]) < lengths[:, None]] = column
    return wanted


def _numbers(features: Any, dim: int) -> np.ndarray:
    numbers = np.asarray(features)
    if numbers.size == 0:
        return np.zeros(0, np.int64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise InputError(f"features are {numbers.dtype} {list(numbers.shape)}, but whole numbers [f] are needed")
    outside = numbers[(numbers < 0) | (numbers >= 2 * dim)]
    if len(outside):
        raise InputError(
            f"there is no feature {outside[0]}: they are numbered from 0 to {dim - 1}, "
            f"and their negative halves from {dim} to {2 * dim - 1}"
        )
    return numbers.astype(np.int64)
