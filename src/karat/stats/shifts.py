"""What moved between two encoders: verdicts that changed, and samples that are low in both."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest

from ..errors import InputError
from ._tie_groups import check_correct, check_score


class McNemar(NamedTuple):
    """Samples that only the second, only the first gets right, and the p-value of no difference."""

    gained: int
    lost: int
    p: float


def mcnemar(first: Any, second: Any) -> McNemar:
    """Do two classifiers differ on the same samples? McNemar's exact test, two-sided.

    Of the samples that exactly one of them gets right, each would be either's with chance 1/2: p is that of a binomial
    test of `gained` among them. Where there is none, p is 1.

    Args:
        first, second: whether each gets a sample right, bool [n] (or 0 and 1).

    Raises:
        InputError: different lengths, other values.

    >>> mcnemar([1, 1, 0, 0], [1, 0, 1, 1])
    McNemar(gained=2, lost=1, p=1.0)

    Reference: McNemar, Psychometrika 1947; Dietterich, Neural Computation 1998.
    """
    before = check_correct(first, len(first), "first")
    after = check_correct(second, len(before), "second")
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return McNemar(gained, lost, p)


def lowest_overlap(first: Any, second: Any, *, share: float = 0.1) -> float:
    """Share of the lowest samples of one score that are among the lowest of the other.

    The lowest are m = max(1, round(share * n)); of samples tied at the border each counts in part, as if they had been
    taken by lot, in each score apart.

    Args:
        first, second: [n], real, infinities allowed.
        share: of the samples, above 0 and at most 1.

    Returns:
        0 to 1, 1 = the same samples; m / n = chance.

    Raises:
        InputError: no samples, different lengths, NaN, a share out of range.

    >>> lowest_overlap([1, 2, 3, 4], [1, 3, 2, 4], share=0.5)
    0.5
    """
    if not 0 < share <= 1:
        raise InputError(f"share is {share}, but a share above 0 and at most 1 is needed")
    a = check_score(first, "first")
    b = check_score(second, "second", len(a))
    m = max(1, round(share * len(a)))
    return float((_lowest(a, m) * _lowest(b, m)).sum() / m)


def _lowest(values: np.ndarray, m: int) -> np.ndarray:
    """How much of each sample is among the lowest m: 1, 0, or a part at the border, [n]."""
    border = np.partition(values, m - 1)[m - 1]
    below, tied = values < border, values == border
    return below + tied * (m - below.sum()) / tied.sum()
