"""Rank correlation and its resamples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from karat.errors import InputError, InputTypeError
from karat.stats.correlation import resampled_spearman, spearman
from tests.reference import resampling as slow

pairs = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=30)


def test_of_equal_orders_it_is_1_and_of_opposite_ones_minus_1() -> None:
    assert spearman([1, 5, 9], [0.1, 0.2, math.inf]) == 1
    assert spearman([1, 5, 9], [3, 2, -math.inf]) == -1


@given(pairs)
def test_it_equals_its_transcription(found: list[tuple[int, int]]) -> None:
    first, second = zip(*found, strict=True)
    assert spearman(first, second) == pytest.approx(slow.spearman(first, second), nan_ok=True, abs=1e-12)


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_it_equals_that_of_scipy(digits: int) -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 200)).round(digits)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)


def test_of_a_constant_it_is_not_defined() -> None:
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_resamples_are_ranked_anew() -> None:
    rng = np.random.default_rng(0)
    scores, loss = rng.normal(size=(3, 30)).round(1), rng.normal(size=30).round(1)
    found = resampled_spearman(list(scores), loss, resamples=20, seed=6)
    for score, each in zip(scores, found, strict=True):
        assert each.value == pytest.approx(spearmanr(score, loss).statistic, abs=1e-12)
        exact = slow.drawn(slow.spearman, score.tolist(), loss.tolist(), times=20, seed=6)
        np.testing.assert_allclose(each.draws, exact, atol=1e-12)


def test_an_infinite_loss_is_the_highest_rank() -> None:
    assert spearman([3, 2, 1], [0.1, 5, math.inf]) == -1


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [([], [], "first is empty"), ([1, 2], [1, 2, 3], "2 and 3 values"), ([1, math.nan], [1, 2], "first is NaN in 1")],
)
def test_bad_input_is_refused(first: list[float], second: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        spearman(first, second)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(InputTypeError, match="second has dtype"):
        spearman([1, 2], ["a", "b"])
