"""The bootstrap: how far a number would have moved with other samples, and whether two numbers differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from ..errors import InputError

# Draws in one block of resamples: few enough for their arrays to stay in the processor's cache.
BLOCK_DRAWS = 1 << 16


@dataclass(frozen=True, eq=False)
class Resampled:
    """A number, and what it is in each bootstrap resample of the same samples.

    Attributes:
        value: of the samples as they are; NaN where it is not defined.
        draws: of each resample, float64 [resamples]; NaN where it is not defined.
    """

    value: float
    draws: np.ndarray

    def interval(self, level: float = 0.95) -> tuple[float, float, float]:
        """(value, low, high): the (1 - level) / 2 and (1 + level) / 2 quantiles of the draws, by linear interpolation.

        A resample in which the number is not defined is left out; NaN where it is defined in none.

        Raises:
            InputError: level is no share between 0 and 1.

        >>> Resampled(2.0, np.arange(5.0)).interval(0.5)
        (2.0, 1.0, 3.0)

        Reference: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (percentile interval).
        """
        if not 0 < level < 1:
            raise InputError(f"level is {level}, but a share between 0 and 1 is needed (0.95 is usual)")
        defined = self.draws[~np.isnan(self.draws)]
        if len(defined) == 0:
            return self.value, np.nan, np.nan
        low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
        return self.value, float(low), float(high)

    def __sub__(self, other: Resampled) -> Resampled:
        """The difference, where both come from the same resamples (a paired bootstrap)."""
        return Resampled(self.value - other.value, self.draws - other.draws)

    def p_value(self) -> float:
        """Two-sided p of "the number is 0": 2 Phi(-|value| / s), s = standard deviation of the draws (ddof = 1).

        Returns:
            0 to 1; 1 where the number is 0 in every resample; NaN where it is not defined, or never moves from another
            value than 0.

        >>> round(Resampled(1.96, np.array([-1.0, 0.0, 1.0])).p_value(), 3)
        0.05

        Reference: Robin et al., BMC Bioinformatics 2011 (pROC), the bootstrap test of two ROC curves.
        """
        defined = self.draws[~np.isnan(self.draws)]
        spread = float(np.std(defined, ddof=1)) if len(defined) > 1 else np.nan
        if self.value == 0 and spread == 0:
            return 1.0
        return float(2 * norm.sf(abs(self.value) / spread)) if spread > 0 else np.nan


def draws(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """The samples of each resample, drawn with replacement, a block of resamples at a time: int64 [b, n].

    Together the rows of `numpy.random.default_rng(seed).integers(n, size=(resamples, n))`, whatever the blocks.

    Raises:
        InputError: fewer than one resample.
    """
    if resamples < 1:
        raise InputError(f"resamples is {resamples}, but at least 1 is needed (1000 is usual)")
    generator = np.random.default_rng(seed)
    size = max(1, BLOCK_DRAWS // n)
    for start in range(0, resamples, size):
        yield generator.integers(n, size=(min(size, resamples - start), n))


def resampled_means(values: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> list[Resampled]:
    """The mean of each row, with the same resamples of the columns for all of them.

    Args:
        values: [m, n]: m quantities of the same n samples.
        resamples, seed: of the bootstrap (see `draws`).

    Returns:
        m means of the n samples.

    Raises:
        InputError: fewer than one resample, or no sample.

    >>> [mean.value for mean in resampled_means(np.array([[0.0, 1.0], [1.0, 1.0]]), resamples=5)]
    [0.5, 1.0]
    """
    values = np.asarray(values, np.float64)
    n = values.shape[1]
    if n == 0:
        raise InputError("values has no samples, but at least one is needed")
    found = resampled_sums(values, resamples=resamples, seed=seed) / n
    return [Resampled(float(mean), row) for mean, row in zip(values.mean(axis=1), found, strict=True)]


def resampled_sums(values: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """The sum of each row in each resample of the columns: [m, n] -> [m, resamples].

    Raises:
        InputError: fewer than one resample.
    """
    n = values.shape[1]
    return np.hstack([values @ _times(drawn, n).T for drawn in draws(n, resamples, seed)])  # [m, n] @ [n, b]


def mean_over_members(members: Sequence[Resampled], seed: int) -> Resampled:
    """The mean of several numbers of the same resamples, the members drawn too: it varies with them and the samples.

    In each resample as many members are drawn, with replacement, as there are; one alone is itself.

    Args:
        members: m numbers, with the same number of draws.
        seed: of the drawing of members.

    >>> mean_over_members([Resampled(0.0, np.zeros(4)), Resampled(1.0, np.ones(4))], seed=0).value
    0.5
    """
    m, found = len(members), np.stack([member.draws for member in members])  # [m, resamples]
    drawn = np.random.default_rng([seed, m]).integers(m, size=found.shape)
    values = np.take_along_axis(found, drawn, axis=0).mean(axis=0)
    return Resampled(float(np.mean([member.value for member in members])), values)


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for being m: the chance of one false finding among all stays below the level.

    In rising order, the i-th of m is multiplied by m - i + 1, then made no smaller than those before it and no larger
    than 1. NaN (a test that is not defined) stays, and does not count.

    Args:
        p: [m], from 0 to 1, or NaN.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Reference: Holm, Scandinavian Journal of Statistics 1979.
    """
    values = np.asarray(p, np.float64)
    corrected = np.full(len(values), np.nan)
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]  # NaN sorts last
    m = len(order)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * (m - np.arange(m))), 1)
    return corrected.tolist()


def _times(drawn: np.ndarray, n: int) -> np.ndarray:
    """How often each sample was drawn: [b, n] -> float64 [b, n]."""
    b = len(drawn)
    return np.bincount((drawn + n * np.arange(b)[:, None]).ravel(), minlength=b * n).reshape(b, n).astype(np.float64)
