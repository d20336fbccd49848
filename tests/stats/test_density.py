"""How likely a sample is where the reference lies."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from scipy.stats import norm, ortho_group

from karat.errors import InputError
from karat.stats.density import mahalanobis_distance, mixture_likelihood
from tests.reference import landmarks as reference

SCORES = [mahalanobis_distance, partial(mixture_likelihood, components=2)]


def matrix(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) @ np.random.default_rng(9).normal(size=(d, d)) + 1


def test_distance_equals_its_transcription_and_the_inverse_covariance() -> None:
    h, other = matrix(9, 5), matrix(40, 5, seed=1)
    found = mahalanobis_distance(h, reference=other)
    assert found == pytest.approx(reference.mahalanobis_distance(h, other), rel=1e-9)
    away = h - other.mean(axis=0)
    exact = np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(np.cov(other.T)), away))
    assert found == pytest.approx(exact, rel=1e-9)
    fewer = mahalanobis_distance(h, reference=other, dimensions=2)
    assert fewer == pytest.approx(reference.mahalanobis_distance(h, other, 2), rel=1e-9)


def test_squared_distances_of_a_set_to_itself_add_up_to_its_degrees_of_freedom() -> None:
    h = matrix(30, 4)
    assert (mahalanobis_distance(h) ** 2).sum() == pytest.approx(4 * 29)


def test_one_component_is_a_gaussian_of_the_distance() -> None:
    h, other = matrix(9, 5), matrix(40, 5, seed=1)
    variance = 39 / 40 + 1e-3
    exact = -(mahalanobis_distance(h, reference=other) ** 2) / 2 / variance - 5 / 2 * math.log(2 * math.pi * variance)
    assert mixture_likelihood(h, reference=other, components=1) == pytest.approx(exact, rel=1e-9)


def test_two_far_groups_are_two_components() -> None:
    rng = np.random.default_rng(0)
    groups = np.concatenate([rng.normal(-50, 1, 30), rng.normal(50, 1, 60)])[:, None]
    h = np.array([[-50.0], [0.0], [51.0]])
    deviation = groups.std(ddof=1)
    z, at = (groups - groups.mean()) / deviation, (h - groups.mean()) / deviation
    parts = [(1 / 3, z[:30]), (2 / 3, z[30:])]
    exact = np.log(sum(w * norm.pdf(at[:, 0], part.mean(), math.sqrt(part.var() + 1e-3)) for w, part in parts))
    found = mixture_likelihood(h, reference=groups, components=2)
    assert found[[0, 2]] == pytest.approx(exact[[0, 2]], rel=1e-6)
    assert found[1] < found[0] - 100


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e3, 1e200])
def test_scale_shift_rotation_and_the_order_of_samples_change_nothing(score: object, scale: float) -> None:
    h, other = matrix(8, 4), matrix(60, 4, seed=1)
    found = score(h, reference=other)  # type: ignore[operator]
    rotation = ortho_group.rvs(4, random_state=0)
    assert score(h * scale, reference=other * scale) == pytest.approx(found, rel=1e-6)  # type: ignore[operator]
    assert score(h + 1e4, reference=other + 1e4) == pytest.approx(found, rel=1e-6)  # type: ignore[operator]
    assert score(h @ rotation, reference=other @ rotation) == pytest.approx(found, rel=1e-5)  # type: ignore[operator]
    assert score(h[::-1], reference=other) == pytest.approx(found[::-1], rel=1e-12)  # type: ignore[operator]


@pytest.mark.parametrize("score", SCORES)
def test_a_reference_of_equal_rows_gives_zero(score: object) -> None:
    other = np.tile([0.1, 0.2, 0.3], (12, 1))
    assert score(np.eye(3), reference=other).tolist() == [0, 0, 0]  # type: ignore[operator]
    assert score(other).tolist() == [0] * 12  # type: ignore[operator]


def test_rank_deficient_references_have_the_distance_in_their_own_directions() -> None:
    line = np.outer(np.arange(-2.0, 3), [3, 4])
    exact = np.abs(np.arange(-2, 3)) / math.sqrt(2.5)
    assert mahalanobis_distance(line) == pytest.approx(exact)
    assert mahalanobis_distance([[4.0, -3.0]], reference=line) == pytest.approx([0], abs=1e-12)  # at right angles


def test_repeated_rows_are_taken() -> None:
    h = np.repeat(np.eye(3), 5, axis=0)
    assert np.isfinite(mixture_likelihood(h, components=5)).all()
    assert len(set(mahalanobis_distance(h).round(9))) == 1


def test_the_fit_does_not_depend_on_the_samples_and_is_the_same_each_time() -> None:
    h, other = matrix(9, 5), matrix(40, 5, seed=1)
    found = mixture_likelihood(h, reference=other, components=3)
    assert mixture_likelihood(h[2:4], reference=other, components=3) == pytest.approx(found[2:4], rel=1e-12)
    assert (mixture_likelihood(h, reference=other, components=3) == found).all()
    assert any((mixture_likelihood(h, reference=other, components=3, seed=seed) != found).any() for seed in (1, 2, 3))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"components": 0}, "components is 0, but a number from 1 to the 6 reference rows"),
        ({"components": 7}, "components is 7, but a number from 1 to the 6 reference rows"),
        ({"components": 1, "dimensions": 0}, "dimensions is 0"),
        ({"reference": np.ones((5, 3)), "components": 1}, "h has 2 features, but reference has 3"),
    ],
)
def test_parameters_out_of_range_are_refused(arguments: dict[str, object], why: str) -> None:
    with pytest.raises(InputError, match=why):
        mixture_likelihood(matrix(6, 2), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("score", SCORES)
def test_rows_that_are_not_finite_are_refused_by_name(score: object) -> None:
    bad = matrix(20, 3)
    bad[4, 1] = np.inf
    with pytest.raises(InputError, match="reference contains NaN or infinity, first in rows 4"):
        score(matrix(5, 3), reference=bad)  # type: ignore[operator]
    with pytest.raises(InputError, match="h contains NaN or infinity, first in rows 4"):
        score(bad, reference=matrix(20, 3))  # type: ignore[operator]
