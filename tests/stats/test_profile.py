"""What the row of a sample alone tells."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings

from karat.errors import InputError
from karat.stats.profile import feature_entropy, l1_norm, l2_norm, max_z, sparsity
from tests.reference import profile as reference
from tests.stats.matrices import ordinary_matrices

Measure = Callable[[np.ndarray], np.ndarray]
MEASURES: list[Measure] = [max_z, l1_norm, l2_norm, sparsity, feature_entropy]
SCALE_FREE: list[Measure] = [max_z, sparsity, feature_entropy]


@pytest.mark.parametrize("measure", MEASURES)
@given(h=ordinary_matrices())
@settings(max_examples=40)
def test_each_equals_its_transcription(measure: Measure, h: np.ndarray) -> None:
    found = measure(h)
    assert found.dtype == np.float64
    slow = getattr(reference, measure.__name__)
    exact = [slow(row) for row in h.astype(np.float64).tolist()]
    if measure is max_z:  # of a constant row the deviation is rounding
        varied = h.astype(np.float64).std(axis=1) > 1e-9 * np.abs(h.astype(np.float64)).max(axis=1)
        found, exact = found[varied], [value for value, kept in zip(exact, varied, strict=True) if kept]
    assert found == pytest.approx(exact, rel=1e-7, abs=1e-7)


def test_a_single_feature_is_as_sparse_as_can_be() -> None:
    h = np.zeros((4, 9))
    h[range(4), [0, 3, 8, 8]] = [1, -5, 1e-300, 1e300]
    assert sparsity(h) == pytest.approx([1] * 4)
    assert feature_entropy(h) == pytest.approx([0] * 4)
    assert max_z(np.abs(h)) == pytest.approx([math.sqrt(8)] * 4)


def test_equal_magnitudes_are_as_dense_as_can_be() -> None:
    h = np.array([[2.0, -2, 2, 2], [1e-300] * 4, [-7.0] * 4])
    assert sparsity(h) == pytest.approx([0] * 3, abs=1e-12)
    assert feature_entropy(h) == pytest.approx([math.log(4)] * 3)


@pytest.mark.parametrize("k", [1, 2, 5, 16])
def test_k_equal_features_have_the_entropy_ln_k(k: int) -> None:
    h = np.zeros((1, 16))
    h[0, :k] = 3
    assert feature_entropy(h) == pytest.approx([math.log(k)])
    assert sparsity(h) == pytest.approx([(4 - math.sqrt(k)) / 3])


def test_rows_of_zeros_and_single_features_have_decided_values() -> None:
    zeros = np.zeros((2, 5))
    assert sparsity(zeros).tolist() == [0, 0]
    assert feature_entropy(zeros) == pytest.approx([math.log(5)] * 2)
    assert max_z(zeros).tolist() == [0, 0]
    lonely = np.array([[0.1], [-3.0], [0.0]])
    assert sparsity(lonely).tolist() == [0, 0, 0]
    assert feature_entropy(lonely).tolist() == [0, 0, 0]


@pytest.mark.parametrize("measure", SCALE_FREE)
@pytest.mark.parametrize("scale", [1e-200, 1e-3, 7.0, 1e200])
def test_scale_and_the_order_of_rows_and_features_change_nothing(measure: Measure, scale: float) -> None:
    rng = np.random.default_rng(0)
    h = rng.exponential(size=(7, 12)) ** 2
    exact = measure(h)
    assert measure(h * scale) == pytest.approx(exact, rel=1e-9)
    assert measure(h[:, rng.permutation(12)]) == pytest.approx(exact, rel=1e-9)
    assert measure(h[::-1]) == pytest.approx(exact[::-1], rel=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_bad_rows_are_refused(measure: Measure) -> None:
    h = np.ones((4, 3))
    h[2, 1] = np.nan
    with pytest.raises(InputError, match="h contains NaN or infinity, first in rows 2"):
        measure(h)
    with pytest.raises(InputError, match=r"h has shape \[3\]"):
        measure(np.ones(3))
