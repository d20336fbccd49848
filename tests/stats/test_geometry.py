"""How rows lie on the sphere, and how much each weighs."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from karat.errors import InputError
from karat.stats import _blocks
from karat.stats.geometry import coherence, self_clustering, uniformity
from tests.reference import geometry as reference

METRICS = [uniformity, self_clustering, coherence]
SHAPES = [(25, 4), (4, 25), (9, 9), (2, 3)]


def matrix(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + 0.5


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("size", [3, 1000])
def test_each_equals_its_transcription(n: int, d: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocks, "_BLOCK_BYTES", size * d * 8)
    h = matrix(n, d)
    assert uniformity(h) == pytest.approx(reference.uniformity(h), rel=1e-12)
    assert uniformity(h, t=0.7) == pytest.approx(reference.uniformity(h, 0.7), rel=1e-12)
    assert self_clustering(h) == pytest.approx(reference.self_clustering(h), rel=1e-10, abs=1e-13)
    assert coherence(h) == pytest.approx(reference.coherence(h), rel=1e-9)


# uniformity


def test_uniformity_of_a_regular_simplex_is_its_squared_distance() -> None:
    simplex = np.eye(5) - 0.2  # five directions, all 2 + 2/4 apart squared
    assert uniformity(simplex) == pytest.approx(-2 * 2.5)


def test_uniformity_is_zero_where_all_rows_point_the_same_way_and_least_where_two_are_opposite() -> None:
    assert uniformity(np.outer([1.0, 3, 9, 0.1], [2.0, 1, 5])) == pytest.approx(0, abs=1e-12)
    assert uniformity([[1.0, 1.0], [-2.0, -2.0]], t=2) == pytest.approx(-8)


def test_random_directions_of_many_features_are_sqrt_2_apart() -> None:
    assert uniformity(matrix(300, 4000) - 0.5) == pytest.approx(-4, abs=0.01)


# self_clustering


def test_self_clustering_is_one_on_a_line_and_zero_at_random() -> None:
    assert self_clustering(np.outer([1.0, -3, 9], [2.0, 1, 5])) == pytest.approx(1)
    assert self_clustering(matrix(2000, 20) - 0.5) == pytest.approx(0, abs=1e-3)


def test_self_clustering_of_orthogonal_rows_is_below_zero() -> None:
    assert self_clustering(np.eye(2)) == pytest.approx(-1)
    assert self_clustering(np.eye(5)) == pytest.approx(-1 / 4)


def test_self_clustering_of_k_equal_orthogonal_groups() -> None:
    h = np.repeat(np.eye(4), 5, axis=0)  # cos^2 is 1 for 4 of 19 others, 0 for the rest
    assert self_clustering(h) == pytest.approx((4 / 19 - 1 / 4) / (1 - 1 / 4))


def test_a_sample_estimates_self_clustering_without_bias() -> None:
    h = matrix(12, 5)
    pairs = [self_clustering(h[[a, b]]) for a in range(12) for b in range(a)]
    assert np.mean(pairs) == pytest.approx(self_clustering(h), rel=1e-9)


# coherence


def test_coherence_of_even_rows_is_one_and_of_a_lone_direction_n_over_r() -> None:
    assert coherence(np.tile(np.eye(3), (4, 1))) == pytest.approx(1)
    assert coherence(np.vstack([np.tile([1.0, 0, 0], (9, 1)), [0.0, 5, 0]])) == pytest.approx(10 / 2)


@pytest.mark.parametrize(("n", "d"), [(30, 5), (5, 30)])
def test_coherence_counts_the_rank_not_the_columns(n: int, d: int) -> None:
    h = matrix(n, d)
    assert coherence(np.hstack([h, h, np.zeros((n, 40))])) == pytest.approx(coherence(h), rel=1e-6)


@given(seed=st.integers(0, 99), n=st.integers(1, 9), d=st.integers(1, 9), scale=st.floats(1e-290, 1e290))
@settings(max_examples=40)
def test_coherence_lies_between_one_and_n_over_r_whatever_the_basis(seed: int, n: int, d: int, scale: float) -> None:
    h = matrix(n, d, seed)
    found = coherence(h * scale)
    assert 1 - 1e-9 <= found <= n / min(n, d) + 1e-6
    mixing = np.random.default_rng(seed).normal(size=(d, d)) + 3 * np.eye(d)
    if np.linalg.cond(mixing) < 100 and np.linalg.cond(h) < 1000:
        assert coherence(h @ mixing) == pytest.approx(found, rel=1e-4)


# all of them


@pytest.mark.parametrize("metric", METRICS)
def test_rotation_and_order_of_rows_change_nothing(metric: Any) -> None:
    h = matrix(30, 6)
    assert metric(h @ ortho_group.rvs(6, random_state=0)) == pytest.approx(metric(h), rel=1e-9)
    assert metric(h[::-1]) == pytest.approx(metric(h), rel=1e-9)


@pytest.mark.parametrize("metric", [uniformity, self_clustering])
@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200])
def test_lengths_of_rows_change_nothing(metric: Any, scale: float) -> None:
    h = np.random.default_rng(0).integers(-9, 9, (20, 5)) + 0.5
    lengths = np.random.default_rng(1).uniform(0.1, 9, size=(20, 1)) * scale
    assert metric(h * lengths) == pytest.approx(metric(h), rel=1e-4 if scale < 1e-300 else 1e-9)


@pytest.mark.parametrize("metric", [uniformity, self_clustering])
@pytest.mark.parametrize("d", [3, 30])
def test_rows_of_zeros_have_no_direction_and_are_left_out(metric: Any, d: int) -> None:
    h = matrix(8, d)
    assert metric(np.insert(h, [0, 4, 8], 0, axis=0)) == pytest.approx(metric(h), rel=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_repeated_rows_and_half_precision_are_taken_as_they_are(metric: Any) -> None:
    h = matrix(6, 4).astype(np.float16)
    assert metric(h) == pytest.approx(metric(h.astype(np.float64)), rel=1e-9)
    brain = h.astype(ml_dtypes.bfloat16)
    assert metric(brain) == pytest.approx(metric(brain.astype(np.float64)), rel=1e-9)
    twice = np.repeat(h.astype(np.float64), 2, axis=0)
    assert metric(twice) == pytest.approx(getattr(reference, metric.__name__)(twice), rel=1e-9)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("h", [np.zeros((5, 3)), np.zeros((3, 5))])
def test_zeros_are_undefined(metric: Any, h: np.ndarray) -> None:
    assert math.isnan(metric(h))


def test_one_row_is_no_pair() -> None:
    assert math.isnan(uniformity([[1.0, 2.0]])) and math.isnan(self_clustering([[1.0, 2.0]]))
    assert math.isnan(uniformity([[1.0, 2.0], [0.0, 0.0]])) and math.isnan(self_clustering([[1.0, 2.0], [0.0, 0.0]]))
    assert coherence([[1.0, 2.0]]) == pytest.approx(1)


def test_one_feature_has_two_directions() -> None:
    assert uniformity([[1.0], [2.0]]) == pytest.approx(0, abs=1e-12)
    assert math.isnan(self_clustering([[1.0], [2.0]]))
    assert coherence([[1.0], [2.0]]) == pytest.approx(2 * 4 / 5)


@pytest.mark.parametrize("metric", METRICS)
def test_bad_rows_and_shapes_are_refused(metric: Any) -> None:
    with pytest.raises(InputError, match="first in rows 1:"):
        metric([[1.0, 2.0], [math.inf, 1.0], [1.0, 2.0]])
    with pytest.raises(InputError, match=r"h has shape \[3\]"):
        metric(np.ones(3))


@pytest.mark.parametrize("t", [0, -1, math.inf, math.nan])
def test_a_temperature_that_is_not_above_zero_is_refused(t: float) -> None:
    with pytest.raises(InputError, match=f"t is {t}"):
        uniformity(np.eye(3), t=t)
