"""Does a score rank the right samples above the wrong ones?"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from karat.errors import InputError, InputTypeError
from karat.stats import bootstrap
from karat.stats.ranking import augrc, auprc, auprc_error, aurc, auroc, fpr95, intervals, risk_coverage
from tests.reference import ranking as reference

MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "auroc": auroc,
    "auprc": auprc,
    "auprc_error": auprc_error,
    "fpr95": fpr95,
    "aurc": aurc,
    "augrc": augrc,
}
EXACT = dict(rel=1e-12, abs=1e-12)


def samples(n: int, *, levels: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (of so many levels, or all different) that tell something about correctness, both classes present."""
    generator = np.random.default_rng(seed)
    correct = generator.random(n) < 0.7
    correct[:2] = True, False
    score = generator.normal(size=n) + 0.8 * correct
    return (score if levels is None else np.digitize(score, np.linspace(-2, 3, levels)).astype(float)), correct


mixed_sets = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40).filter(
    lambda pairs: len({right for _, right in pairs}) == 2
)
handfuls = st.lists(st.tuples(st.integers(-1, 1), st.booleans()), min_size=1, max_size=6)


def test_measures_of_four_samples_have_the_values_of_the_definitions() -> None:
    score, correct = np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, True, False])
    assert auroc(score, correct) == 3 / 4
    assert auprc(score, correct) == pytest.approx((1 / 1 + 2 / 3) / 2, **EXACT)
    assert auprc_error(score, correct) == pytest.approx((1 / 1 + 2 / 3) / 2, **EXACT)
    assert fpr95(score, correct) == 1 / 2
    assert aurc(score, correct) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4, **EXACT)
    assert augrc(score, correct) == pytest.approx((0 + 1 / 2 + 1 + 3 / 2) / 16, **EXACT)


def test_a_perfect_score_has_the_best_value_of_every_measure() -> None:
    score, correct = np.array([2.0, 2, 1, 0, 0]), np.array([True, True, True, False, False])
    assert (auroc(score, correct), auprc(score, correct), auprc_error(score, correct)) == (1, 1, 1)
    assert fpr95(score, correct) == 0
    assert aurc(score, correct) == pytest.approx((1 / 4 + 2 / 5) / 5, **EXACT)
    assert augrc(score, correct) == pytest.approx((2 / 5) ** 2 / 2, **EXACT)


def test_a_constant_score_has_the_chance_value_of_every_measure() -> None:
    correct = np.array([True] * 7 + [False] * 3)
    score = np.full(10, 3.5)
    assert auroc(score, correct) == 0.5
    assert auprc(score, correct) == pytest.approx(0.7, **EXACT)
    assert auprc_error(score, correct) == pytest.approx(0.3, **EXACT)
    assert fpr95(score, correct) == 1
    assert aurc(score, correct) == pytest.approx(0.3, **EXACT)
    assert augrc(score, correct) == pytest.approx(0.15, **EXACT)


@pytest.mark.parametrize("levels", [None, 2, 5, 30])
@pytest.mark.parametrize("n", [5, 60, 400])
def test_areas_equal_those_of_scikit_learn(n: int, levels: int | None) -> None:
    score, correct = samples(n, levels=levels, seed=n)
    assert auroc(score, correct) == pytest.approx(roc_auc_score(correct, score), **EXACT)
    assert auprc(score, correct) == pytest.approx(average_precision_score(correct, score), **EXACT)
    assert auprc_error(score, correct) == pytest.approx(average_precision_score(~correct, -score), **EXACT)


@pytest.mark.parametrize("name", ["auroc", "fpr95", "aurc", "augrc"])
@pytest.mark.parametrize("levels", [None, 2, 5, 30])
@pytest.mark.parametrize("n", [5, 60, 120])
def test_measures_equal_their_transcriptions(name: str, n: int, levels: int | None) -> None:
    score, correct = samples(n, levels=levels, seed=n)
    slow = getattr(reference, name)(score.tolist(), correct.tolist())
    assert MEASURES[name](score, correct) == pytest.approx(slow, **EXACT)


@given(handfuls)
def test_aurc_is_the_mean_over_all_orders_that_the_scores_allow(pairs: list[tuple[int, bool]]) -> None:
    score, correct = zip(*pairs, strict=True)
    assert aurc(score, correct) == pytest.approx(reference.aurc_over_all_orders(score, correct), **EXACT)


def test_aurc_of_many_samples_loses_no_digits() -> None:
    score, correct = samples(100_000, levels=None, seed=1)
    errors = np.cumsum(~correct[np.argsort(-score)])
    assert aurc(score, correct) == pytest.approx(np.mean(errors / np.arange(1, 100_001)), rel=1e-11)


def test_fpr95_leaves_out_one_error_in_twenty_and_not_two() -> None:
    # Right samples lie above the errors, one among the two highest errors and one above 18 of them.
    score = np.concatenate([np.arange(20.0), [17.5, 18.5, 100.0]])
    correct = np.array([False] * 20 + [True] * 3)
    assert fpr95(score, correct) == 1 / 3


@given(mixed_sets)
def test_augrc_follows_from_auroc_and_accuracy(pairs: list[tuple[int, bool]]) -> None:
    score, correct = (np.array(column) for column in zip(*pairs, strict=True))
    accuracy, error_rate = correct.mean(), 1 - correct.mean()
    identity = (1 - auroc(score, correct)) * accuracy * error_rate + error_rate**2 / 2  # Traub et al. 2024
    assert augrc(score, correct) == pytest.approx(identity, **EXACT)


@given(mixed_sets, st.randoms(use_true_random=False))
def test_measures_do_not_depend_on_the_order_of_the_samples(pairs: list[tuple[int, bool]], random: object) -> None:
    shuffled = random.sample(pairs, len(pairs))  # type: ignore[attr-defined]
    for measure in MEASURES.values():
        assert measure(*zip(*pairs, strict=True)) == measure(*zip(*shuffled, strict=True))


@given(mixed_sets)
def test_measures_depend_on_the_ranks_alone(pairs: list[tuple[int, bool]]) -> None:
    score, correct = (np.array(column) for column in zip(*pairs, strict=True))
    for measure in MEASURES.values():
        assert measure(score, correct) == measure(np.exp(score / 3) * 1e6, correct)


@given(mixed_sets)
def test_a_negated_score_has_the_opposite_auroc(pairs: list[tuple[int, bool]]) -> None:
    score, correct = (np.array(column) for column in zip(*pairs, strict=True))
    assert auroc(-score, correct) == pytest.approx(1 - auroc(score, correct), **EXACT)
    assert auprc_error(score, correct) == pytest.approx(auprc(-score, ~correct), **EXACT)


@given(mixed_sets)
def test_repeating_every_sample_leaves_all_but_aurc_unchanged(pairs: list[tuple[int, bool]]) -> None:
    score, correct = (np.array(column) for column in zip(*pairs, strict=True))
    for name in MEASURES.keys() - {"aurc"}:
        twice = MEASURES[name](np.tile(score, 2), np.tile(correct, 2))
        assert twice == pytest.approx(MEASURES[name](score, correct), **EXACT)


def test_infinite_scores_are_ranked() -> None:
    assert auroc([np.inf, 0.0, -np.inf], [True, True, False]) == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, bool])
def test_scores_of_any_real_type_are_taken(dtype: type) -> None:
    assert auroc(np.array([1, 0, 1], dtype), np.array([1, 0, 1], np.uint8)) == 1


@pytest.mark.parametrize(
    ("correct", "defined"),
    [(True, {"auprc": 1.0, "aurc": 0.0, "augrc": 0.0}), (False, {"auprc_error": 1.0, "aurc": 1.0, "augrc": 0.5})],
)
def test_of_one_class_only_the_defined_measures_are_numbers(correct: bool, defined: dict[str, float]) -> None:
    score, same = np.array([1.0, 2.0, 2.0]), np.full(3, correct)
    values = {name: measure(score, same) for name, measure in MEASURES.items()}
    assert {name: value for name, value in values.items() if not math.isnan(value)} == pytest.approx(defined)
    for name, (value, low, high) in intervals(score, same, resamples=20).items():
        assert (value, low, high) == pytest.approx((defined.get(name, math.nan),) * 3, nan_ok=True)


def test_a_single_sample_is_a_set() -> None:
    assert aurc([0.3], [False]) == 1
    assert np.array(risk_coverage([0.3], [False])).tolist() == [[1.0], [1.0]]


def test_the_risk_coverage_curve_equals_its_transcription() -> None:
    score, correct = samples(40, levels=6, seed=3)
    coverage, risk = risk_coverage(score, correct, points=1000)
    slow = reference.expected_errors(score.tolist(), correct.tolist())
    assert coverage == pytest.approx(np.arange(1, 41) / 40)
    assert risk == pytest.approx([errors / i for i, errors in enumerate(slow, start=1)], **EXACT)
    assert risk.mean() == pytest.approx(reference.aurc(score.tolist(), correct.tolist()), **EXACT)


@given(st.integers(1, 300), st.integers(2, 120))
def test_the_risk_coverage_curve_rises_strictly_to_full_coverage(n: int, points: int) -> None:
    coverage, risk = risk_coverage(np.arange(n), np.arange(n) % 3 > 0, points=points)
    assert len(coverage) == len(risk) == min(n, points)
    assert (np.diff(coverage) > 0).all()
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(np.mean(np.arange(n) % 3 == 0))


@pytest.mark.parametrize("levels", [None, 4])
def test_intervals_equal_those_from_explicit_lists_of_samples(levels: int | None) -> None:
    score, correct = samples(50, levels=levels, seed=5)
    lists = np.random.default_rng(7).integers(50, size=(40, 50))
    slow: dict[str, Callable[..., float]] = {
        "auroc": lambda s, c: roc_auc_score(c, s),
        "auprc": lambda s, c: average_precision_score(c, s),
        "auprc_error": lambda s, c: average_precision_score(~c, -s),
        **{name: getattr(reference, name) for name in ("fpr95", "aurc", "augrc")},
    }
    found = intervals(score, correct, resamples=40, level=0.8, seed=7)
    assert list(found) == list(slow)
    for name, measure in slow.items():
        drawn = [measure(score[index], correct[index]) for index in lists]
        expected = (measure(score, correct), *np.quantile(drawn, [0.1, 0.9]))
        assert found[name] == pytest.approx(expected, **EXACT)


def test_the_value_of_an_interval_is_that_of_the_plain_function() -> None:
    score, correct = samples(300, levels=9, seed=6)
    for name, (value, low, high) in intervals(score, correct, resamples=50).items():
        assert value == MEASURES[name](score, correct)
        assert low < high


def test_a_seed_fixes_the_intervals_and_another_moves_them() -> None:
    score, correct = samples(200, levels=None, seed=8)
    assert intervals(score, correct, resamples=30, seed=1) == intervals(score, correct, resamples=30, seed=1)
    assert intervals(score, correct, resamples=30, seed=1) != intervals(score, correct, resamples=30, seed=2)


def test_intervals_do_not_depend_on_the_size_of_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    score, correct = samples(101, levels=None, seed=9)
    at_once = intervals(score, correct, resamples=25)
    monkeypatch.setattr(bootstrap, "BLOCK_DRAWS", 300)
    assert intervals(score, correct, resamples=25) == at_once


def test_two_scores_of_the_same_order_see_the_same_resamples() -> None:
    score, correct = samples(100, levels=12, seed=10)
    assert intervals(score, correct, resamples=40) == intervals(np.exp(score), correct, resamples=40)


def test_the_interval_of_an_error_rate_is_the_binomial_one() -> None:
    n, errors = 2000, 600
    _, low, high = intervals(np.zeros(n), np.arange(n) >= errors, resamples=4000)[
        "aurc"
    ]  # a constant score: error rate
    spread = 1.959964 * math.sqrt(0.3 * 0.7 / n)
    assert (low, high) == pytest.approx((0.3 - spread, 0.3 + spread), abs=0.1 * spread)


def test_95_percent_intervals_hold_the_true_auroc_about_95_percent_of_the_time() -> None:
    truth = NormalDist().cdf(1 / math.sqrt(2))  # of two unit normals, one apart
    generator = np.random.default_rng(11)
    held = 0
    for seed in range(300):
        correct = generator.random(150) < 0.6
        _, low, high = intervals(generator.normal(size=150) + correct, correct, resamples=200, seed=seed)["auroc"]
        held += low <= truth <= high
    assert 0.91 <= held / 300 <= 0.98


def test_resamples_without_an_error_are_left_out() -> None:
    value, low, high = intervals([3.0, 2.0, 1.0], [True, True, False], resamples=200)["auroc"]
    assert (value, low, high) == (1.0, 1.0, 1.0)


def test_an_interval_without_a_defined_resample_is_nan() -> None:
    seed = next(s for s in range(50) if np.random.default_rng(s).integers(2, size=2).tolist() == [0, 0])
    value, low, high = intervals([1.0, 0.0], [True, False], resamples=1, seed=seed)["auroc"]
    assert value == 1
    assert math.isnan(low)
    assert math.isnan(high)


def test_inputs_are_left_as_they_were() -> None:
    score, correct = samples(30, levels=None, seed=12)
    before = score.copy(), correct.copy()
    score.flags.writeable = correct.flags.writeable = False
    intervals(score, correct, resamples=5)
    assert (score == before[0]).all()
    assert (correct == before[1]).all()


@pytest.mark.parametrize(
    ("score", "correct", "error", "message"),
    [
        ([], [], InputError, "score is empty"),
        ([1.0, 2.0], [True], InputError, "correct has 1 entries, but there are 2 samples"),
        ([[1.0, 2.0]], [True, False], InputError, "score has shape [1, 2]"),
        ([1.0, np.nan, np.nan], [True] * 3, InputError, "score is NaN in 2 of 3 samples, first in rows 1, 2:"),
        ([1.0, 2.0], [0, 2], InputError, "correct holds 2 in row 1"),
        ([1.0, 2.0], [np.nan, 1], InputError, "correct holds nan in row 0"),
        ([1.0, 2.0], ["yes", "no"], InputError, "correct holds yes in row 0"),
        ([1.0, 2.0], [True, None], InputError, "correct holds None in row 1"),
        (["a", "b"], [True, False], InputTypeError, "score has dtype <U1"),
        ([1j, 2j], [True, False], InputTypeError, "score has dtype complex128"),
    ],
)
def test_bad_samples_are_refused(score: list, correct: list, error: type[Exception], message: str) -> None:
    for measure in (*MEASURES.values(), intervals, risk_coverage):
        with pytest.raises(error, match=re.escape(message)):
            measure(score, correct)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: intervals([1, 0], [1, 0], resamples=0), "resamples is 0"),
        (lambda: intervals([1, 0], [1, 0], level=95), "level is 95"),
        (lambda: risk_coverage([1, 0], [1, 0], points=1), "points is 1"),
    ],
)
def test_settings_out_of_range_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
