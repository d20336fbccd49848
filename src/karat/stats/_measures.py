"""The six measures of a ranking as functions of tie groups, for many resamples at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._tie_groups import TieGroups

Measure = Callable[[TieGroups], np.ndarray]  # [b, g] -> [b]


def _auroc(groups: TieGroups) -> np.ndarray:
    pairs = (groups.wrong * (groups.right_kept - groups.right / 2)).sum(axis=1)
    return _ratio(pairs, groups.all_right * groups.all_wrong)


def _auprc(groups: TieGroups) -> np.ndarray:
    return _average_precision(groups.right, groups.right_kept, groups.wrong_kept)


def _auprc_error(groups: TieGroups) -> np.ndarray:
    flags = groups.wrong, groups.wrong_flagged, groups.right_flagged
    return _average_precision(*(flag[:, ::-1] for flag in flags))


def _fpr95(groups: TieGroups) -> np.ndarray:
    enough = 20 * groups.wrong_flagged >= 19 * groups.all_wrong[:, None]  # 95%, in whole numbers
    last = enough.sum(axis=1) - 1  # true for the first groups, false after
    flagged = groups.right_flagged[np.arange(len(last)), last]
    return _ratio(flagged, groups.all_right * (groups.all_wrong > 0))


def _aurc(groups: TieGroups) -> np.ndarray:
    # W of N samples before a group are errors, w of c in it: at its m-th sample the risk is (W + m w / c) / (N + m).
    # Over m = 1..c that adds up to (W - N w / c) (H(N + c) - H(N)) + w, with the harmonic numbers H.
    harmonic = np.append(0, np.cumsum(1 / np.arange(1, groups.n + 1)))
    size = groups.right + groups.wrong
    before = groups.kept - size
    share = groups.wrong / np.maximum(size, 1)
    growth = harmonic[groups.kept.astype(np.intp)] - harmonic[before.astype(np.intp)]
    risks = (groups.wrong_kept - groups.wrong - before * share) * growth + groups.wrong
    return risks.sum(axis=1) / groups.n


def _augrc(groups: TieGroups) -> np.ndarray:
    areas = (groups.right + groups.wrong) * (groups.wrong_kept - groups.wrong / 2)
    return areas.sum(axis=1) / groups.n**2


def _average_precision(found: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """From positives in each group, and positives and negatives up to it, [b, g] each."""
    precision = positives / np.maximum(positives + negatives, 1)
    return _ratio((found * precision).sum(axis=1), positives[:, -1])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole; NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


MEASURES: dict[str, Measure] = {
    "auroc": _auroc,
    "auprc": _auprc,
    "auprc_error": _auprc_error,
    "fpr95": _fpr95,
    "aurc": _aurc,
    "augrc": _augrc,
}
