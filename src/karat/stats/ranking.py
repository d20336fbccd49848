"""Does a score rank the right samples above the wrong ones? Six measures, the risk-coverage curve, bootstrap intervals.

Every measure is a function of tie groups: samples of equal score, in order of falling score, with the number of right
and of wrong samples in each. A bootstrap resample only changes these numbers, so each formula is written once, for many
resamples at a time, and the order of equal scores never matters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError
from ._measures import MEASURES
from ._tie_groups import RankedSamples, TieGroups
from .bootstrap import Resampled


def auroc(score: np.ndarray, correct: np.ndarray) -> float:
    """Chance that a right sample scores higher than a wrong one, a tie counting half: area under the ROC curve.

    P(s_right > s_wrong) + P(s_right = s_wrong) / 2 over all pairs of a right and a wrong sample.

    Args:
        score: [n], real, infinities allowed; higher = more likely correct.
        correct: bool [n] (or 0 and 1).

    Returns:
        0 to 1, 0.5 = chance, higher = better; NaN where all samples are right or all are wrong.

    Raises:
        InputError: no samples, different lengths, NaN scores, `correct` with other values than true and false.

    >>> auroc([3, 2, 1], [True, False, True])
    0.5

    Reference: Hanley & McNeil, Radiology 1982.
    """
    return _measure("auroc", score, correct)


def auprc(score: np.ndarray, correct: np.ndarray) -> float:
    """Average precision of finding the right samples: area under the precision-recall curve, *correct* positive.

    sum_t (recall_t - recall_{t-1}) * precision_t over the distinct scores t, falling; no interpolation.

    Args:
        score: [n], real, infinities allowed; higher = more likely correct.
        correct: bool [n] (or 0 and 1).

    Returns:
        0 to 1; the base rate (the accuracy) = chance, higher = better; NaN where no sample is right.

    Raises:
        InputError: as for `auroc`.

    >>> auprc([3, 2, 1], [True, False, True])
    0.8333333333333333

    Reference: sklearn.metrics.average_precision_score, with the same ties.
    """
    return _measure("auprc", score, correct)


def auprc_error(score: np.ndarray, correct: np.ndarray) -> float:
    """Average precision of finding the errors: `auprc` with *error* as the positive class and the score negated.

    Args:
        score: [n], real, infinities allowed; higher = more likely correct.
        correct: bool [n] (or 0 and 1).

    Returns:
        0 to 1; the error rate = chance, higher = better; NaN where no sample is wrong.

    Raises:
        InputError: as for `auroc`.

    >>> auprc_error([3, 2, 1], [True, False, True])
    0.5
    """
    return _measure("auprc_error", score, correct)


def fpr95(score: np.ndarray, correct: np.ndarray) -> float:
    """Share of right samples that are flagged when at least 95% of the errors are (FPR@95TPR, *error* positive).

    Samples with score <= t are flagged; t is the lowest score that flags 95% of the errors, ties all together.

    Args:
        score: [n], real, infinities allowed; higher = more likely correct.
        correct: bool [n] (or 0 and 1).

    Returns:
        0 to 1, about 0.95 = chance, lower = better; NaN where all samples are right or all are wrong.

    Raises:
        InputError: as for `auroc`.

    >>> fpr95([4, 3, 2, 1], [True, True, False, True])
    0.3333333333333333
    """
    return _measure("fpr95", score, correct)


def aurc(score: np.ndarray, correct: np.ndarray) -> float:
    """Mean error rate among the samples one keeps: area under the risk-coverage curve.

    (1 / n) * sum_{i=1}^{n} risk_i, risk_i = share of errors among the i samples of highest score. Where scores are
    equal, risk_i is its expectation over all orders of the equal ones.

    Args:
        score: [n], real, infinities allowed; higher = more likely correct.
        correct: bool [n] (or 0 and 1).

    Returns:
        0 to 1; the error rate = chance, lower = better.

    Raises:
        InputError: as for `auroc`.

    >>> round(aurc([3, 2, 1], [True, False, True]), 4)
    0.2778

    Reference: Geifman, Uziel & El-Yaniv, ICLR 2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers".
    """
    return _measure("aurc", score, correct)


def augrc(score: np.ndarray, correct: np.ndarray) -> float:
    """Mean chance that a sample is kept and wrong: area under the generalised risk-coverage curve.

    The generalised risk is (errors among the kept) / n. The area is that under straight lines from (coverage, risk) =
    (0, 0) through the points at the distinct scores (trapezoids), so that
    augrc = (1 - auroc) * accuracy * error rate + (error rate)^2 / 2 holds exactly, ties included.

    Args:
        score: [n], real, infinities allowed; higher = more likely correct.
        correct: bool [n] (or 0 and 1).

    Returns:
        0 to 0.5; (error rate) / 2 = chance, lower = better.

    Raises:
        InputError: as for `auroc`.

    >>> augrc([3, 2, 1], [True, False, True])
    0.16666666666666666

    Reference: Traub et al., NeurIPS 2024, "Overcoming Common Flaws in the Evaluation of Selective Classification
    Systems".
    """
    return _measure("augrc", score, correct)


def risk_coverage(score: np.ndarray, correct: np.ndarray, *, points: int = 101) -> tuple[np.ndarray, np.ndarray]:
    """Error rate among the samples one keeps, from the single most confident one to all of them.

    At coverage i / n the risk is the share of errors among the i samples of highest score, in expectation over the
    order of equal scores. With points >= n the mean of the risks is `aurc`.

    Args:
        score: [n], real, infinities allowed; higher = more likely correct.
        correct: bool [n] (or 0 and 1).
        points: at most this many, evenly spaced, at least 2.

    Returns:
        (coverage, risk), float64 [min(points, n)]: coverage rises from 1 / n to 1, the last risk is the error rate.

    Raises:
        InputError: as for `auroc`; fewer than two points.

    >>> coverage, risk = risk_coverage([3, 2, 1], [True, False, True])
    >>> risk.round(3).tolist()
    [0.0, 0.5, 0.333]
    """
    if points < 2:
        raise InputError(f"points is {points}, but at least 2 are needed (the first and the last of the curve)")
    groups = RankedSamples.of(score, correct).once()
    kept = np.round(np.linspace(1, groups.n, min(points, groups.n)))
    # Within a tie group the expected number of errors grows in a straight line.
    wrong = np.interp(kept, np.append(0, groups.kept[0]), np.append(0, groups.wrong_kept[0]))
    return kept / groups.n, wrong / kept


def share_not_higher(values: np.ndarray) -> np.ndarray:
    """Each sample's place among the others: the share of samples whose value is not higher (empirical distribution).

    Args:
        values: [n], real, infinities allowed; NaN does not count.

    Returns:
        float64 [n], above 0 and at most 1; NaN where the value is.

    >>> share_not_higher(np.array([3.0, 1.0, 1.0, np.nan])).round(2).tolist()
    [1.0, 0.67, 0.67, nan]
    """
    known = ~np.isnan(values)
    rising = np.sort(values[known])
    return np.where(known, np.searchsorted(rising, values, side="right") / max(len(rising), 1), np.nan)


def intervals(
    score: np.ndarray, correct: np.ndarray, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """All six measures with bootstrap intervals: (value, low, high) of each.

    Percentile bootstrap: low and high are the (1 - level) / 2 and (1 + level) / 2 quantiles (linear interpolation) of
    the measure over resamples of the n samples, drawn with replacement: the rows of
    `numpy.random.default_rng(seed).integers(n, size=(resamples, n))`. All measures, and all scores of the same
    samples, see the same resamples. A resample in which a measure is not defined (no error drawn, say) is left out.

    Args:
        score: [n], real, infinities allowed; higher = more likely correct.
        correct: bool [n] (or 0 and 1).
        resamples: how many, at least 1.
        level: share of the resamples inside the interval, between 0 and 1.
        seed: of the resamples.

    Returns:
        auroc, auprc, auprc_error, fpr95, aurc, augrc -> (value, low, high); NaN where a measure is not defined.

    Raises:
        InputError: as for `auroc`; resamples or level out of range.

    >>> intervals([4, 3, 2, 1], [True, True, False, False])["auroc"]
    (1.0, 1.0, 1.0)

    Reference: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    found = resampled_measures(score, correct, resamples=resamples, seed=seed)
    return {name: measure.interval(level) for name, measure in found.items()}


def resampled_measures(
    score: np.ndarray, correct: np.ndarray, *, resamples: int = 1000, seed: int = 0
) -> dict[str, Resampled]:
    """All six measures of `intervals`, each with its value in every resample (for paired comparisons).

    Raises:
        InputError: as for `auroc`; fewer than one resample.
    """
    samples = RankedSamples.of(score, correct)
    values = _all_measures(samples.once())  # [6, 1]
    drawn = np.hstack([_all_measures(groups) for groups in samples.resampled(resamples, seed)])  # [6, resamples]
    return {
        name: Resampled(float(value[0]), estimates)
        for name, value, estimates in zip(MEASURES, values, drawn, strict=True)
    }


def _measure(name: str, score: Any, correct: Any) -> float:
    return float(MEASURES[name](RankedSamples.of(score, correct).once())[0])


def _all_measures(groups: TieGroups) -> np.ndarray:
    return np.stack([measure(groups) for measure in MEASURES.values()])  # [6, b]
