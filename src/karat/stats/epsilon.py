"""The threshold: chosen without labels, and a warning where nothing can reach it."""

from __future__ import annotations

import warnings

import numpy as np

from .._array import Rows
from ..errors import KaratWarning
from ._blocks import column_means
from .activations import Activations, reachable, scan
from .discriminative import Over, check_band, discriminative_features
from .halves import Halves, Signed, checked_halves, is_signed

# epsilon="auto" tries these, from the paper's value down, on at most AUTO_ROWS reference rows.
AUTO_EPSILONS = (4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0)
AUTO_ROWS = 20_000
AUTO_EMPTY_SHARE = 0.05


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
    halves = checked_halves(halves)
    sample = _Sample(h, AUTO_ROWS, seed)
    means = column_means(sample, normalize=normalize) if halves is True else None
    try:
        counts, n = _counts_by_epsilon(sample, means, normalize, halves == "auto", threads)
    except Signed:
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


def warn_if_unreachable(features: int, epsilon: float, *, chosen: bool = False) -> None:
    """Warn where no entry can exceed mu + epsilon * sigma: a deviation is at most sqrt(d - 1) sigma.

    Args:
        features: d, or 2d halves.
        epsilon: the threshold.
        chosen: it was chosen, so that to choose it is no advice.

    Warns:
        KaratWarning: with the largest useful epsilon.
    """
    if not reachable(features, epsilon):
        largest = max(features - 1, 0) ** 0.5
        advice = f"choose epsilon below {largest:.2f}" if largest > 0 else "more features are needed"
        auto = ", or epsilon='auto'" if largest > AUTO_EPSILONS[-1] and not chosen else ""
        warnings.warn(
            f"with {features} features nothing can exceed epsilon = {epsilon:g} standard deviations, so every Q-Score "
            f"is 0: {advice}{auto}",
            KaratWarning,
            stacklevel=2,
        )


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
    if may_be_signed and is_signed(negatives, n, sample.shape[1]):
        raise Signed
    return counts, n


def _deviations(found: Activations) -> np.ndarray:
    """(h_ij - mu_i) / sigma_i of each entry; rounding takes none above the largest there can be, sqrt(d - 1)."""
    rows = found.row
    with np.errstate(divide="ignore"):  # sigma_i can underflow to 0
        deviations = (found.value - found.center[rows]) / found.spread[rows]
    return np.minimum(deviations, np.sqrt(len(found.counts) - 1))
