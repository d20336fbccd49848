"""Nearest neighbours in the space of an encoder."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from karat.errors import InputError
from karat.stats.neighbors import Neighborhood, knn_distance, knn_similarity
from tests.reference import neighbors as reference

FLOAT32 = dict(rel=0, abs=3e-6)


def matrix(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_similarity_is_the_mean_of_the_largest_cosines() -> None:
    angles = np.radians([0, 30, 60, 90, 180])
    reference_rows = np.column_stack([np.cos(angles), np.sin(angles)]) * [[1], [5], [0.1], [2], [3]]
    h = np.array([[7.0, 0.0]])
    for k, total in [
        (1, 1),
        (2, 1 + math.sqrt(3) / 2),
        (4, 1 + math.sqrt(3) / 2 + 0.5 + 0),
        (5, math.sqrt(3) / 2 + 0.5),
    ]:
        found = knn_similarity(h, reference=reference_rows, k=k, center=False)
        assert found == pytest.approx([total / k], **FLOAT32)


def test_corners_of_a_square_see_two_neighbours_at_right_angles_and_one_opposite() -> None:
    h = np.array([[11.0, -3], [10, -2], [9, -3], [10, -4]])
    assert knn_similarity(h, k=2) == pytest.approx([0] * 4, **FLOAT32)
    assert knn_similarity(h, k=3) == pytest.approx([-1 / 3] * 4, **FLOAT32)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("k", [1, 3, 16])
@pytest.mark.parametrize("block", [1, 5, 2048])
def test_similarity_equals_its_transcription(k: int, center: bool, block: int) -> None:
    h, other = matrix(17, 6) + 1, matrix(23, 6, seed=1) * 2
    alone = reference.knn_similarity(h, None, k=k, center=center)
    against = reference.knn_similarity(h, other, k=k, center=center)
    assert knn_similarity(h, k=k, center=center, block=block) == pytest.approx(alone, **FLOAT32)
    found = knn_similarity(h, reference=other, k=k, center=center, block=block)
    assert found == pytest.approx(against, **FLOAT32)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("k", [1, 3, 16])
@pytest.mark.parametrize("block", [1, 5, 2048])
def test_distance_equals_its_transcription(k: int, center: bool, block: int) -> None:
    h, other = matrix(17, 6) + 1, matrix(23, 6, seed=1) * 2
    for rows in (None, other):
        exact = reference.knn_distance(h, rows, k=k, center=center)
        found = knn_distance(h, reference=rows, k=k, center=center, block=block)
        assert found == pytest.approx(exact, **FLOAT32)


def test_distance_is_that_of_the_last_neighbour_and_orders_as_euclids_of_unit_rows() -> None:
    angles = np.radians([0, 30, 60, 90, 180])
    rows = np.column_stack([np.cos(angles), np.sin(angles)]) * [[1], [5], [0.1], [2], [3]]
    h = np.array([[7.0, 0.0]])
    for k, cosine in [(1, 1), (2, math.sqrt(3) / 2), (3, 0.5), (4, 0), (5, -1)]:
        found = knn_distance(h, reference=rows, k=k, center=False)
        assert found == pytest.approx([1 - cosine], **FLOAT32)
        unit = rows[k - 1] / np.linalg.norm(rows[k - 1])
        assert np.sqrt(2 * found) == pytest.approx([np.linalg.norm(unit - [1, 0])], abs=3e-3)


def test_rows_that_are_dropped_are_nobodys_neighbours() -> None:
    h = matrix(20, 4)
    bad = h.copy()
    bad[[2, 11]] = np.nan
    good = np.array([row for row in range(20) if row not in (2, 11)])
    found = Neighborhood.of(bad, k=3, drop=True, block=6)(bad[good], good)
    assert found.mean(axis=1) == pytest.approx(knn_similarity(h[good], k=3), **FLOAT32)
    with pytest.raises(InputError, match="k is 18, but only 17 finite rows of h can be neighbours"):
        Neighborhood.of(bad, k=18, drop=True)(bad[good], good)


def test_a_sample_is_not_its_own_neighbour_but_its_duplicate_is() -> None:
    h = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 2]])
    assert knn_similarity(h, k=1, center=False) == pytest.approx([0, 0, 1, 1], **FLOAT32)


def test_a_given_reference_is_taken_whole() -> None:
    h = matrix(12, 5)
    assert knn_similarity(h, reference=h, k=1) == pytest.approx([1] * 12, **FLOAT32)
    assert (knn_similarity(h, k=1) < 0.999).all()


def test_the_mean_is_that_of_the_reference() -> None:
    other = np.array([[9.0, 10], [11, 10]])  # mean (10, 10)
    found = knn_similarity([[10.0, 13.0], [15.0, 10.0]], reference=other, k=1)
    assert found == pytest.approx([0, 1], **FLOAT32)


def test_zero_rows_have_similarity_zero() -> None:
    h = np.array([[0.0, 0], [1, 0], [2, 0]])
    assert knn_similarity(h, k=2, center=False) == pytest.approx([0, 0.5, 0.5], **FLOAT32)


def test_identical_rows_are_zero_once_centred() -> None:
    h = np.tile(np.random.default_rng(0).normal(size=7), (333, 1))
    assert knn_similarity(h, k=5).tolist() == [0] * 333
    assert knn_similarity(h, k=5, center=False) == pytest.approx([1] * 333, **FLOAT32)


@given(seed=st.integers(0, 999), scale=st.sampled_from([1e-200, 1e-45, 1e-25, 0.3, 1e25, 1e200]))
@settings(max_examples=40)
def test_rotation_scale_and_the_order_of_rows_change_nothing(seed: int, scale: float) -> None:
    h = matrix(15, 4, seed)
    similarity = knn_similarity(h, k=4)
    assert knn_similarity(h @ ortho_group.rvs(4, random_state=seed), k=4) == pytest.approx(similarity, **FLOAT32)
    assert knn_similarity(h * scale, k=4) == pytest.approx(similarity, **FLOAT32)
    assert knn_similarity(h[::-1], k=4) == pytest.approx(similarity[::-1], **FLOAT32)


def test_a_common_offset_costs_no_digits_once_centred() -> None:
    h = matrix(40, 8)
    assert knn_similarity(h + 1e4, k=5) == pytest.approx(knn_similarity(h, k=5), **FLOAT32)


def test_similarity_stays_between_minus_one_and_one() -> None:
    h = matrix(50, 10)  # in float32, the squared length of some unit rows is above 1
    assert knn_similarity(h, reference=h, k=1, center=False).max() <= 1
    assert min(knn_similarity(h, reference=-row, k=1, center=False).min() for row in h[:, None]) >= -1


def test_denser_neighbourhoods_score_higher() -> None:
    crowd = matrix(50, 10, seed=2) * 0.1 + np.eye(10)[0]
    loners = matrix(50, 10, seed=3)
    similarity = knn_similarity(np.concatenate([crowd, loners]), k=10)
    assert similarity[:50].min() > similarity[50:].max()


def test_half_precision_memory_maps_and_read_only_arrays_are_taken(tmp_path: Path) -> None:
    h = matrix(30, 6).astype(np.float16)
    exact = knn_similarity(h.astype(np.float64), k=3)
    np.save(tmp_path / "h.npy", h)
    assert knn_similarity(np.load(tmp_path / "h.npy", mmap_mode="r"), k=3) == pytest.approx(exact, **FLOAT32)
    bfloat16 = h.astype(ml_dtypes.bfloat16)
    exact = knn_similarity(bfloat16.astype(np.float64), k=3)
    bfloat16.flags.writeable = False
    assert knn_similarity(bfloat16, k=3) == pytest.approx(exact, **FLOAT32)


def test_inputs_are_left_as_they_were() -> None:
    h, other = matrix(9, 3), matrix(9, 3, seed=1)
    before = h.copy(), other.copy()
    knn_similarity(h, reference=other, k=2)
    knn_similarity(h, k=2, center=False)
    assert (h == before[0]).all()
    assert (other == before[1]).all()


def test_memory_grows_with_the_block_and_not_with_the_rows() -> None:
    h = matrix(1500, 16).astype(np.float32)
    knn_similarity(h[:20], k=5)  # what is compiled or loaded by the first call is not meant
    tracemalloc.start()
    try:
        knn_similarity(h, k=5, block=256)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6  # all pairs would take 9 MB


@pytest.mark.parametrize(
    ("shape", "reference_shape", "k", "message"),
    [
        (
            (5, 3),
            None,
            5,
            "k is 5, but h has 5 rows and no sample counts as its own neighbour: the largest possible k is 4",
        ),
        ((5, 3), (4, 3), 5, "k is 5, but reference has 4 rows: the largest possible k is 4"),
        ((5, 3), None, 0, "k is 0, but at least one neighbour"),
        ((1, 3), None, 1, "h has one row, which has no neighbour"),
        ((5, 3), (5, 4), 1, "h has 3 features, but reference has 4"),
        ((5,), None, 1, r"h has shape \[5\]"),
        ((5, 3), (0, 3), 1, r"reference has shape \[0, 3\]"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    shape: tuple[int, ...], reference_shape: tuple[int, ...] | None, k: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        knn_similarity(np.ones(shape), reference=None if reference_shape is None else np.ones(reference_shape), k=k)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("bad", ["h", "reference"])
def test_rows_that_are_not_finite_are_refused_by_name(bad: str, center: bool) -> None:
    inputs = {"h": np.eye(3), "reference": np.eye(3)}
    inputs[bad][2, 0] = np.nan
    with pytest.raises(InputError, match=f"{bad} contains NaN or infinity, first in rows 2"):
        knn_similarity(inputs["h"], reference=inputs["reference"], k=1, center=center)


def test_an_empty_block_is_refused() -> None:
    with pytest.raises(InputError, match="block is 0"):
        knn_similarity(np.eye(3), k=1, block=0)
