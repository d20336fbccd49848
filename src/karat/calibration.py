"""From scores to probabilities: P(misclassified) of every sample, learned from a few hundred whose outcome is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from ._array import as_vector
from ._files import digest_bytes
from ._version import version
from .catalog import direction_of
from .errors import InputError
from .joining import keys_of, listed, positions, prefixed
from .records import Calibration, Estimate, ProbeResult, Provenance, ReliabilityBin, Scores
from .stats.bootstrap import resampled_means
from .stats.ranking import resampled_measures
from .stats.reliability import calibration_error_by_chance, reliability_curve, resampled_calibration_error

Method = Literal["isotonic", "logistic"]
# Fewer labelled samples than this are warned of: the curve rests on too little.
_FEW = 100


def calibrate(
    scores: Scores,
    outcome: ProbeResult | Mapping[Any, Any] | Sequence[Any] | np.ndarray,
    *,
    using: Sequence[str] = ("q_score",),
    method: Method = "isotonic",
    folds: int = 5,
    bins: int = 10,
    seed: int = 0,
    resamples: int = 1000,
) -> Calibration:
    """Learn P(misclassified) from scores and the known outcome of some samples; predict it for all.

    Each score is taken as its percentile among all samples (turned round where low values are good), so that its scale
    does not matter. `isotonic` fits the best function that never rises to the mean percentile; `logistic` a logistic
    regression on the percentiles (L2 penalty, C = 1, columns of unit variance), which may weigh and turn the scores.
    A labelled sample is predicted by a model that was fitted without it (`folds` stratified folds), the others by one
    fitted on all labelled samples. Calibration is judged on the labelled ones.

    Args:
        scores: of all samples; those without a score get NaN.
        outcome: a probe's result, or id -> whether the sample is right, or one value a sample in the order of `scores`;
            1 or True: right, 0 or False: wrong, NaN or None: not known. A probe and a mapping join by id.
        using: names of scores.
        method: "isotonic" or "logistic".
        folds: at least 2; at least as many samples must be right, and wrong.
        bins: of equal mass, for the reliability curve and the calibration error.
        seed: of the folds and the bootstrap.
        resamples: of the bootstrap.

    Returns:
        A `Calibration`: `.p_wrong` [n] in [0, 1], higher = more likely wrong; `.reliability`, `.ece`, `.brier`.

    Raises:
        InputError: an unknown score or method, ids that are missing or occur twice, too few right or wrong samples.

    Reference: Zadrozny & Elkan, KDD 2002 (isotonic); Platt 1999 (logistic). Scores without labels as input are ours.
    """
    known = _outcomes(scores, outcome)
    names = (using,) if isinstance(using, str) else tuple(using)
    percentiles = _percentiles(scores, names)
    usable = ~np.isnan(percentiles).any(axis=1)
    labelled = usable & ~np.isnan(known)
    wrong = known[labelled] == 0
    _check(wrong, method, folds)
    x = percentiles.mean(axis=1, keepdims=True) if method == "isotonic" else (percentiles - 0.5) * np.sqrt(12)
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    p_wrong = np.full(len(x), np.nan)
    p_wrong[labelled] = _cross_fitted(x[labelled], wrong, method, splits)
    if np.any(usable & ~labelled):
        p_wrong[usable & ~labelled] = _predicted(_fitted(x[labelled], wrong, method), x[usable & ~labelled])
    settings = {"method": method, "folds": folds, "bins": bins, "seed": seed, "resamples": resamples}
    inputs = prefixed(scores.provenance.inputs, "scores") | {"outcome": digest_bytes(known.tobytes())}
    return Calibration(
        provenance=Provenance("calibrate", {"using": list(names), **settings}, inputs, version()),
        n=int(usable.sum()),
        n_labelled=len(wrong),
        using=names,
        method=method,
        error_rate=float(wrong.mean()),
        **_judged(p_wrong[labelled], wrong, bins=bins, seed=seed, resamples=resamples),
        columns={"id": scores.ids, "p_wrong": p_wrong, "labelled": labelled},
    )


def _outcomes(scores: Scores, outcome: Any) -> np.ndarray:
    """1 where a sample is right, 0 where it is wrong, NaN where that is not known: float64 [n], in the order of scores.

    Raises:
        InputError: ids that have no score or occur twice, another number of values, other values.
    """
    keys = keys_of(scores.ids, "scores")
    if isinstance(outcome, ProbeResult):
        outcome = dict(zip(keys_of(outcome.ids, "probe").tolist(), outcome.correct.tolist(), strict=True))
    if not isinstance(outcome, Mapping):
        return np.array([_known(value) for value in as_vector(outcome, "outcome", len(keys)).tolist()], np.float64)
    wanted = keys_of(np.array([str(key) for key in outcome], np.str_), "outcome")
    place = positions(keys, wanted)
    if np.any(place < 0):
        missing = wanted[place < 0]
        raise InputError(f"{len(missing)} of {len(wanted)} ids of the outcome have no score ({listed(missing)})")
    known = np.full(len(keys), np.nan)
    known[place] = [_known(value) for value in outcome.values()]
    return known


def _known(value: Any) -> float:
    if value is None or value != value:
        return np.nan
    if value not in (0, 1):
        raise InputError(
            f"outcome holds {value!r}, but 1 (right) or 0 (wrong) is needed: of classes, a probe makes that "
            "(karat.probe)"
        )
    return float(value)


def _percentiles(scores: Scores, names: Sequence[str]) -> np.ndarray:
    """Of each score among the samples that have all of them: (rank - 1/2) / m, high = good; NaN elsewhere. [n, scores]

    Raises:
        InputError: no score, or one that the record does not have.
    """
    if not names:
        raise InputError(f"using is empty: choose from {', '.join(scores.names)}")
    for name in names:
        if name not in scores.names:
            raise InputError(f"there is no score {name!r}: choose from {', '.join(scores.names)}, or score it first")
    values = np.stack([direction_of(name) * np.asarray(getattr(scores, name), np.float64) for name in names], axis=1)
    usable = ~np.isnan(values).any(axis=1)
    found = np.full(values.shape, np.nan)
    if usable.any():
        found[usable] = (rankdata(values[usable], axis=0) - 0.5) / usable.sum()
    return found


def _check(wrong: np.ndarray, method: str, folds: int) -> None:
    if method not in ("isotonic", "logistic"):
        raise InputError(f"method={method!r}, but 'isotonic' or 'logistic' is needed")
    if folds < 2:
        raise InputError(f"folds is {folds}, but at least 2 are needed (5 are usual)")
    errors, right = int(wrong.sum()), int((~wrong).sum())
    if min(errors, right) < folds:
        raise InputError(
            f"of {len(wrong)} samples with a score and a known outcome {right} are right and {errors} wrong, "
            f"but {folds} folds need at least {folds} of each: label more samples"
        )


def _fitted(x: np.ndarray, wrong: np.ndarray, method: str) -> BaseEstimator:
    return _model(method).fit(x, wrong)


def _model(method: str) -> BaseEstimator:
    """A model of P(wrong)."""
    if method == "logistic":
        return LogisticRegression()
    return IsotonicRegression(increasing=False, y_min=0, y_max=1, out_of_bounds="clip")


def _cross_fitted(x: np.ndarray, wrong: np.ndarray, method: str, splits: StratifiedKFold) -> np.ndarray:
    """Each sample's prediction by a model fitted on the other folds."""
    p = np.empty(len(x))
    for others, held_out in splits.split(x, wrong):
        p[held_out] = _predicted(_fitted(x[others], wrong[others], method), x[held_out])
    return p


def _predicted(model: BaseEstimator, x: np.ndarray) -> np.ndarray:
    return model.predict_proba(x)[:, 1] if isinstance(model, LogisticRegression) else model.predict(x)


def _judged(p: np.ndarray, wrong: np.ndarray, *, bins: int, seed: int, resamples: int) -> dict[str, Any]:
    """How well the cross-fitted predictions are calibrated, and whether they tell anything."""
    drawn = {"resamples": resamples, "seed": seed}
    error = resampled_calibration_error(p, wrong, bins=bins, **drawn)
    (brier,) = resampled_means(((p - wrong) ** 2)[None], **drawn)
    ranking = Estimate(*resampled_measures(p, wrong, **drawn)["auroc"].interval())
    warnings = []
    if len(p) < _FEW:
        warnings.append(f"only {len(p)} samples are labelled: the curve rests on few; label {_FEW} or more")
    if ranking.low <= 0.5:
        warnings.append("these scores do not tell wrong from right samples here: P is little more than the error rate")
    return {
        "ece": Estimate(*error.interval()),
        "ece_by_chance": calibration_error_by_chance(p, bins=bins, draws=resamples, seed=seed),
        "brier": Estimate(*brier.interval()),
        "brier_of_base_rate": float(wrong.mean() * (1 - wrong.mean())),
        "auroc": ranking,
        "reliability": tuple(
            ReliabilityBin(each.n, each.predicted, Estimate(each.observed, each.low, each.high))
            for each in reliability_curve(p, wrong, bins=bins)
        ),
        "warnings": tuple(warnings),
    }
