"""The reference set that the discriminative features are fitted on: one pass, two where features are signed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np

from .._array import Rows
from ..errors import InputError, KaratWarning
from ._blocks import column_means
from .activations import Activations, check_epsilon, reachable, refuse_bad, scan
from .digest import Digest
from .discriminative import Over, check_band, discriminative_features
from .epsilon import choose_epsilon, warn_if_unreachable
from .halves import Halves, Signed, checked_halves, is_signed


@dataclass(frozen=True)
class Counts:
    """What one pass knows of a set of rows; counts of disjoint sets add up, whatever the shards.

    Attributes:
        n: finite rows.
        activations: int64 [d] (or [2d]): rows that have the feature in L_i.
        zeros, negatives: entries of h that are zero, negative.
    """

    n: int
    activations: np.ndarray
    zeros: int
    negatives: int

    @classmethod
    def of(cls, found: Activations) -> Counts:
        """The counts of one chunk of activations."""
        return cls(len(found) - int(found.bad.sum()), found.counts, found.zeros, found.negatives)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.n + other.n,
            self.activations + other.activations,
            self.zeros + other.zeros,
            self.negatives + other.negatives,
        )


@dataclass(frozen=True)
class Reference:
    """Discriminative features, and all that is needed to score other samples with them.

    Attributes:
        counts: of the reference set.
        d: columns of h.
        discriminative: D as a mask, [d] (or [2d] where the features were split in halves).
        means: column means around which signed features are split, [d]; None where they are not.
        epsilon, lower, upper, over, normalize: as they were used.
        digest: xxh3-128 of the reference (dtype, shape, chunks of rows); empty where it was not asked for.
        chosen: whether epsilon was chosen ("auto").
    """

    counts: Counts
    d: int
    discriminative: np.ndarray
    means: np.ndarray | None
    epsilon: float
    lower: float
    upper: float
    over: Over
    normalize: bool
    digest: str
    chosen: bool = False

    @property
    def halves(self) -> bool:
        """Whether signed features were centred and split."""
        return self.means is not None

    @property
    def share(self) -> np.ndarray:
        """Activation share A_j of each feature, [d] or [2d], from 0 to 1."""
        return self.counts.activations / max(self.counts.n, 1)


class Spool(Protocol):
    """Where the activations of the pass go when they are wanted again."""

    def append(self, found: Activations) -> None: ...

    def clear(self) -> None:
        """The pass begins again: the features turned out to be signed."""


def warn_if_all_zero(reference: Reference) -> None:
    """Warn where no feature is discriminative although epsilon could be reached: then every Q-Score is 0.

    Warns:
        KaratWarning: says so.
    """
    features = len(reference.discriminative)
    if not reference.discriminative.any() and reachable(features, reference.epsilon):
        warnings.warn(
            f"none of {features} features is discriminative at epsilon = {reference.epsilon:g}, so every Q-Score is 0",
            KaratWarning,
            stacklevel=3,
        )


def fit_reference(
    h: Rows,
    *,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
    drop_bad: bool = False,
    threads: int | None = None,
    spool: Spool | None = None,
    ids: np.ndarray | None = None,
    hashed: bool = True,
    name: str = "h",
) -> Reference:
    """Count the highly activating features of a set and choose the discriminative ones.

    Signed features (`halves`): each column is centred on the set's mean and split in its positive and negative half, 2d
    non-negative features in all. "auto" does so where more than 0.1% of the entries are negative: the pass over
    non-negative data is the only one; it begins again at the first chunk that shows the data to be signed.

    Args:
        h: [n, d] real rows; read in chunks, memory does not grow with n.
        epsilon: threshold in standard deviations, or "auto" (see `choose_epsilon`).
        lower, upper, over: the band of activation shares (see `discriminative_features`).
        normalize: L2-normalise rows first.
        halves: "auto", True or False.
        seed: of the sample that epsilon="auto" looks at.
        drop_bad: pass over rows with NaN or Inf instead of refusing them.
        spool: given all activations, in order, in the same pass.
        ids: names of the rows, for the error that refuses some.
        hashed: take the digest of h in the same pass.
        name: what the error calls h.

    Raises:
        InputError: a parameter out of range, rows that are not finite, or no finite row at all.

    Warns:
        KaratWarning: d is so small that no feature can ever exceed the threshold.
    """
    check_band(lower, upper, over)
    halves = checked_halves(halves)
    chosen = epsilon == "auto"
    if epsilon == "auto":
        epsilon = choose_epsilon(
            h, lower=lower, upper=upper, over=over, normalize=normalize, halves=halves, seed=seed, threads=threads
        )
    epsilon = check_epsilon(epsilon)
    digest = Digest(h.shape, np.dtype(h.dtype)) if hashed else None
    means = column_means(h, normalize=normalize) if halves is True else None
    refuse = None if drop_bad else partial(refuse_bad, ids=ids, name=name)
    counts = None
    with suppress(Signed):
        counts = _count(h, epsilon, means, normalize, halves == "auto", refuse, threads, spool, digest)
    if counts is None:
        if spool is not None:
            spool.clear()
        digest = Digest(h.shape, np.dtype(h.dtype)) if hashed else None
        means = column_means(h, normalize=normalize)
        counts = _count(h, epsilon, means, normalize, False, refuse, threads, spool, digest)
    if counts.n == 0:
        raise InputError(f"all {h.shape[0]} rows of h contain NaN or infinity: nothing is left to score")
    warn_if_unreachable(len(counts.activations), epsilon, chosen=chosen)
    mask = discriminative_features(counts.activations, lower=lower, upper=upper, over=over)
    hexdigest = digest.hexdigest() if digest is not None else ""
    return Reference(counts, h.shape[1], mask, means, epsilon, lower, upper, over, normalize, hexdigest, chosen)


def _count(
    h: Rows,
    epsilon: float,
    means: np.ndarray | None,
    normalize: bool,
    may_be_signed: bool,
    refuse: Callable[[np.ndarray, int], None] | None,
    threads: int | None,
    spool: Spool | None,
    digest: Digest | None,
) -> Counts:
    """One pass: the counts of all rows, every chunk's activations to the spool.

    Raises:
        Signed: as soon as more than SIGNED_SHARE of all entries of h are known to be negative.
    """
    keep = spool is not None
    total = Counts(0, np.zeros(h.shape[1] * (1 if means is None else 2), np.int64), 0, 0)
    start = 0
    for found in scan(h, epsilon=epsilon, means=means, normalize=normalize, keep=keep, threads=threads, digest=digest):
        if refuse is not None:
            refuse(found.bad, start)
        total = total + Counts.of(found)
        if may_be_signed and is_signed(total.negatives, h.shape[0], h.shape[1]):
            raise Signed
        if spool is not None:
            spool.append(found)
        start += len(found)
    if may_be_signed and is_signed(total.negatives, total.n, h.shape[1]):
        raise Signed  # some rows were dropped: the share among those that are left decides
    return total
