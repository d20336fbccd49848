"""How views of one image lie to each other and to those of others."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from karat.errors import InputError, InputTypeError
from karat.stats import views as module
from karat.stats.views import alignment, lidar
from tests.reference import views as reference


def views(n: int, v: int, d: int, *, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 1, d)) + noise * rng.normal(size=(n, v, d)) + 0.4


@pytest.mark.parametrize(("n", "v", "d"), [(20, 3, 5), (5, 4, 12), (2, 2, 1), (7, 10, 3)])
@pytest.mark.parametrize("images", [2, 1000])
def test_each_equals_its_transcription(n: int, v: int, d: int, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", images * v * d * 8)
    given = views(n, v, d)
    assert alignment(given) == pytest.approx(reference.alignment(given), rel=1e-12)
    assert alignment(given, power=1) == pytest.approx(reference.alignment(given, 1), rel=1e-12)
    assert lidar(given) == pytest.approx(reference.lidar(given), rel=1e-6)
    assert lidar(given, delta=0.5, epsilon=1e-3) == pytest.approx(reference.lidar(given, 0.5, 1e-3), rel=1e-6)


# alignment


def test_alignment_is_zero_for_views_of_one_direction_and_two_to_the_power_for_opposite_ones() -> None:
    same = np.ones((3, 1, 4)) * np.array([1.0, 2.0, 0.5])[None, :, None]
    assert alignment(same) == pytest.approx(0, abs=1e-15)
    opposite = np.array([[[1.0, 2.0], [-3.0, -6.0]]])
    assert alignment(opposite) == pytest.approx(4)
    assert alignment(opposite, power=3) == pytest.approx(8)


def test_orthogonal_views_are_two_apart() -> None:
    assert alignment(np.eye(4)[None] * 7) == pytest.approx(2)


def test_pairs_with_a_view_of_zeros_are_left_out() -> None:
    given = views(4, 3, 5)
    with_zeros = given.copy()
    with_zeros[2, 1] = 0
    pairs = [pair for image in given for pair in ([0, 1], [0, 2], [1, 2])]
    assert len(pairs) == 12
    kept = [alignment(given[i : i + 1, pair]) for i in range(4) for pair in ([0, 1], [0, 2], [1, 2])]
    del kept[2 * 3 + 2], kept[2 * 3]  # the pairs (1, 2) and (0, 1) of image 2
    assert alignment(with_zeros) == pytest.approx(np.mean(kept), rel=1e-12)
    assert math.isnan(alignment(np.zeros((3, 2, 4))))


# lidar


def test_lidar_of_equal_directions_is_their_number() -> None:
    images = np.vstack([np.eye(6), -np.eye(6)])[:, None, :]
    views_of_each = images + 0.1 * np.vstack([np.eye(6), -np.eye(6)])[None]  # spread alike in every direction
    p = 1 / 6 + 1e-7
    assert lidar(views_of_each) == pytest.approx(math.exp(-6 * p * math.log(p)), rel=1e-9)


def test_lidar_counts_no_direction_that_views_differ_in_more_than_images() -> None:
    rng = np.random.default_rng(0)
    images = np.zeros((400, 8, 4))
    images[..., :2] = rng.normal(size=(400, 1, 2))
    images[..., 2:] = 30 * rng.normal(size=(400, 8, 2))  # noise, far larger than what tells images apart
    images[..., :2] += 0.05 * rng.normal(size=(400, 8, 2))
    assert lidar(images) == pytest.approx(2, abs=0.05)


def test_lidar_is_that_of_any_linear_image_where_delta_is_small() -> None:
    given = views(40, 5, 4)
    mixing = np.random.default_rng(1).normal(size=(4, 4)) + 3 * np.eye(4)
    assert lidar(given @ mixing, delta=1e-12) == pytest.approx(lidar(given, delta=1e-12), rel=1e-6)


def test_delta_has_the_unit_of_h_squared() -> None:
    given = views(30, 4, 5)
    for scale in (1e-150, 1e-3, 100.0, 1e150):
        assert lidar(given * scale, delta=1e-4 * scale**2) == pytest.approx(lidar(given), rel=1e-9)


def test_identical_views_leave_delta_alone_to_whiten_with() -> None:
    images = np.random.default_rng(0).normal(size=(12, 1, 3))
    eigenvalues = np.linalg.eigvalsh(np.cov(images[:, 0], rowvar=False))
    p = eigenvalues / eigenvalues.sum() + 1e-7
    assert lidar(np.repeat(images, 4, axis=1)) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-9)


def test_images_of_one_mean_have_lidar_zero_by_rule() -> None:
    assert lidar(np.tile([[1.0, 2.0], [3.0, -2.0]], (5, 1, 1))) == 0
    assert lidar(np.zeros((3, 2, 4))) == 0


def test_fewer_images_than_features_limit_lidar() -> None:
    assert lidar(views(4, 3, 30)) <= 3 + 1e-2


def test_repeated_images_and_features_change_lidar_little() -> None:
    given = views(30, 4, 5)
    assert lidar(np.concatenate([given] * 3)) == pytest.approx(lidar(given), rel=1e-6)
    assert lidar(np.dstack([given, np.zeros((30, 4, 2))]), epsilon=0) == pytest.approx(
        lidar(given, epsilon=0), rel=1e-9
    )


# both


@given(seed=st.integers(0, 99), n=st.integers(2, 8), v=st.integers(2, 5), d=st.integers(2, 6))
@settings(max_examples=30)
def test_rotation_and_the_order_of_images_and_views_change_nothing(seed: int, n: int, v: int, d: int) -> None:
    given = views(n, v, d, seed=seed)
    turned = (given @ ortho_group.rvs(d, random_state=seed))[::-1, ::-1]
    assert alignment(turned) == pytest.approx(alignment(given), rel=1e-9)
    assert lidar(turned) == pytest.approx(lidar(given), rel=1e-6)
    assert 0 <= alignment(given) <= 4


@pytest.mark.parametrize("metric", [alignment, lidar])
def test_lists_tensors_and_half_precision_are_taken(metric: Any) -> None:
    torch = pytest.importorskip("torch")
    given = views(6, 3, 4).astype(np.float16)
    exact = metric(given.astype(np.float64))
    assert metric(given.tolist()) == pytest.approx(exact, rel=1e-9)
    assert metric(torch.from_numpy(given)) == pytest.approx(exact, rel=1e-9)
    brain = given.astype(ml_dtypes.bfloat16)
    assert metric(brain) == pytest.approx(metric(brain.astype(np.float64)), rel=1e-9)


@pytest.mark.parametrize("metric", [alignment, lidar])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.ones((4, 3)), InputError, r"views has shape \[4, 3\], but \[n images, v views, d features\] is needed"),
        (np.ones((4, 0, 3)), InputError, r"views has shape \[4, 0, 3\]"),
        (np.ones((4, 1, 3)), InputError, "views has one view of each image"),
        ([[[1.0], [2.0]], [[1.0]]], InputTypeError, "images have different numbers of views"),
        (np.full((2, 2, 2), "a"), InputTypeError, "views has dtype <U1"),
        (np.array([np.eye(2), [[1, 2], [np.nan, 1]]]), InputError, "NaN or infinity, first in image 1:"),
    ],
)
def test_what_are_no_views_is_refused(metric: Any, given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        metric(given)


def test_parameters_out_of_range_are_refused() -> None:
    given = views(3, 2, 2)
    for power in (0, -1, math.inf, math.nan):
        with pytest.raises(InputError, match=f"power is {power}"):
            alignment(given, power=power)
    for delta in (0, -1, math.inf, math.nan):
        with pytest.raises(InputError, match=f"delta is {delta}"):
            lidar(given, delta=delta)
    for epsilon in (-1e-9, math.inf, math.nan):
        with pytest.raises(InputError, match=f"epsilon is {epsilon}"):
            lidar(given, epsilon=epsilon)


def test_lidar_needs_two_images() -> None:
    with pytest.raises(InputError, match="views has one image, but two or more are needed"):
        lidar(views(1, 5, 3))


def test_a_delta_that_is_lost_is_refused() -> None:
    given = np.dstack([views(5, 3, 1) * 1e9, np.zeros((5, 3, 2))])
    given[..., 1] = given[..., 0]
    with pytest.raises(InputError, match="delta is 1e-12, which is lost beside the scatter of the views"):
        lidar(given, delta=1e-12)
