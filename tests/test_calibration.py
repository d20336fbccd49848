"""From scores and few labels to P(misclassified)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

import karat
from karat.errors import InputError
from karat.records import Calibration, Scores, from_dict, to_dict
from tests import report_records
from tests.reference import ranking as slow_ranking
from tests.reference import reliability as slow
from tests.reference.resampling import ranks

N = 600
IDS = np.array([f"s{row:03d}" for row in range(N)])
TRUE_P = np.random.default_rng(0).uniform(0.02, 0.9, N)  # of being wrong
RIGHT = np.random.default_rng(1).random(N) >= TRUE_P
KNOWN = np.arange(N) % 2 == 0


@cache
def scored() -> Scores:
    """q_score falls as P rises, in its own way; random tells nothing; softmax_entropy rises with P."""
    rng = np.random.default_rng(2)
    columns = {
        "id": IDS,
        "q_score": np.exp(3 * (1 - TRUE_P) + rng.normal(size=N) / 3),
        "random": rng.random(N),
        "softmax_entropy": TRUE_P**2 + rng.normal(size=N) / 10,
    }
    names = ("q_score", "random", "softmax_entropy")
    return report_records.scores(N, names=names, columns=columns)


def known() -> np.ndarray:
    return np.where(KNOWN, RIGHT.astype(float), math.nan)


@cache
def calibrated(method: str = "isotonic", using: tuple[str, ...] = ("q_score",)) -> Calibration:
    return karat.calibrate(scored(), known(), method=method, using=using, resamples=100)


def percentile(values: np.ndarray) -> np.ndarray:
    return (np.array(ranks(values.tolist())) - 0.5) / len(values)


def isotonic(x: np.ndarray, wrong: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return IsotonicRegression(increasing=False, y_min=0, y_max=1, out_of_bounds="clip").fit(x, wrong).predict


def logistic(x: np.ndarray, wrong: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    model = LogisticRegression().fit(x, wrong)
    return lambda new: model.predict_proba(new)[:, 1]


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_labelled_samples_are_predicted_by_models_that_have_not_seen_them_and_others_by_all(method: str) -> None:
    x = np.stack([percentile(scored().q_score), percentile(-scored().softmax_entropy)], axis=1)
    x, fit = (x.mean(axis=1), isotonic) if method == "isotonic" else ((x - 0.5) * math.sqrt(12), logistic)
    wrong, exact = ~RIGHT[KNOWN], np.empty(N)
    exact[~KNOWN] = fit(x[KNOWN], wrong)(x[~KNOWN])
    crossed, mine = np.empty(KNOWN.sum()), x[KNOWN]
    for others, held_out in StratifiedKFold(5, shuffle=True, random_state=0).split(mine, wrong):
        crossed[held_out] = fit(mine[others], wrong[others])(mine[held_out])
    exact[KNOWN] = crossed
    found = calibrated(method, ("q_score", "softmax_entropy"))
    np.testing.assert_allclose(found.p_wrong, exact, atol=1e-9)
    np.testing.assert_array_equal(found.columns["labelled"], KNOWN)
    assert (found.n, found.n_labelled, found.using) == (N, 300, ("q_score", "softmax_entropy"))


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_predictions_are_near_the_true_probabilities(method: str) -> None:
    found = calibrated(method)
    assert np.corrcoef(found.p_wrong, TRUE_P)[0, 1] > 0.75
    assert np.abs(found.p_wrong - TRUE_P).mean() < 0.15
    assert found.ece.value < 0.12 and found.brier.high < found.brier_of_base_rate
    assert found.warnings == ()


def test_isotonic_predictions_never_rise_with_the_score() -> None:
    order = np.argsort(scored().q_score[~KNOWN])
    assert np.all(np.diff(calibrated().p_wrong[~KNOWN][order]) <= 1e-12)


def test_its_numbers_are_those_of_the_labelled_samples() -> None:
    found = calibrated()
    p, wrong = found.p_wrong[KNOWN].tolist(), (~RIGHT[KNOWN]).tolist()
    assert found.error_rate == pytest.approx(np.mean(wrong))
    assert found.ece.value == pytest.approx(slow.calibration_error(p, wrong, 10))
    assert found.brier.value == pytest.approx(np.mean((np.array(p) - wrong) ** 2))
    assert found.brier_of_base_rate == pytest.approx(np.var(wrong))
    assert found.auroc.value == pytest.approx(slow_ranking.auroc(p, wrong))
    assert sum(each.n for each in found.reliability) == 300
    gaps = [each.n / 300 * abs(each.predicted - each.observed.value) for each in found.reliability]
    assert sum(gaps) == pytest.approx(found.ece.value)
    for estimate in (found.ece, found.brier, found.auroc):
        assert estimate.low < estimate.value < estimate.high


def test_scores_that_are_rescaled_change_nothing() -> None:
    columns = {**scored().columns, "q_score": np.log(scored().q_score) * 7 - 3}
    again = karat.calibrate(replace(scored(), columns=columns), known(), resamples=100)
    np.testing.assert_allclose(again.p_wrong, calibrated().p_wrong)


def test_a_score_whose_low_values_are_good_is_turned_round() -> None:
    assert calibrated("isotonic", ("softmax_entropy",)).auroc.low > 0.6


def test_scores_that_tell_nothing_are_said_to() -> None:
    found = calibrated("isotonic", ("random",))
    assert (
        "these scores do not tell wrong from right samples here: P is little more than the error rate" in found.warnings
    )


def outcome_of(kind: str) -> Any:
    """The same outcome, in other forms and another order."""
    rows = np.random.default_rng(5).permutation(np.flatnonzero(KNOWN))
    if kind == "mapping":
        return {IDS[row]: bool(RIGHT[row]) for row in rows}
    if kind == "probe":
        columns = {"id": IDS[rows], "label": IDS[rows], "correct": RIGHT[rows], "logits": np.zeros((300, 3))}
        return report_records.probe(300, columns=columns)
    return [bool(right) if there else None for right, there in zip(RIGHT, KNOWN, strict=True)]


@pytest.mark.parametrize("kind", ["mapping", "probe", "list"])
def test_outcomes_join_by_id_or_come_in_the_order_of_the_scores(kind: str) -> None:
    found = karat.calibrate(scored(), outcome_of(kind), resamples=100)
    np.testing.assert_array_equal(found.p_wrong, calibrated().p_wrong)
    assert found == calibrated()


def test_samples_without_a_score_get_no_probability_and_teach_nothing() -> None:
    columns = {**scored().columns, "q_score": np.where(np.arange(N) < 50, math.nan, scored().q_score)}
    found = karat.calibrate(replace(scored(), columns=columns), known(), resamples=20)
    assert (found.n, found.n_labelled) == (550, 275)
    np.testing.assert_array_equal(np.isnan(found.p_wrong), np.arange(N) < 50)
    rest = report_records.scores(550, columns={name: values[50:] for name, values in scored().columns.items()})
    exact = karat.calibrate(rest, known()[50:], resamples=20)
    np.testing.assert_allclose(found.p_wrong[50:], exact.p_wrong)


def test_all_samples_may_be_labelled() -> None:
    assert karat.calibrate(scored(), RIGHT, resamples=20).n_labelled == N


def test_few_labelled_samples_are_warned_of() -> None:
    few = np.where(np.arange(N) < 60, RIGHT.astype(float), math.nan)
    found = karat.calibrate(scored(), few, resamples=20)
    assert any("only 60 samples are labelled" in told for told in found.warnings)


def test_equal_scores_have_the_error_rate() -> None:
    columns = {**scored().columns, "q_score": np.ones(N)}
    found = karat.calibrate(replace(scored(), columns=columns), known(), resamples=20)
    np.testing.assert_allclose(found.p_wrong[~KNOWN], (~RIGHT[KNOWN]).mean())
    assert found.auroc.low <= 0.5


def test_the_seed_decides_the_folds() -> None:
    again = karat.calibrate(scored(), known(), seed=1, resamples=100)
    assert np.any(again.p_wrong[KNOWN] != calibrated().p_wrong[KNOWN])
    np.testing.assert_array_equal(again.p_wrong[~KNOWN], calibrated().p_wrong[~KNOWN])


def test_it_comes_back_from_json() -> None:
    assert from_dict(to_dict(calibrated()), calibrated().columns) == calibrated()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"using": ()}, "using is empty: choose from q_score, random"),
        ({"using": ("max_z",)}, "there is no score 'max_z': choose from q_score"),
        ({"method": "platt"}, "method='platt', but 'isotonic' or 'logistic'"),
        ({"folds": 1}, "folds is 1, but at least 2"),
        ({"bins": 0}, "bins is 0"),
        ({"outcome": np.ones(N)}, "600 are right and 0 wrong, but 5 folds need at least 5 of each"),
        ({"outcome": np.zeros(N)}, "0 are right and 600 wrong"),
        ({"outcome": np.full(N, math.nan)}, "of 0 samples with a score and a known outcome"),
        ({"outcome": np.ones(N - 1)}, "outcome has 599 entries, but there are 600 samples"),
        ({"outcome": np.full(N, "cat")}, "outcome holds 'cat', but 1 .right. or 0 .wrong. is needed"),
        ({"outcome": np.full(N, 0.5)}, "outcome holds 0.5"),
        ({"outcome": {"s000": 1, "x": 0, "y": 1}}, r"2 of 3 ids of the outcome have no score \(x, y\)"),
        ({"outcome": {"1": 1, 1: 0}}, "1 ids of the outcome occur more than once"),
        ({"resamples": 0}, "resamples is 0"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_input_is_refused(change: dict[str, Any], words: str) -> None:
    settings = {"outcome": known(), **change}
    with pytest.raises(InputError, match=words):
        karat.calibrate(scored(), settings.pop("outcome"), **settings)


def test_ids_that_occur_twice_are_refused() -> None:
    twice = replace(scored(), columns={**scored().columns, "id": np.append(IDS[:-1], IDS[0])})
    with pytest.raises(InputError, match=r"1 ids of the scores occur more than once \(s000\)"):
        karat.calibrate(twice, known())
