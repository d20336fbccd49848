"""Samples of different files are the same where their ids are: the number 7 and the text "7" are one id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from .errors import InputError

_NAMED = 3


def keys_of(ids: np.ndarray, name: str) -> np.ndarray:
    """Ids as text, each of them once.

    Raises:
        InputError: ids that occur twice; the first are named.

    >>> keys_of(np.array([7, 8]), "scores").tolist()
    ['7', '8']
    """
    keys = np.asarray(ids).astype(str)
    unique, times = np.unique(keys, return_counts=True)
    if len(unique) < len(keys):
        twice = unique[times > 1]
        raise InputError(f"{len(twice)} ids of the {name} occur more than once ({listed(twice)}): samples join by id")
    return keys


def positions(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted key stands among the keys (each there once); -1 where it is not there.

    >>> positions(np.array(["b", "a"]), np.array(["a", "b", "c"])).tolist()
    [1, 0, -1]
    """
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order][place] == wanted, order[place], -1)


def shared(keys: Iterable[np.ndarray]) -> np.ndarray:
    """The keys that all have, in the order of the first.

    >>> shared([np.array(["c", "a", "b"]), np.array(["b", "c"])]).tolist()
    ['c', 'b']
    """
    first, *others = keys
    common = reduce(np.intersect1d, others, first)
    return first[np.isin(first, common)]


def listed(names: Iterable[Any]) -> str:
    """The first few of some names, for a message."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:_NAMED]) + (", ..." if len(shown) > _NAMED else "")


def prefixed(inputs: Mapping[str, str], of: str) -> dict[str, str]:
    """The digests behind a record as those behind one that is made from it."""
    return {f"{of}.{name}": digest for name, digest in inputs.items()}
