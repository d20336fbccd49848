"""Moments of blocks and shards add up to those of the whole; the smaller Gram matrix, with and without centring."""

from __future__ import annotations

from functools import reduce
from operator import add

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.embeddings import Shards
from karat.errors import InputError
from karat.stats import _blocks
from karat.stats.moments import Gram, Moments, column_moments, power_of_two


def rows(n: int, d: int, seed: int = 0, *, shift: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def assert_same(found: Moments, h: np.ndarray, tolerance: float = 1e-12) -> None:
    """Against NumPy's mean and covariance."""
    assert found.n == len(h)
    np.testing.assert_allclose(found.mean, h.mean(axis=0), rtol=tolerance)
    exact = np.cov(h, rowvar=False, ddof=0).reshape(h.shape[1], -1)
    np.testing.assert_allclose(found.covariance(ddof=0), exact, rtol=1e-9, atol=tolerance * exact.max())


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("shift", [0.0, 3.0, 1e6])
def test_shards_add_up_to_the_whole(shards: int, shift: float) -> None:
    h = rows(61, 5, shift=shift)
    parts = [column_moments(part) for part in np.array_split(h, shards)]
    assert_same(reduce(add, parts), h, 1e-9 if shift == 1e6 else 1e-12)
    assert_same(reduce(add, parts[::-1]), h, 1e-9 if shift == 1e6 else 1e-12)
    joined = column_moments(Shards(np.array_split(h, shards)))
    np.testing.assert_allclose(joined.scatter, column_moments(h).scatter, rtol=1e-12)


def test_the_order_and_nesting_of_sums_change_nothing() -> None:
    h = rows(60, 4)
    a, b, c = (column_moments(part) for part in np.array_split(h, 3))
    for found in ((a + b) + c, a + (b + c), c + (a + b)):
        assert_same(found, h)


@pytest.mark.parametrize("size", [1, 2, 13])
def test_blocks_of_any_size_give_the_same(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    h = rows(50, 6)
    monkeypatch.setattr(_blocks, "_BLOCK_BYTES", size * 6 * 8)
    assert_same(column_moments(h), h)


def test_a_large_offset_costs_no_digits() -> None:
    h = rows(200, 3, shift=0)
    shifted = column_moments(h[:70] + 1e8) + column_moments(h[70:] + 1e8)
    np.testing.assert_allclose(shifted.covariance(), np.cov(h, rowvar=False), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_squares_neither_overflow_nor_vanish(scale: float) -> None:
    h = rows(40, 3)
    found = column_moments(h[:9] * scale) + column_moments(h[9:] * scale)
    np.testing.assert_allclose(found.mean, h.mean(axis=0) * scale, rtol=1e-12)
    np.testing.assert_allclose(
        found.scatter * (found.unit / scale) ** 2, np.cov(h, rowvar=False) * 39, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("factor", [40.0, 1e6, 1e-6])
def test_blocks_of_different_magnitude_meet_in_one_unit(factor: float) -> None:
    small, large = rows(10, 3), rows(10, 3, 1) * factor
    for a, b in ((small, large), (large, small)):
        assert_same(column_moments(a) + column_moments(b), np.vstack([a, b]))
    far = column_moments(small * 1e-300) + column_moments(large * 1e300)
    np.testing.assert_allclose(far.mean / 1e300, large.mean(axis=0) / 2, rtol=1e-12)


def test_identical_rows_have_no_scatter_at_all() -> None:
    row = np.random.default_rng(0).normal(size=7)
    found = column_moments(np.tile(row, (33, 1))) + column_moments(np.tile(row, (1000, 1)))
    assert not found.scatter.any()
    np.testing.assert_array_equal(found.mean, row)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.int16])
def test_sums_are_in_float64_whatever_the_type(dtype: type) -> None:
    h = (rows(300, 4) * 10).astype(dtype)
    assert_same(column_moments(h), h.astype(np.float64))


def test_a_covariance_needs_more_rows_than_it_loses() -> None:
    assert column_moments([[1.0, 2.0]]).covariance(ddof=0).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(InputError, match="h has 1 rows, but a covariance with ddof=1 needs 2"):
        column_moments([[1.0, 2.0]]).covariance()


def test_a_bad_row_is_named() -> None:
    with pytest.raises(InputError, match="views contains NaN or infinity, first in rows 1:"):
        column_moments([[1.0], [np.nan]], name="views")


@pytest.mark.parametrize(("n", "d"), [(40, 6), (6, 40), (9, 9), (1, 4), (4, 1)])
@pytest.mark.parametrize("size", [3, 1000])
def test_the_smaller_gram_matrix_with_and_without_centring(
    n: int, d: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_blocks, "_BLOCK_BYTES", size * d * 8)
    h = rows(n, d)
    gram = Gram.of(h)
    centred = h - h.mean(axis=0)
    for found, whole in ((gram.uncentred, h), (gram.centred, centred), (gram.matrix(center=True), centred)):
        exact = whole.T @ whole if n >= d else whole @ whole.T
        np.testing.assert_allclose(found * gram.unit**2, exact, rtol=1e-10, atol=1e-11)
    np.testing.assert_array_equal(gram.matrix(center=False), gram.uncentred)


@given(peak=st.floats(5e-324, 1.7e308))
@settings(max_examples=200)
def test_the_unit_is_a_power_of_two_at_most_the_peak_and_above_its_half(peak: float) -> None:
    unit = power_of_two(peak)
    assert unit <= peak and peak / unit < 2
    assert np.frexp(unit)[0] == 0.5


def test_the_unit_of_zeros_is_one() -> None:
    assert power_of_two(0.0) == 1
