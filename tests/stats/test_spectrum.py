"""How many directions a representation uses, and how evenly."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from karat.errors import InputError
from karat.stats import _blocks
from karat.stats.spectrum import (
    alpha,
    condition,
    effective_rank,
    nesum,
    participation_ratio,
    singular_values,
    stable_rank,
)
from tests.reference import spectrum as reference


def matrix(n: int, d: int, seed: int = 0, *, decay: float = 0.0) -> np.ndarray:
    """Normal entries; column j is scaled by 10^(-decay * j / d)."""
    return np.random.default_rng(seed).normal(size=(n, d)) * 10.0 ** (-decay * np.arange(d) / d)


def waves(n: int, d: int) -> np.ndarray:
    """Entries that any program makes alike, of a falling spectrum."""
    i, j = np.ogrid[:n, :d]
    return np.sin(1 + 0.37 * i * (j + 1) + 0.11 * j**2) / (j + 1.0) ** 0.6 + 0.2


def with_spectrum(sigma: list[float], n: int, d: int) -> np.ndarray:
    """A matrix [n, d] whose singular values are sigma and zeros."""
    left = ortho_group.rvs(n, random_state=1)[:, : len(sigma)]
    right = ortho_group.rvs(d, random_state=2)[: len(sigma)]
    return left * sigma @ right


@pytest.mark.parametrize("d", [1, 2, 5, 30])
def test_orthonormal_rows_use_every_direction(d: int) -> None:
    p = 1 / d + 1e-7
    assert effective_rank(ortho_group.rvs(d, random_state=0) if d > 1 else np.eye(1)) == pytest.approx(
        math.exp(-d * p * math.log(p)), rel=1e-12
    )


@pytest.mark.parametrize(("n", "d"), [(40, 6), (6, 40)])
def test_rank_one_uses_one_direction(n: int, d: int) -> None:
    h = np.outer(np.arange(1.0, n + 1), np.arange(1.0, d + 1))
    exact = math.exp(-(1 + 1e-7) * math.log(1 + 1e-7) - 5 * 1e-7 * math.log(1e-7))
    assert effective_rank(h) == pytest.approx(exact, rel=1e-6)
    assert effective_rank(h, epsilon=0) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("n", "d"), [(20, 5), (5, 20), (5, 5)])
def test_a_known_spectrum_gives_its_entropy(n: int, d: int) -> None:
    h = with_spectrum([4.0, 2.0, 1.0, 1.0, 0.5], n, d)
    entropy = -sum((size / 8.5) * math.log(size / 8.5) for size in (4, 2, 1, 1, 0.5))
    assert effective_rank(h, epsilon=0) == pytest.approx(math.exp(entropy), rel=1e-12)
    squared = -sum((size**2 / 22.25) * math.log(size**2 / 22.25) for size in (4, 2, 1, 1, 0.5))
    assert effective_rank(h, epsilon=0, power=2) == pytest.approx(math.exp(squared), rel=1e-12)


def test_one_row_uses_one_direction() -> None:
    assert effective_rank([[3.0, 4.0, 0.0]]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("power", [0.5, 1, 2])
@pytest.mark.parametrize(("n", "d"), [(60, 12), (12, 60), (20, 20)])
def test_effective_rank_equals_that_from_the_decomposition(n: int, d: int, power: float, center: bool) -> None:
    for decay in (0.0, 3.0):
        h = matrix(n, d, decay=decay) + center * 5
        # Centring n <= d rows leaves a singular value of 0, which the Gram matrix resolves to 1e-8 only.
        exact = reference.effective_rank(h, center=center, power=power)
        assert effective_rank(h, center=center, power=power) == pytest.approx(exact, rel=1e-9 if n > d else 1e-3)


@pytest.mark.parametrize("epsilon", [0, 1e-7, 1e-3])
def test_epsilon_is_added_to_each_share(epsilon: float) -> None:
    h = matrix(50, 8, decay=2)
    assert effective_rank(h, epsilon=epsilon) == pytest.approx(reference.effective_rank(h, epsilon=epsilon), rel=1e-11)


@given(n=st.integers(1, 12), d=st.integers(1, 12), scale=st.floats(1e-300, 1e300), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_rotation_row_order_and_scale_change_nothing(n: int, d: int, scale: float, seed: int) -> None:
    h = matrix(n, d, seed)
    rank = effective_rank(h)
    assert 1 - 1e-6 <= rank <= min(n, d) + 1e-4
    rotation = ortho_group.rvs(d, random_state=seed) if d > 1 else -np.eye(1)
    assert effective_rank(h @ rotation) == pytest.approx(rank, rel=1e-9)
    assert effective_rank(h[::-1]) == pytest.approx(rank, rel=1e-9)
    assert effective_rank(h * scale) == pytest.approx(rank, rel=1e-9)


def test_centring_makes_it_blind_to_offsets() -> None:
    h = matrix(80, 10)
    assert effective_rank(h + 1e4, center=True) == pytest.approx(effective_rank(h, center=True), rel=1e-9)
    assert effective_rank(h + 1e4) < 1.1


@pytest.mark.parametrize(("n", "d"), [(37, 9), (9, 37)])
@pytest.mark.parametrize("center", [False, True])
def test_blocks_of_rows_add_up(n: int, d: int, center: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    h = matrix(n, d) + 2
    at_once = effective_rank(h, center=center)
    monkeypatch.setattr(_blocks, "_BLOCK_BYTES", 4 * d * 8)
    assert effective_rank(h, center=center) == pytest.approx(at_once, rel=1e-9 if n > d else 1e-6)


def test_a_memory_map_is_read_as_it_lies(tmp_path: Path) -> None:
    h = matrix(30, 6).astype(np.float32)
    np.save(tmp_path / "h.npy", h)
    mapped = np.load(tmp_path / "h.npy", mmap_mode="r")
    assert effective_rank(mapped) == pytest.approx(reference.effective_rank(h.astype(np.float64)), rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.int16])
def test_sums_are_in_float64_whatever_the_type_of_h(dtype: type) -> None:
    h = (matrix(200, 8) * 10).astype(dtype)
    assert effective_rank(h) == pytest.approx(reference.effective_rank(h.astype(np.float64)), rel=1e-11)


def test_a_bad_row_is_named_in_whichever_block_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocks, "_BLOCK_BYTES", 2 * 3 * 8)
    h = np.ones((9, 3))
    h[7, 1] = np.nan
    with pytest.raises(InputError, match="first in rows 7:"):
        effective_rank(h)


def test_all_zero_h_has_effective_rank_zero_by_rule() -> None:
    assert effective_rank(np.zeros((7, 3))) == 0
    assert effective_rank(np.zeros((3, 7))) == 0


def test_identical_rows_have_effective_rank_zero_once_centred() -> None:
    h = np.tile(np.random.default_rng(0).normal(size=5), (1001, 1))
    assert effective_rank(h, center=True) == 0
    assert effective_rank(h) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("h", "options", "message"),
    [
        (np.array([[1.0, 2], [np.nan, 0], [0, np.inf]]), {}, "h contains NaN or infinity, first in rows 1, 2:"),
        (np.full((9, 2), np.inf), {"center": True}, "first in rows 0, 1, 2, 3, 4 ...:"),
        (np.zeros(4), {}, r"h has shape \[4\]"),
        (np.eye(2), {"power": 0}, "power is 0"),
        (np.eye(2), {"power": math.inf}, "power is inf"),
        (np.eye(2), {"epsilon": math.inf}, "epsilon is inf"),
        (np.eye(2), {"epsilon": -1e-9}, "epsilon is -1e-09"),
    ],
)
def test_bad_input_is_refused(h: np.ndarray, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        effective_rank(h, **options)


# the other quantities of the spectrum

OF_SPECTRUM = [effective_rank, nesum, stable_rank, participation_ratio, condition, alpha]
SHAPES = [(60, 12), (12, 60), (20, 20), (300, 40)]


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("center", [False, True])
def test_singular_values_equal_those_of_the_whole_matrix(n: int, d: int, center: bool) -> None:
    h = matrix(n, d, decay=2) + 1
    exact = np.linalg.svd(h - center * h.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(singular_values(h, center=center), exact, rtol=1e-9, atol=2e-7 * exact[0])


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_each_equals_its_transcription(n: int, d: int) -> None:
    for decay, shift in ((0.0, 0.0), (1.5, 1.0)):
        h = matrix(n, d, decay=decay) + shift
        assert alpha(h, first=3, last=10) == pytest.approx(reference.alpha(h, 3, 10), rel=1e-9)
        assert nesum(h) == pytest.approx(reference.nesum(h), rel=1e-10)
        assert stable_rank(h) == pytest.approx(reference.stable_rank(h), rel=1e-10)
        assert participation_ratio(h) == pytest.approx(reference.participation_ratio(h), rel=1e-10)
        assert condition(h) == pytest.approx(reference.condition(h), rel=1e-7)


@pytest.mark.parametrize(("n", "d"), [(30, 6), (6, 30)])
def test_known_singular_values_give_known_numbers(n: int, d: int) -> None:
    h = with_spectrum([4.0, 2.0, 2.0, 1.0], n, d)
    assert stable_rank(h) == pytest.approx(25 / 16)
    assert condition(h) == pytest.approx(4)
    balanced = np.vstack([h, -h])  # centred, with the same directions
    assert nesum(balanced) == pytest.approx(25 / 16)
    assert participation_ratio(balanced) == pytest.approx(25**2 / (4**4 + 2 * 2**4 + 1))
    assert nesum(balanced + 9) == pytest.approx(25 / 16)
    assert stable_rank(balanced + 9) < 1.1


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0])
def test_alpha_of_a_power_law_is_its_exponent(exponent: float) -> None:
    left = ortho_group.rvs(120, random_state=0)[:, :50]
    left -= left.mean(axis=0)
    left = np.linalg.qr(left)[0]  # centred and orthonormal
    h = left * np.arange(1.0, 51) ** (-exponent / 2)
    assert alpha(h) == pytest.approx(exponent, rel=1e-9)
    assert alpha(h + 5, first=1, last=50) == pytest.approx(exponent, rel=1e-6)


def test_alpha_is_fitted_to_the_ranks_asked_for_only() -> None:
    eigenvalues = np.concatenate([np.full(10, 100.0), 10 * np.arange(11.0, 31) ** -2.0])
    left = np.linalg.qr(matrix(200, 30) - matrix(200, 30).mean(axis=0))[0]
    h = left * np.sqrt(eigenvalues)
    assert alpha(h) == pytest.approx(2, rel=1e-9)
    assert alpha(h, first=1, last=10) == pytest.approx(0, abs=1e-9)
    assert alpha(h, first=11, last=1000) == alpha(h)


def test_numbers_that_other_packages_give() -> None:
    h = waves(300, 120)
    assert effective_rank(h, center=True, power=2) == pytest.approx(19.534592418311483, rel=1e-12)  # reptrix 0.1.0
    assert alpha(h) == pytest.approx(1.8322077631543263, rel=1e-8)  # reptrix 0.1.0, whose weights are float32
    assert participation_ratio(h) == pytest.approx(8.571378362312243, rel=1e-12)  # effdim 0.1.1


def test_stable_rank_of_centred_rows_is_nesum() -> None:
    h = matrix(80, 9, decay=1) + 3
    assert stable_rank(h - h.mean(axis=0)) == pytest.approx(nesum(h), rel=1e-10)


@given(n=st.integers(2, 12), d=st.integers(1, 12), scale=st.floats(1e-300, 1e300), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_counts_of_directions_lie_between_one_and_the_most_there_can_be(
    n: int, d: int, scale: float, seed: int
) -> None:
    h = matrix(n, d, seed) * scale
    slack = 1 + 1e-9
    assert stable_rank(h) * slack >= 1 and stable_rank(h) <= min(n, d) * slack
    for count in (nesum, participation_ratio):
        assert count(h) * slack >= 1 and count(h) <= min(n - 1, d) * slack
    assert condition(h) >= 1


@pytest.mark.parametrize("metric", OF_SPECTRUM)
def test_order_of_rows_and_scale_change_nothing(metric: Any) -> None:
    h = matrix(90, 30, decay=1)
    assert metric(h[::-1]) == pytest.approx(metric(h), rel=1e-9)
    assert metric(h * 1e-3) == pytest.approx(metric(h), rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(30, 5), (5, 30)])
def test_repeated_and_dead_features_are_zeros_of_the_spectrum(n: int, d: int) -> None:
    h = matrix(n, d)
    wide = np.hstack([h, h, np.zeros((n, 7))])  # every singular value times sqrt(2), and zeros
    assert condition(wide) == pytest.approx(condition(h), rel=1e-6)
    assert stable_rank(wide) == pytest.approx(stable_rank(h), rel=1e-9)
    assert nesum(wide) == pytest.approx(nesum(h), rel=1e-9)
    assert np.count_nonzero(singular_values(wide)) == min(n, d)
    assert alpha(wide, first=1, last=50) == pytest.approx(alpha(h, first=1, last=50), rel=1e-6)


def test_repeated_rows_change_no_shares() -> None:
    h = matrix(40, 20)
    for metric in (nesum, stable_rank, participation_ratio, condition, alpha):
        assert metric(np.vstack([h, h, h])) == pytest.approx(metric(h), rel=1e-9)


@pytest.mark.parametrize("h", [np.zeros((6, 4)), np.zeros((4, 6)), np.ones((6, 4)), np.ones((1, 5)), [[7.0]]])
def test_sets_without_variance_have_decided_answers(h: Any) -> None:
    assert nesum(h) == participation_ratio(h) == 0
    assert math.isnan(alpha(h))
    present = bool(np.any(h))
    assert stable_rank(h) == pytest.approx(float(present))
    assert condition(h) == 1 if present else math.isnan(condition(h))


def test_one_feature_is_one_direction() -> None:
    h = np.arange(5.0)[:, None]
    assert nesum(h) == stable_rank(h) == participation_ratio(h) == condition(h) == 1


def test_alpha_of_fewer_than_two_eigenvalues_in_the_range_is_nan() -> None:
    assert math.isnan(alpha(matrix(50, 11)))
    assert not math.isnan(alpha(matrix(50, 12)))
    assert math.isnan(alpha(matrix(12, 50)))  # 11 directions once centred
    assert math.isnan(alpha(matrix(50, 1), first=1))


@pytest.mark.parametrize(("first", "last"), [(0, 5), (3, 3), (5, 4), (-1, 9)])
def test_ranks_that_no_line_fits_are_refused(first: int, last: int) -> None:
    with pytest.raises(InputError, match=f"first is {first} and last {last}"):
        alpha(np.eye(9), first=first, last=last)


@pytest.mark.parametrize("metric", [nesum, stable_rank, participation_ratio, condition, alpha, singular_values])
def test_bad_rows_and_shapes_are_refused_by_all(metric: Any) -> None:
    with pytest.raises(InputError, match="first in rows 1:"):
        metric([[1.0, 2.0], [math.nan, 1.0], [1.0, 2.0]])
    with pytest.raises(InputError, match=r"h has shape \[3\]"):
        metric(np.ones(3))
