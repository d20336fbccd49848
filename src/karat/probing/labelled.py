"""The labelled samples of embeddings, their classes, and the slice of them that is held out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._array import Rows
from ..embeddings import Embeddings
from ..errors import InputError, InputTypeError, KaratWarning

HELD_OUT = 0.2


@dataclass(frozen=True)
class Labelled:
    """The samples that have a label. The matrix stays where it lies.

    Attributes:
        name: of the argument, for messages.
        h: the whole matrix [N, d].
        rows: the numbers of the labelled rows, rising, int64 [n].
        labels, ids: of these rows, [n].
    """

    name: str
    h: Rows
    rows: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def labelled(emb: Embeddings, name: str) -> Labelled:
    """The samples with a label: anything but None, NaN and "".

    Raises:
        InputError: no labels, or labels that are neither text nor whole numbers.
        InputTypeError: not embeddings.
    """
    if not isinstance(emb, Embeddings):
        raise InputTypeError(f"{name} is a {type(emb).__name__}, but Embeddings(h, labels=y) are needed")
    if emb.labels is None:
        raise InputError(f"{name} has no labels, but a probe needs one a sample: load it with labels")
    rows = np.flatnonzero([not _missing(label) for label in emb.labels.tolist()])
    if not len(rows):
        raise InputError(f"{name} has {emb.n} samples, but none of them has a label")
    return Labelled(name, emb.h, rows, _classes(emb.labels[rows].tolist(), name), emb.sample_ids[rows])


def labelled_pair(train: Embeddings, val: Embeddings) -> tuple[Labelled, Labelled]:
    """Both sets, which must have the same features.

    Text that writes integers becomes integers where the other set has them: a column of a file is text as soon as one
    label is missing.
    """
    known, judged = labelled(train, "train"), labelled(val, "val")
    if train.d != val.d:
        raise InputError(f"train has {train.d} features, val {val.d}: both must come from the same encoder")
    if judged.labels.dtype.kind in "iu":
        known = _as_integers(known)
    if known.labels.dtype.kind in "iu":
        judged = _as_integers(judged)
    return known, judged


def classes_of(train: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """The classes in order, [k], and the class number of each sample, int64 [n].

    Raises:
        InputError: a single class.
    """
    classes, y = np.unique(train.labels, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"all {len(y)} labelled samples of {train.name} are of class {classes[0]!s}, but two classes are needed"
        )
    return classes, y.astype(np.int64)


def known(val: Labelled, classes: np.ndarray) -> np.ndarray:
    """The class number of each sample, int64 [n]; -1 for a class that training never saw, with a warning.

    Raises:
        InputError: training saw none of the classes.
    """
    column = {name: index for index, name in enumerate(classes.tolist())}
    y = np.array([column.get(name, -1) for name in val.labels.tolist()], np.int64)
    unseen = np.unique(val.labels[y < 0])
    if (y < 0).all():
        raise InputError(
            f"no label of val ({listed(unseen)}) is a class of train ({listed(classes)}): use the same names in both"
        )
    if len(unseen):
        warnings.warn(
            f"{(y < 0).sum()} of {len(y)} samples of val are of classes that train does not have ({listed(unseen)}): "
            "they count as wrong",
            KaratWarning,
            stacklevel=3,
        )
    return y


def held_out(y: np.ndarray, seed: int) -> np.ndarray:
    """A fifth of each class, at least one of two, as a mask [n]: every class stays in the rest."""
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]  # the classes one after the other, each shuffled
    sizes = np.bincount(y)
    taken = np.maximum((HELD_OUT * sizes).astype(np.int64), np.minimum(1, sizes - 1))
    place = np.arange(len(y)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # of a sample in its class
    mask = np.zeros(len(y), bool)
    mask[order[place < np.repeat(taken, sizes)]] = True
    if not mask.any():
        raise InputError(f"train has {len(y)} labelled samples, one a class, but at least two of some class are needed")
    return mask


def listed(names: Iterable[Any]) -> str:
    """The first few names."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:5]) + (" ..." if len(shown) > 5 else "")


def _missing(label: Any) -> bool:
    # Of pandas' NA no comparison is true or false.
    return label is None or type(label).__name__ == "NAType" or label == "" or label != label


def _classes(labels: list[Any], name: str) -> np.ndarray:
    """Text or integers [n]; whole numbers stored as reals are integers."""
    values = np.array(labels)
    if values.dtype.kind == "f":
        if not np.all((values == np.rint(values)) & (np.abs(values) < 2**53)):
            raise InputError(f"the labels of {name} are real numbers ({labels[0]}, ...), but a probe needs classes")
        return values.astype(np.int64)
    if values.ndim != 1 or values.dtype.kind not in "Uiub":
        kind = type(labels[0]).__name__
        raise InputError(f"the labels of {name} are of type {kind}, but text or whole numbers are needed, one a sample")
    return values


def _as_integers(samples: Labelled) -> Labelled:
    """With integers for labels, where each is text that is written just as an integer is."""
    text = samples.labels
    if text.dtype.kind != "U" or not all(name.lstrip("-").isdecimal() for name in text.tolist()):
        return samples
    try:
        numbers = np.array([int(name) for name in text.tolist()], np.int64)
    except (ValueError, OverflowError):
        return samples
    return replace(samples, labels=numbers) if (numbers.astype(str) == text).all() else samples
