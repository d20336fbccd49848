"""Are predicted probabilities what happens? Reliability in bins, expected calibration error, Brier score."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest, rankdata

from ..errors import InputError
from ._tie_groups import check_correct, check_score
from .bootstrap import Resampled, resampled_sums


class Bin(NamedTuple):
    """Samples of about the same prediction: how many, their mean prediction, the share of events, and its interval."""

    n: int
    predicted: float
    observed: float
    low: float
    high: float


def equal_mass_bins(predicted: Any, *, bins: int = 10) -> np.ndarray:
    """The bin of each sample, of about n / bins samples each, equal predictions together.

    bin_i = floor(bins * (r_i - 1/2) / n) with r_i the rank of p_i, from 1 for the lowest, tied ones having the mean of
    their ranks. Bins may stay empty where many predictions are equal.

    Args:
        predicted: [n].
        bins: at least 1.

    Returns:
        int64 [n], from 0 to bins - 1.

    Raises:
        InputError: no samples, NaN, no bins.

    >>> equal_mass_bins([0.1, 0.1, 0.5, 0.9], bins=2).tolist()
    [0, 0, 1, 1]

    Reference: Nguyen & O'Connor, EMNLP 2015 (bins of equal mass). Keeping ties together is ours.
    """
    values = check_score(predicted, "predicted")
    if bins < 1:
        raise InputError(f"bins is {bins}, but at least one is needed")
    return np.floor(bins * (rankdata(values) - 0.5) / len(values)).astype(np.int64)


def reliability_curve(predicted: Any, happened: Any, *, bins: int = 10) -> list[Bin]:
    """Mean prediction against the share of events in bins of equal mass (see `equal_mass_bins`), empty ones left out.

    Args:
        predicted: P(event) [n], from 0 to 1.
        happened: bool [n] (or 0 and 1).
        bins: at most so many.

    Returns:
        From the lowest predictions to the highest; of each bin the share of events with Wilson's 95% interval.

    Raises:
        InputError: no samples, different lengths, predictions outside of 0 to 1.

    >>> [tuple(each)[:3] for each in reliability_curve([0, 0, 1, 1], [False, True, True, True], bins=2)]
    [(2, 0.0, 0.5), (2, 1.0, 1.0)]

    Reference: Wilson, JASA 1927 (the interval).
    """
    p, event = _checked(predicted, happened)
    bin_of = equal_mass_bins(p, bins=bins)
    return [_bin(p[bin_of == number], event[bin_of == number]) for number in np.unique(bin_of)]


def _bin(p: np.ndarray, event: np.ndarray) -> Bin:
    n, events = len(p), int(event.sum())
    interval = binomtest(events, n).proportion_ci(method="wilson")
    return Bin(n, float(p.mean()), events / n, float(interval.low), float(interval.high))


def calibration_error(predicted: Any, happened: Any, *, bins: int = 10) -> float:
    """Expected calibration error: sum over bins of (n_b / n) * |mean prediction - share of events|.

    Bins are of equal mass (see `equal_mass_bins`).

    Args:
        predicted, happened, bins: as for `reliability_curve`.

    Returns:
        0 to 1, 0 = calibrated. Above 0 by chance alone: see `calibration_error_by_chance`.

    Raises:
        InputError: as for `reliability_curve`.

    >>> calibration_error([0, 0, 1, 1], [False, True, True, True], bins=2)
    0.25

    Reference: Naeini, Cooper & Hauskrecht, AAAI 2015, with bins of equal mass in the place of equal width.
    """
    p, event = _checked(predicted, happened)
    return float(_errors(p, event[None], equal_mass_bins(p, bins=bins))[0])


def resampled_calibration_error(
    predicted: Any, happened: Any, *, bins: int = 10, resamples: int = 1000, seed: int = 0
) -> Resampled:
    """`calibration_error` with bootstrap resamples, the bins being those of the samples as they are.

    A resample has the noise of the samples and its own, so that its error is larger on average. The draws are moved so
    that their mean is the error itself, and cut off at 0: they say how much it varies, not how large it is.

    Raises:
        InputError: as for `reliability_curve`; fewer than one resample.
    """
    p, event = _checked(predicted, happened)
    bin_of = equal_mass_bins(p, bins=bins)
    gaps = np.where(bin_of == np.arange(bins)[:, None], p - event, 0)  # [bins, n]
    value = float(np.abs(gaps.sum(axis=1)).sum() / len(p))
    found = np.abs(resampled_sums(gaps, resamples=resamples, seed=seed)).sum(axis=0) / len(p)  # [bins, b] -> [b]
    return Resampled(value, np.maximum(found - found.mean() + value, 0))


def calibration_error_by_chance(predicted: Any, *, bins: int = 10, draws: int = 1000, seed: int = 0) -> float:
    """What `calibration_error` is on average where the predictions are right, with as many samples.

    Events are drawn from the predictions themselves; the mean error over the draws is what no calibration can undercut.

    Args:
        predicted: P(event) [n], from 0 to 1.
        bins: as for `calibration_error`.
        draws, seed: of the events.

    Raises:
        InputError: no samples, predictions outside of 0 to 1.

    >>> calibration_error_by_chance([0.0, 1.0])
    0.0

    Reference: Broecker & Smith, Weather and Forecasting 2007 (consistency resampling).
    """
    p = _probabilities(predicted)
    events = np.random.default_rng(seed).random((draws, len(p))) < p
    return float(_errors(p, events, equal_mass_bins(p, bins=bins)).mean())


def _errors(p: np.ndarray, events: np.ndarray, bin_of: np.ndarray) -> np.ndarray:
    """Calibration errors of several outcomes: [b, n] -> [b]."""
    member = (bin_of[:, None] == np.unique(bin_of)).astype(np.float64)  # [n, bins]
    return np.abs((events - p) @ member).sum(axis=1) / len(p)


def _checked(predicted: Any, happened: Any) -> tuple[np.ndarray, np.ndarray]:
    p = _probabilities(predicted)
    return p, check_correct(happened, len(p), "happened")


def _probabilities(predicted: Any) -> np.ndarray:
    p = check_score(predicted, "predicted")
    if p.min() < 0 or p.max() > 1:
        raise InputError(f"predicted goes from {p.min():g} to {p.max():g}, but probabilities from 0 to 1 are needed")
    return p
