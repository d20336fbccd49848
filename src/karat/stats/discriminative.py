"""Discriminative features: neither dead nor rare nor generic, by how many samples activate them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import InputError

Over = Literal["active", "all"]


def discriminative_features(
    share: np.ndarray, *, lower: float = 50, upper: float = 95, over: Over = "active"
) -> np.ndarray:
    """The middle-to-high band of the activation shares: D = { j : A_j > 0 and p_lower <= A_j <= p_upper }.

    p_lower and p_upper are percentiles (linear interpolation) of the shares of the active features (A_j > 0), or of all
    of them. Both ends belong to D. Which features the percentiles are taken over, and that the ends count, is ours: the
    paper is silent.

    Args:
        share: activation share A [d] (or activation counts), at least 0.
        lower, upper: percentiles, 0 <= lower <= upper <= 100.
        over: "active" or "all".

    Returns:
        bool [d]; all False where no feature is active.

    Raises:
        InputError: percentiles out of order or range, an unknown `over`, a share that is no vector of numbers >= 0.

    >>> import numpy as np
    >>> discriminative_features(np.array([0.0, 0.1, 0.2, 0.3, 0.9])).tolist()
    [False, False, False, True, False]

    Reference: Kalibhat et al., AAAI 2024, section "Discriminative features".
    """
    check_band(lower, upper, over)
    share = np.asarray(share)
    if share.ndim != 1 or not np.all(share >= 0):
        raise InputError(f"share has shape {list(share.shape)}, but one value of at least 0 a feature is needed")
    active = share > 0
    if not active.any():
        return active
    low, high = _percentiles(share[active] if over == "active" else share, [lower, upper])
    return active & (share >= low) & (share <= high)


def rank_features(share: np.ndarray, *, upper: float = 95) -> np.ndarray:
    """The order in which features are kept when a representation is compressed (no labels needed).

    First the active features up to the `upper` percentile of the active ones, by falling share; then those above it
    (generic), by falling share; then the dead ones. Ties by column number. The order is ours: the paper says only that
    discriminative features are kept.

    Args:
        share: A [d], at least 0. Where features were split in halves, the larger share of each column's two.

    Returns:
        int64 [d]: column numbers, the most worth keeping first.

    >>> import numpy as np
    >>> rank_features(np.array([0.0, 0.1, 0.2, 0.3, 0.9])).tolist()
    [3, 2, 1, 4, 0]
    """
    share = np.asarray(share)
    active = share > 0
    generic = active & (share > _percentiles(share[active], [upper])) if active.any() else active
    group = np.where(~active, 2, np.where(generic, 1, 0))
    return np.lexsort((np.arange(len(share)), -share, group))


def kept_features(keep: float, d: int) -> int:
    """How many of d features a share comes to: k = max(1, round(keep * d)), a half rounded to the even number."""
    return max(1, round(keep * d))


def keep_first(order: np.ndarray, keep: float) -> np.ndarray:
    """The features that a share of an order comes to, as a mask: bool [d]."""
    mask = np.zeros(len(order), bool)
    mask[order[: kept_features(keep, len(order))]] = True
    return mask


def column_share(share: np.ndarray, *, halves: bool) -> np.ndarray:
    """One share a column of h: where features were split in halves, the larger of the two. [2d] -> [d]"""
    return share.reshape(2, -1).max(axis=0) if halves else share


def _percentiles(values: np.ndarray, q: list[float]) -> np.ndarray:
    """Linear interpolation between order statistics, and exactly these where one is met.

    np.percentile rounds q / 100 first and can miss: its 7th percentile of 0, 1, ... 100 is 7.000000000000001.
    """
    position = (len(values) - 1) * np.array(q) / 100
    return np.interp(position, np.arange(len(values)), np.sort(values))


def check_band(lower: float, upper: float, over: str) -> None:
    """Refuse percentiles that make no band.

    Raises:
        InputError: out of order or range, or an unknown `over`.
    """
    if not 0 <= lower <= upper <= 100:
        raise InputError(f"lower={lower} and upper={upper}, but 0 <= lower <= upper <= 100 is needed (percentiles)")
    if over not in ("active", "all"):
        raise InputError(f"over={over!r}, but 'active' or 'all' is needed")
