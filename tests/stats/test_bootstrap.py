"""Intervals, paired differences, and corrections for several tests."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karat.errors import InputError
from karat.stats import bootstrap
from karat.stats.bootstrap import Resampled, draws, holm, mean_over_members, resampled_means, resampled_sums
from karat.stats.ranking import resampled_measures
from tests.reference import ranking as slow_ranking
from tests.reference import resampling as slow

VALUES = np.random.default_rng(0).normal(size=(3, 40))


def test_means_of_resamples_are_those_of_explicit_lists_of_samples() -> None:
    for row, found in zip(VALUES.tolist(), resampled_means(VALUES, resamples=30, seed=5), strict=True):
        assert found.value == pytest.approx(sum(row) / len(row))
        np.testing.assert_allclose(found.draws, slow.drawn(lambda x: sum(x) / len(x), row, times=30, seed=5))


def test_sums_of_resamples_are_as_many_times_their_means() -> None:
    sums = resampled_sums(VALUES, resamples=30, seed=5)
    np.testing.assert_allclose(sums / 40, [mean.draws for mean in resampled_means(VALUES, resamples=30, seed=5)])


def test_draws_do_not_depend_on_the_size_of_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.vstack(list(draws(7, 20, 3)))
    monkeypatch.setattr(bootstrap, "BLOCK_DRAWS", 30)
    blocks = list(draws(7, 20, 3))
    assert len(blocks) == 5
    np.testing.assert_array_equal(np.vstack(blocks), whole)
    np.testing.assert_array_equal(whole, slow.resamples(7, 20, 3))


def test_a_difference_is_taken_resample_by_resample() -> None:
    first, second, _ = resampled_means(VALUES, resamples=30)
    difference = first - second
    assert difference.value == first.value - second.value
    np.testing.assert_array_equal(difference.draws, first.draws - second.draws)
    alone = resampled_means((VALUES[0] - VALUES[1])[None], resamples=30)[0]
    np.testing.assert_allclose(difference.draws, alone.draws, atol=1e-12)


def test_a_paired_interval_is_narrower_than_that_of_independent_samples() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=400)
    first, second = resampled_means(np.stack([common, common + 0.1 + rng.normal(size=400) / 20]), resamples=400)
    _, low, high = (second - first).interval()
    assert 0 < low < 0.1 < high < 0.12
    assert first.interval()[2] - first.interval()[1] > 5 * (high - low)


def test_an_interval_leaves_out_what_is_not_defined() -> None:
    holed = np.array([math.nan, 0.0, 1.0, 2.0, 3.0, 4.0, math.nan])
    assert Resampled(2.0, holed).interval(0.5) == (2.0, 1.0, 3.0)
    value, low, high = Resampled(2.0, np.full(3, math.nan)).interval()
    assert value == 2.0 and math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, math.nan])
def test_a_level_that_is_no_share_is_refused(level: float) -> None:
    with pytest.raises(InputError, match="level is"):
        Resampled(0.0, np.zeros(3)).interval(level)


def test_p_is_that_of_a_normal_with_the_deviation_of_the_draws() -> None:
    spread = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    deviation = math.sqrt(10 / 4)
    for value in (0.0, 0.5, -3.0):
        wanted = 2 * NormalDist().cdf(-abs(value) / deviation)
        assert Resampled(value, spread).p_value() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("value", "found", "p"),
    [(0.0, [0.0, 0.0], 1.0), (0.5, [0.5, 0.5], math.nan), (math.nan, [0.0, 1.0], math.nan), (0.5, [0.5], math.nan),
     (0.5, [math.nan, math.nan], math.nan)],
)  # fmt: skip
def test_p_of_draws_that_do_not_move_is_decided(value: float, found: list[float], p: float) -> None:
    assert Resampled(value, np.array(found)).p_value() == pytest.approx(p, nan_ok=True)


def test_p_falls_below_5_percent_about_5_percent_of_the_time_where_there_is_no_difference() -> None:
    rng, found = np.random.default_rng(0), []
    for seed in range(300):
        correct = rng.random(150) < 0.7
        scores = rng.normal(size=(2, 150)) + correct
        first, second = (resampled_measures(score, correct, resamples=100, seed=seed)["auroc"] for score in scores)
        found.append((first - second).p_value())
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.09
    assert 0.4 < np.mean(found) < 0.6


def test_a_paired_test_of_auroc_is_that_of_explicit_resamples() -> None:
    rng = np.random.default_rng(1)
    correct = rng.random(40) < 0.6
    scores = (rng.normal(size=(2, 40)) + correct).round(1)
    first, second = (resampled_measures(score, correct, resamples=25, seed=4)["auroc"] for score in scores)
    exact = [slow.drawn(slow_ranking.auroc, score.tolist(), correct.tolist(), times=25, seed=4) for score in scores]
    difference = first - second
    np.testing.assert_allclose(difference.draws, np.subtract(*exact))
    deviation = np.std(np.subtract(*exact), ddof=1)
    value = slow_ranking.auroc(scores[0], correct) - slow_ranking.auroc(scores[1], correct)
    assert difference.p_value() == pytest.approx(2 * NormalDist().cdf(-abs(value) / deviation))


def test_a_mean_over_members_varies_with_the_members_and_with_the_samples() -> None:
    same = [Resampled(1.0, np.linspace(0, 2, 500))] * 5
    np.testing.assert_allclose(mean_over_members(same, 0).draws, same[0].draws, rtol=1e-12)
    apart = [Resampled(float(k), np.full(500, float(k))) for k in range(5)]
    found = mean_over_members(apart, 0)
    assert found.value == 2
    # The mean of five draws from 0, 1 .. 4 has the variance 2 / 5.
    assert np.var(found.draws) == pytest.approx(2 / 5, rel=0.15)
    assert np.mean(found.draws) == pytest.approx(2, abs=0.1)


def test_a_mean_over_one_member_is_that_member() -> None:
    one = Resampled(0.5, np.arange(4.0))
    np.testing.assert_array_equal(mean_over_members([one], 3).draws, one.draws)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_equals_its_transcription(p: list[float]) -> None:
    np.testing.assert_allclose(holm(p), slow.holm(p))


def test_holm_of_one_test_changes_nothing_and_undefined_tests_do_not_count() -> None:
    assert holm([0.03]) == [0.03] and holm([]) == []
    assert holm([0.03, math.nan, 0.5])[:1] == [0.06]
    assert math.isnan(holm([0.03, math.nan])[1])


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="resamples is 0"):
        resampled_means(VALUES, resamples=0)
    with pytest.raises(InputError, match="no samples"):
        resampled_means(np.empty((2, 0)))
