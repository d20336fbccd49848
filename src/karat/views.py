"""Embeddings of augmented views, with those of one image together."""

from __future__ import annotations

from typing import Any

import numpy as np

from .embeddings import Embeddings, as_embeddings
from .errors import InputError
from .stats.views import as_views

_NAMED = 5


class ViewSet:
    """v views of each of n images: `views[a:b]` reads those of images a to b, [m, v, d].

    Attributes:
        embeddings: one row a view, in any order.
        rows: the rows of each image, [n, v].
        ids: of the images, as text and rising, [n]; None where views were given as an array.
    """

    def __init__(self, embeddings: Embeddings, rows: np.ndarray, ids: np.ndarray | None = None) -> None:
        self.embeddings = embeddings
        self.rows = rows
        self.ids = ids
        self.shape = (*rows.shape, embeddings.d)

    def __getitem__(self, images: slice, /) -> np.ndarray:
        rows = self.rows[images]
        return self.embeddings[rows.ravel()].h[: rows.size].reshape(*rows.shape, self.shape[2])

    def take(self, images: np.ndarray) -> ViewSet:
        """Some of the images."""
        return ViewSet(self.embeddings, self.rows[images], None if self.ids is None else self.ids[images])


def view_set(views: Any, *, d: int) -> ViewSet:
    """Views by image, from Embeddings in which the rows of one id are the views of one image, or from an array.

    Args:
        views: Embeddings with ids and, where it is known, a column `view`; or an array [n images, v views, d].
        d: features that they must have.

    Raises:
        InputError: no ids, unequal numbers of views (with the ids), the same view of an image twice, one view only,
            other dimensions, another d.
        InputTypeError: no array of numbers.
    """
    if isinstance(views, Embeddings):
        rows = _rows_by_id(views)
        found = ViewSet(views, rows, np.unique(np.asarray(views.ids).astype(str)))
    else:
        array = np.asarray(as_views(views))
        n, v = array.shape[:2]
        rows = np.arange(n * v).reshape(n, v)
        found = ViewSet(as_embeddings(array.reshape(n * v, -1), "views"), rows)
    if found.shape[2] != d:
        raise InputError(
            f"views has {found.shape[2]} features, but h has {d}: both must come from the same encoder and layer"
        )
    return found


def _rows_by_id(views: Embeddings) -> np.ndarray:
    """The rows of each image, in the order of the column `view` where there is one, [n, v]."""
    if views.ids is None:
        raise InputError(
            "views has no ids, but rows of one id are the views of one image: give ids, or an [n, v, d] array"
        )
    names, image, counts = np.unique(views.ids.astype(str), return_inverse=True, return_counts=True)
    usual = int(np.bincount(counts).argmax())
    others = np.flatnonzero(counts != usual)
    if len(others):
        told = ", ".join(f"{names[i]} ({counts[i]})" for i in others[:_NAMED])
        raise InputError(
            f"views has {usual} rows of most ids, but another number of {len(others)}: {told}"
            f"{', ...' if len(others) > _NAMED else ''}: each image needs as many views as the others"
        )
    if usual < 2:
        raise InputError(f"views has one row of each of {len(names)} ids, but two or more views of an image are needed")
    if "view" not in views.extra:
        return np.argsort(image, kind="stable").reshape(-1, usual)
    number = np.unique(views.extra["view"], return_inverse=True)[1]
    rows = np.lexsort([number, image]).reshape(-1, usual)
    twice = np.flatnonzero((np.diff(number[rows], axis=1) == 0).any(axis=1))
    if len(twice):
        raise InputError(f"views has the same view twice of {len(twice)} ids, first of {names[twice[0]]}: remove one")
    return rows
