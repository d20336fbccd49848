"""Rank correlation, with bootstrap resamples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ..errors import InputError
from ._tie_groups import check_score
from .bootstrap import Resampled, draws


def spearman(first: Any, second: Any) -> float:
    """Spearman's rank correlation: Pearson's correlation of the ranks, equal values having the mean of their ranks.

    Args:
        first, second: [n], real, infinities allowed.

    Returns:
        -1 to 1, 0 = none; NaN where all values of one are equal.

    Raises:
        InputError: no samples, different lengths, NaN.

    >>> spearman([1, 2, 3], [10, 30, 20])
    0.5

    Reference: Spearman 1904; scipy.stats.spearmanr, with the same ties.
    """
    columns = _distinct(first, "first"), _distinct(second, "second")
    _check_lengths(*columns)
    return float(_correlation(*(column.centred_ranks(column.codes[None]) for column in columns))[0])


def resampled_spearman(scores: Sequence[Any], other: Any, *, resamples: int = 1000, seed: int = 0) -> list[Resampled]:
    """`spearman` of each of several scores with the same other one, in bootstrap resamples, ranks taken anew in each.

    Args:
        scores: m times [n], at least one.
        other: [n].
        resamples, seed: see `karat.stats.bootstrap.draws`: the same resamples as those of the other measures.

    Returns:
        m correlations.

    Raises:
        InputError: as for `spearman`; fewer than one resample.
    """
    fixed, columns = _distinct(other, "other"), [_distinct(score, "score") for score in scores]
    _check_lengths(fixed, *columns)
    whole, found = np.arange(len(fixed.codes))[None], []
    for drawn in chain([whole], draws(len(fixed.codes), resamples, seed)):
        ranks = fixed.centred_ranks(fixed.codes[drawn])
        found.append([_correlation(column.centred_ranks(column.codes[drawn]), ranks) for column in columns])
    values = np.concatenate(found, axis=1)  # [m, 1 + resamples]
    return [Resampled(float(row[0]), row[1:]) for row in values]


@dataclass(frozen=True)
class _Distinct:
    """Each value's number among the distinct ones, rising, [n]; and how many of these there are."""

    codes: np.ndarray
    groups: int

    def centred_ranks(self, codes: np.ndarray) -> np.ndarray:
        """Mean ranks minus their mean (n + 1) / 2 in each of b resamples: [b, n] -> [b, n]."""
        b, n = codes.shape
        cells = codes + self.groups * np.arange(b)[:, None]
        counts = np.bincount(cells.ravel(), minlength=b * self.groups).reshape(b, self.groups)
        ranks = counts.cumsum(axis=1) - (counts - 1) / 2  # of a group, 1 for the lowest
        return ranks.ravel()[cells] - (n + 1) / 2


def _distinct(values: Any, name: str) -> _Distinct:
    distinct, codes = np.unique(check_score(values, name), return_inverse=True)
    return _Distinct(codes, len(distinct))


def _check_lengths(*columns: _Distinct) -> None:
    lengths = sorted({len(column.codes) for column in columns})
    if len(lengths) > 1:
        raise InputError(f"there are {' and '.join(map(str, lengths))} values, but one of each kind a sample is needed")


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of centred ranks: [b, n], [b, n] -> [b]; NaN where all of one are equal."""
    power = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    product = np.einsum("ij,ij->i", a, b)
    found = np.divide(product, power, out=np.full(len(a), np.nan), where=power > 0)
    return np.clip(found, -1, 1)
