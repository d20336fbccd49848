"""Predicted probabilities against what happens."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karat.errors import InputError
from karat.stats.reliability import (
    calibration_error,
    calibration_error_by_chance,
    equal_mass_bins,
    reliability_curve,
    resampled_calibration_error,
)
from tests.reference import reliability as slow
from tests.reference import resampling as slow_resampling

predictions = st.lists(st.tuples(st.integers(0, 8).map(lambda x: x / 8), st.booleans()), min_size=1, max_size=30)


@given(predictions, st.integers(1, 12))
def test_bins_and_error_equal_their_transcriptions(found: list[tuple[float, bool]], bins: int) -> None:
    predicted, happened = zip(*found, strict=True)
    assert equal_mass_bins(predicted, bins=bins).tolist() == slow.bins(predicted, bins)
    error = calibration_error(predicted, happened, bins=bins)
    assert error == pytest.approx(slow.calibration_error(predicted, happened, bins), abs=1e-12)


def test_bins_of_different_predictions_have_equal_mass() -> None:
    assert np.bincount(equal_mass_bins(np.random.default_rng(0).random(100), bins=10)).tolist() == [10] * 10


def test_equal_predictions_share_a_bin() -> None:
    assert len(set(equal_mass_bins([0.3] * 7 + [0.9], bins=4)[:7])) == 1


def test_the_curve_has_the_numbers_of_each_bin_and_wilsons_interval() -> None:
    predicted = [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]
    happened = [False, False, True, True, True, True]
    low, high = reliability_curve(predicted, happened, bins=2)
    assert (low.n, low.predicted, low.observed) == (3, pytest.approx(0.2), pytest.approx(1 / 3))
    assert (high.n, high.predicted, high.observed) == (3, pytest.approx(0.7), 1)
    assert (low.low, low.high) == pytest.approx(slow.wilson(1, 3))
    assert (high.low, high.high) == pytest.approx(slow.wilson(3, 3))
    assert calibration_error(predicted, happened, bins=2) == pytest.approx((1 / 3 - 0.2) / 2 + 0.3 / 2)


def test_a_calibrated_prediction_has_an_error_near_that_of_chance() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(2000)
    error = calibration_error(p, rng.random(2000) < p)
    assert error == pytest.approx(calibration_error_by_chance(p), abs=0.015)
    assert calibration_error(p, rng.random(2000) < p**2) > 0.15


def test_chance_is_the_mean_over_outcomes_drawn_from_the_predictions() -> None:
    # Of two samples with P = 1/2 in one bin the share is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4: an error of 1/4.
    assert calibration_error_by_chance([0.5, 0.5], draws=20_000) == pytest.approx(0.25, abs=0.01)
    assert calibration_error_by_chance([0, 1, 1]) == 0


def test_resamples_keep_the_bins_and_are_moved_to_the_error_itself() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(60).round(1)
    happened = rng.random(60) < p**3
    found = resampled_calibration_error(p, happened, bins=5, resamples=200, seed=2)
    assert found.value == pytest.approx(slow.calibration_error(p.tolist(), happened.tolist(), 5))
    bins = np.array(slow.bins(p.tolist(), 5))
    exact = [
        sum(abs(np.sum((p - happened)[rows][bins[rows] == number])) for number in range(5)) / 60
        for rows in np.array(slow_resampling.resamples(60, 200, 2))
    ]
    np.testing.assert_allclose(found.draws, np.maximum(np.array(exact) - np.mean(exact) + found.value, 0))
    value, low, high = found.interval()
    assert low < value < high


@pytest.mark.parametrize(
    ("predicted", "happened", "bins", "words"),
    [
        ([], [], 10, "predicted is empty"),
        ([0.5, 1.5], [0, 1], 10, "predicted goes from 0.5 to 1.5"),
        ([-0.1], [0], 10, "predicted goes from -0.1"),
        ([math.nan], [0], 10, "predicted is NaN"),
        ([0.5, 0.5], [1], 10, "happened has 1 entries"),
        ([0.5], [2], 10, "happened holds 2"),
        ([0.5], [1], 0, "bins is 0"),
    ],
)
def test_bad_input_is_refused(predicted: list[float], happened: list[int], bins: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        calibration_error(predicted, happened, bins=bins)
