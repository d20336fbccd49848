"""The intrinsic dimension of rows, and how well neighbours predict their clusters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans

from karat.errors import InputError
from karat.stats import _blocks
from karat.stats.learnability import clid, cluster_learnability, intrinsic_dimension
from tests.reference import learnability as reference
from tests.stats.test_spectrum import waves


def matrix(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + 1


# intrinsic_dimension


@pytest.mark.parametrize(("n", "d"), [(40, 3), (5, 20), (3, 2), (17, 1)])
@pytest.mark.parametrize("discard", [0.0, 0.1, 0.5])
def test_intrinsic_dimension_equals_its_transcription(n: int, d: int, discard: float) -> None:
    h = matrix(n, d)
    exact = reference.intrinsic_dimension(h, discard)
    assert intrinsic_dimension(h, discard=discard) == pytest.approx(exact, rel=1e-9)


def test_intrinsic_dimension_that_another_package_gives() -> None:
    assert intrinsic_dimension(waves(200, 4)) == pytest.approx(3.156464253779258, rel=1e-12)  # scikit-dimension 0.5.0
    assert intrinsic_dimension(waves(200, 4), discard=0.25) == pytest.approx(80.26072212220772, rel=1e-11)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_a_flat_surface_has_its_own_dimension_wherever_it_lies(dimension: int) -> None:
    rng = np.random.default_rng(0)
    h = rng.random((2000, dimension)) @ rng.normal(size=(dimension, 30)) + 100
    assert intrinsic_dimension(h) == pytest.approx(dimension, rel=0.12)


def test_rows_that_repeat_count_once() -> None:
    h = matrix(30, 4)
    assert intrinsic_dimension(np.repeat(h, 3, axis=0)) == pytest.approx(intrinsic_dimension(h), rel=1e-12)


def test_scale_shift_and_order_change_no_dimension() -> None:
    h = matrix(50, 4)
    exact = intrinsic_dimension(h)
    for same in (h * 1e-200, h * 1e200, h + 50, h[::-1]):
        assert intrinsic_dimension(same) == pytest.approx(exact, rel=1e-9)


def test_distances_of_close_rows_keep_their_digits() -> None:
    triples = np.repeat(matrix(20, 3), 3, axis=0) * 1e3
    triples[1::3, 0] += 1e-6
    triples[2::3, 0] += 3e-6
    exact = reference.intrinsic_dimension(triples)
    assert intrinsic_dimension(triples) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("h", [np.ones((9, 4)), np.zeros((9, 4)), [[1.0, 2.0]], np.repeat(matrix(2, 3), 5, axis=0)])
def test_fewer_than_three_different_rows_have_no_dimension(h: Any) -> None:
    assert math.isnan(intrinsic_dimension(h))


def test_rows_that_are_equally_far_apart_have_no_dimension() -> None:
    assert math.isnan(intrinsic_dimension(np.eye(8)))


# cluster_learnability


@pytest.mark.parametrize("seed", [7, 8, 9])
@pytest.mark.parametrize(("clusters", "neighbors"), [(None, 1), (3, 1), (6, 4), (4, 50)])
def test_cluster_learnability_is_the_accuracy_of_votes_on_the_other_half(
    clusters: int | None, neighbors: int, seed: int
) -> None:
    h = matrix(41, 3) - 1
    rng = np.random.default_rng(seed)  # the same draws: the seed of k-means, then the halves
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    labels = KMeans(6 if clusters is None else clusters, n_init=1, random_state=int(rng.integers(2**31))).fit_predict(
        unit
    )
    order = rng.permutation(41)
    exact = reference.accuracy_of_votes(h, labels, order[:20], order[20:], neighbors)
    assert cluster_learnability(h, clusters=clusters, neighbors=neighbors, seed=seed) == pytest.approx(exact)


def test_tight_groups_are_learned_without_error_and_no_structure_is_not() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.eye(9), 9, axis=0) * 10 + 0.01 * rng.normal(size=(81, 9))
    assert cluster_learnability(groups) == 1
    assert cluster_learnability(rng.normal(size=(400, 200))) < 0.5


def test_only_directions_count() -> None:
    h = matrix(60, 4)
    lengths = np.random.default_rng(0).uniform(0.5, 2, size=(60, 1))
    exact = cluster_learnability(h, seed=3)
    assert cluster_learnability(h * lengths, seed=3) == pytest.approx(exact, abs=0.04)
    assert cluster_learnability(np.insert(h * 4, [0, 30], 0, axis=0), seed=3) == exact


@pytest.mark.parametrize("h", [np.ones((9, 4)), np.outer(np.arange(1.0, 9), [1, 3]), np.ones((2, 1))])
def test_collapsed_rows_are_one_cluster_that_is_learned(h: np.ndarray) -> None:
    assert cluster_learnability(h) == 1


@pytest.mark.parametrize("h", [np.zeros((9, 4)), [[1.0, 2.0]], [[1.0, 2.0], [0.0, 0.0]]])
def test_fewer_than_two_directions_cannot_be_clustered(h: Any) -> None:
    assert math.isnan(cluster_learnability(h))
    assert math.isnan(clid(h))


def test_the_seed_decides() -> None:
    h = matrix(200, 6)
    found = {cluster_learnability(h, seed=seed) for seed in range(4)}
    assert len(found) > 1
    assert cluster_learnability(h, seed=2) == cluster_learnability(h, seed=2)


# clid


def test_clid_adds_the_two_with_the_dimension_as_a_share() -> None:
    h = matrix(80, 5)
    terms = cluster_learnability(h, clusters=4, neighbors=3, seed=2), intrinsic_dimension(h, discard=0.2)
    assert clid(h, clusters=4, neighbors=3, seed=2, discard=0.2) == terms[0] + terms[1] / 5


@pytest.mark.parametrize("metric", [intrinsic_dimension, cluster_learnability, clid])
def test_blocks_of_rows_and_their_type_change_nothing(metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    h = matrix(40, 3).astype(np.float16)
    exact = metric(h.astype(np.float64))
    monkeypatch.setattr(_blocks, "_BLOCK_BYTES", 7 * 3 * 8)
    assert metric(h) == exact


@pytest.mark.parametrize("metric", [intrinsic_dimension, cluster_learnability, clid])
def test_bad_rows_and_shapes_are_refused(metric: Any) -> None:
    with pytest.raises(InputError, match="first in rows 1:"):
        metric([[1.0, 2.0], [math.nan, 1.0], [1.0, 2.0]])
    with pytest.raises(InputError, match=r"h has shape \[3\]"):
        metric(np.ones(3))


def test_parameters_out_of_range_are_refused() -> None:
    for discard in (-0.1, 1, math.nan):
        with pytest.raises(InputError, match=f"discard is {discard}"):
            intrinsic_dimension(np.eye(4), discard=discard)
    with pytest.raises(InputError, match="neighbors is 0 and clusters None"):
        cluster_learnability(np.eye(4), neighbors=0)
    with pytest.raises(InputError, match="neighbors is 1 and clusters 0"):
        cluster_learnability(np.eye(4), clusters=0)
