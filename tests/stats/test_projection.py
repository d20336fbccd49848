"""The main directions of a representation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from karat.errors import InputError
from karat.stats import projection as module
from karat.stats.projection import Projection


def matrix(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * np.linspace(2, 0.5, d) + 3


@pytest.mark.parametrize("solver", ["covariance_eigh", "randomized"])
def test_coordinates_are_those_of_scikit_learn(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EXACT", 6 if solver == "covariance_eigh" else 5)
    h = matrix(50, 6)
    found = Projection.of(h, dimensions=4)
    exact = PCA(4, svd_solver="full").fit(h)
    assert found.variance * found.unit**2 == pytest.approx(exact.explained_variance_)
    np.testing.assert_allclose(np.abs(found(h) * found.unit), np.abs(exact.transform(h)), atol=1e-8)
    np.testing.assert_allclose(found(h), found.sample)
    assert found.numbers.tolist() == list(range(50))
    assert found.whitened(found.sample).std(axis=0, ddof=1) == pytest.approx([1] * 4)


def test_directions_without_variance_are_left_out() -> None:
    line = np.outer(np.arange(5.0), [1, 2, 3])
    assert Projection.of(line).sample.shape == (5, 1)
    assert Projection.of(np.full((5, 3), 0.1)).sample.shape == (5, 0)
    assert Projection.of(np.ones((1, 3))).sample.shape == (1, 0)
    assert Projection.of(np.eye(3)).sample.shape == (3, 2)
    assert Projection.of(matrix(4, 9), dimensions=2).sample.shape == (4, 2)


def test_a_large_reference_is_sampled_without_repetition_and_the_same_each_time() -> None:
    h = matrix(500, 3)
    found = Projection.of(h, limit=40, seed=7)
    assert len(set(found.numbers.tolist())) == 40 and (np.diff(found.numbers) > 0).all()
    np.testing.assert_allclose(found(h[found.numbers]), found.sample, atol=1e-12)
    again, other = Projection.of(h, limit=40, seed=7), Projection.of(h, limit=40, seed=8)
    assert (found.sample == again.sample).all()
    assert (found.numbers != other.numbers).any()


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_extreme_values_are_scaled_and_nothing_more(scale: float) -> None:
    h = matrix(20, 3) - 3
    plain, scaled = Projection.of(h), Projection.of(h * scale)
    np.testing.assert_allclose(np.abs(scaled.whitened(scaled(h * scale))), np.abs(plain.whitened(plain(h))), rtol=1e-6)


def test_bad_rows_are_refused_or_dropped() -> None:
    h = matrix(20, 3)
    h[[3, 8]] = np.nan
    with pytest.raises(InputError, match="reference contains NaN or infinity, first in rows 3, 8"):
        Projection.of(h, name="reference")
    good = [row for row in range(20) if row not in (3, 8)]
    found, alone = Projection.of(h, drop=True), Projection.of(h[good])
    assert found.numbers.tolist() == good
    assert (found.sample == alone.sample).all()
    with pytest.raises(InputError, match="all rows of h contain NaN"):
        Projection.of(np.full((3, 2), np.inf), drop=True)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="dimensions is 0"):
        Projection.of(np.eye(3), dimensions=0)
    with pytest.raises(InputError, match="h has 4 features, but reference has 3"):
        Projection.of(np.eye(3))(np.ones((1, 4)))
