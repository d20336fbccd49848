"""Views and other encoders' embeddings of the samples that are scored, joined to them by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._array import Rows, as_float
from ..embeddings import Embeddings, as_embeddings
from ..errors import InputError, InputTypeError
from ..joining import keys_of, listed, positions
from ..stats.digest import digest_rows

if TYPE_CHECKING:
    from ..views import ViewSet


@dataclass(frozen=True)
class Companions:
    """What else is known of the samples.

    Attributes:
        views: their augmented views; None: none are given.
        image: which image of the views each sample is, [n]; -1: none.
        ensemble: embeddings of the same samples by other encoders, row i of sample i; rows of NaN where one has none.
        digests: of all of them, as they were given.
        notes: sentences: which samples lack something.
    """

    views: ViewSet | None
    image: np.ndarray
    ensemble: tuple[Rows, ...]
    digests: dict[str, str]
    notes: tuple[str, ...]


def join(emb: Embeddings, views: Any, ensemble: Sequence[Any] | None, *, drop: bool) -> Companions:
    """Join by id; an array of views, and encoders of which one or the other has no ids, by position.

    Args:
        emb: the samples.
        views: Embeddings with ids, an array [n, v, d], or None.
        ensemble: Embeddings or arrays of the same samples, or None.
        drop: samples that views or an encoder lack are not refused.

    Raises:
        InputError: samples that are missing or occur twice, or another number of rows where there are no ids.
        InputTypeError: an ensemble that is no list.
    """
    digests: dict[str, str] = {}
    notes: list[str] = []
    found, image = None, np.empty(0, np.int64)
    if views is not None:
        from ..views import view_set  # with libraries that other scores do without

        found = view_set(views, d=emb.d)
        image = _images(emb, found, drop=drop)
        notes += _note("views", image)
        digests["views"] = digest_rows(found.embeddings.h)
    members = []
    for e, member in enumerate(_members(ensemble)):
        name = f"ensemble[{e}]"
        position = _positions(emb, member, name, drop=drop)
        notes += _note(name, position)
        digests[name] = digest_rows(member.h)
        members.append(_taken(member, position))
    return Companions(found, image, tuple(members), digests, tuple(notes))


def _members(ensemble: Sequence[Any] | None) -> list[Embeddings]:
    if ensemble is None:
        return []
    if isinstance(ensemble, Embeddings | np.ndarray | str):
        raise InputTypeError("ensemble is one set of embeddings, but a list of them is needed: ensemble=[other]")
    return [as_embeddings(member, f"ensemble[{e}]") for e, member in enumerate(ensemble)]


def _images(emb: Embeddings, views: ViewSet, *, drop: bool) -> np.ndarray:
    """Which image of the views each sample is; -1 where there is none and that is allowed."""
    if views.ids is None:
        return _by_position(emb, views.shape[0], "views")
    return _checked(positions(views.ids, keys_of(emb.sample_ids, "embeddings")), emb, "views", drop=drop)


def _positions(emb: Embeddings, member: Embeddings, name: str, *, drop: bool) -> np.ndarray:
    """Which row of an encoder's embeddings each sample is; -1 where there is none and that is allowed."""
    if emb.ids is None or member.ids is None:
        return _by_position(emb, member.n, name)
    keys = keys_of(member.ids, name)
    return _checked(positions(keys, keys_of(emb.ids, "embeddings")), emb, name, drop=drop)


def _by_position(emb: Embeddings, n: int, name: str) -> np.ndarray:
    if n != emb.n:
        raise InputError(
            f"{name} has {n} samples, but {emb.n} are scored: without ids in both they are taken in order, and must be "
            "as many"
        )
    return np.arange(n)


def _checked(position: np.ndarray, emb: Embeddings, name: str, *, drop: bool) -> np.ndarray:
    missing = emb.sample_ids[position < 0]
    if len(missing) == emb.n or (len(missing) and not drop):
        raise InputError(
            f"{name} lacks {len(missing)} of the {emb.n} samples ({listed(missing)}): samples join by id; add them, or "
            "give those samples null scores (karat score --on-bad-rows drop)"
        )
    return position


def _note(name: str, position: np.ndarray) -> list[str]:
    missing = int((position < 0).sum())
    return [f"{name} lacks {missing:,} of the samples, whose scores of it are null."] if missing else []


def _taken(member: Embeddings, position: np.ndarray) -> Rows:
    """Rows in the order of the samples: as they lie where that is their order, else read at once."""
    if np.array_equal(position, np.arange(member.n)):
        return member.h
    rows = member[np.maximum(position, 0)].h[0 : len(position)]
    if not (position < 0).any():
        return rows
    rows = as_float(rows).copy()
    rows[position < 0] = np.nan
    return rows
