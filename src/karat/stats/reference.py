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

# Features count as signed where more than this share of the reference's entries is negative.
SIGNED_SHARE = 0.001
# epsilon="auto" tries these, from the paper's value down, on at most AUTO_ROWS reference rows.
AUTO_EPSILONS = (4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0)
AUTO_ROWS = 20_000
AUTO_EMPTY_SHARE = 0.05

Halves = Literal["auto"] | bool


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


class _Signed(Exception):
    """More entries are negative than an unsigned representation may have."""


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
    halves = _checked_halves(halves)
    if epsilon == "auto":
        epsilon = choose_epsilon(
            h, lower=lower, upper=upper, over=over, normalize=normalize, halves=halves, seed=seed, threads=threads
        )
    epsilon = check_epsilon(epsilon)
    digest = Digest(h.shape, np.dtype(h.dtype)) if hashed else None
    means = column_means(h, normalize=normalize) if halves is True else None
    refuse = None if drop_bad else partial(refuse_bad, ids=ids, name=name)
    counts = None
    with suppress(_Signed):
        counts = _count(h, epsilon, means, normalize, halves == "auto", refuse, threads, spool, digest)
    if counts is None:
        if spool is not None:
            spool.clear()
        digest = Digest(h.shape, np.dtype(h.dtype)) if hashed else None
        means = column_means(h, normalize=normalize)
        counts = _count(h, epsilon, means, normalize, False, refuse, threads, spool, digest)
    if counts.n == 0:
        raise InputError(f"all {h.shape[0]} rows of h contain NaN or infinity: nothing is left to score")
    warn_if_unreachable(len(counts.activations), epsilon)
    mask = discriminative_features(counts.activations, lower=lower, upper=upper, over=over)
    hexdigest = digest.hexdigest() if digest is not None else ""
    return Reference(counts, h.shape[1], mask, means, epsilon, lower, upper, over, normalize, hexdigest)


def choose_epsilon(
    h: Rows,
    *,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
    threads: int | None = None,
) -> float:
    """The largest epsilon of 4, 3.5, ... 1 that leaves at most 5% of the samples without a discriminative feature.

    Looks at a seeded sample of at most 20,000 finite rows, which serve as their own reference; no labels. Where none
    does, the one that leaves the fewest (the largest of those). The rule is ours.
    """
    check_band(lower, upper, over)
    halves = _checked_halves(halves)
    sample = _Sample(h, AUTO_ROWS, seed)
    means = column_means(sample, normalize=normalize) if halves is True else None
    try:
        counts, n = _counts_by_epsilon(sample, means, normalize, halves == "auto", threads)
    except _Signed:
        means = column_means(sample, normalize=normalize)
        counts, n = _counts_by_epsilon(sample, means, normalize, False, threads)
    masks = [discriminative_features(row, lower=lower, upper=upper, over=over) for row in counts]
    filled = np.zeros(len(AUTO_EPSILONS), np.int64)
    for found in scan(sample, epsilon=AUTO_EPSILONS[-1], means=means, normalize=normalize, threads=threads):
        z, rows = _deviations(found), found.row
        for k, epsilon in enumerate(AUTO_EPSILONS):
            filled[k] += len(np.unique(rows[(z > epsilon) & masks[k][found.column]]))
    empty = (n - filled) / max(n, 1)
    good = np.flatnonzero(empty <= AUTO_EMPTY_SHARE)
    return AUTO_EPSILONS[good[0] if len(good) else int(np.argmin(empty))]


def warn_if_unreachable(features: int, epsilon: float) -> None:
    """Warn where no entry can exceed mu + epsilon * sigma: a deviation is at most sqrt(d - 1) sigma.

    Warns:
        KaratWarning: with the largest useful epsilon.
    """
    if not reachable(features, epsilon):
        largest = max(features - 1, 0) ** 0.5
        advice = f"choose epsilon below {largest:.2f}" if largest > 0 else "more features are needed"
        auto = ", or epsilon='auto'" if largest > AUTO_EPSILONS[-1] else ""
        warnings.warn(
            f"with {features} features nothing can exceed epsilon = {epsilon:g} standard deviations, so every Q-Score "
            f"is 0: {advice}{auto}",
            KaratWarning,
            stacklevel=2,
        )


def _checked_halves(halves: Halves) -> Halves:
    if halves not in ("auto", True, False):
        raise InputError(f"halves={halves!r}, but 'auto', True or False is needed")
    return halves if halves == "auto" else bool(halves)


def _signed(negatives: int, n: int, d: int) -> bool:
    return negatives > SIGNED_SHARE * (n * d)  # one rounding only: a share of exactly 0.1% is not above it


class _Sample:
    """At most `limit` rows of h, drawn without replacement, in the order of h; gathered chunk by chunk."""

    def __init__(self, h: Rows, limit: int, seed: int) -> None:
        n = h.shape[0]
        self._h = h
        self._rows = (
            np.arange(n) if n <= limit else np.sort(np.random.default_rng(seed).choice(n, limit, replace=False))
        )
        self.shape = (len(self._rows), h.shape[1])
        self.dtype = np.dtype(h.dtype)

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        if self.shape[0] == self._h.shape[0]:
            return self._h[rows]
        return np.concatenate([self._h[row : row + 1] for row in self._rows[rows].tolist()])


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
        _Signed: as soon as more than SIGNED_SHARE of all entries of h are known to be negative.
    """
    keep = spool is not None
    total = Counts(0, np.zeros(h.shape[1] * (1 if means is None else 2), np.int64), 0, 0)
    start = 0
    for found in scan(h, epsilon=epsilon, means=means, normalize=normalize, keep=keep, threads=threads, digest=digest):
        if refuse is not None:
            refuse(found.bad, start)
        total = total + Counts.of(found)
        if may_be_signed and _signed(total.negatives, h.shape[0], h.shape[1]):
            raise _Signed
        if spool is not None:
            spool.append(found)
        start += len(found)
    if may_be_signed and _signed(total.negatives, total.n, h.shape[1]):
        raise _Signed  # some rows were dropped: the share among those that are left decides
    return total


def _counts_by_epsilon(
    sample: _Sample, means: np.ndarray | None, normalize: bool, may_be_signed: bool, threads: int | None
) -> tuple[np.ndarray, int]:
    """Activation counts for each of AUTO_EPSILONS, [7, d or 2d], and the number of finite rows."""
    counts = np.zeros((len(AUTO_EPSILONS), sample.shape[1] * (1 if means is None else 2)), np.int64)
    n = negatives = 0
    for found in scan(sample, epsilon=AUTO_EPSILONS[-1], means=means, normalize=normalize, threads=threads):
        z = _deviations(found)
        for k, epsilon in enumerate(AUTO_EPSILONS):
            counts[k] += np.bincount(found.column[z > epsilon], minlength=counts.shape[1])
        n += int((~found.bad).sum())
        negatives += found.negatives
    if may_be_signed and _signed(negatives, n, sample.shape[1]):
        raise _Signed
    return counts, n


def _deviations(found: Activations) -> np.ndarray:
    """(h_ij - mu_i) / sigma_i of each entry; rounding takes none above the largest there can be, sqrt(d - 1)."""
    rows = found.row
    with np.errstate(divide="ignore"):  # sigma_i can underflow to 0
        deviations = (found.value - found.center[rows]) / found.spread[rows]
    return np.minimum(deviations, np.sqrt(len(found.counts) - 1))
