"""Do several encoders agree on a sample?"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.stats import ortho_group

from karat.errors import InputError, InputTypeError
from karat.stats.density import mixture_likelihood
from karat.stats.ensemble import ensemble_distance, ensemble_likelihood, ensemble_variance, neighborhood_consistency
from tests.reference import ensemble as reference

FLOAT32 = dict(rel=0, abs=3e-6)
ANCHORED = [neighborhood_consistency, ensemble_distance]
ALL = [*(partial(score, k=4) for score in ANCHORED), ensemble_variance, partial(ensemble_likelihood, components=2)]


def encoders(n: int = 25, widths: tuple[int, ...] = (4, 6, 3), seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 3))
    return [hidden @ rng.normal(size=(3, d)) + 0.5 * rng.normal(size=(n, d)) + 1 for d in widths]


@pytest.mark.parametrize("score", ANCHORED)
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("k", [1, 6])
def test_neighbour_scores_equal_their_transcriptions(score: object, k: int, center: bool) -> None:
    ensemble = encoders()
    slow = getattr(reference, score.__name__)  # type: ignore[attr-defined]
    exact = slow(ensemble, list(range(25)), k=k, center=center)
    assert score(ensemble, k=k, center=center) == pytest.approx(exact, **FLOAT32)  # type: ignore[operator]
    drawn = np.sort(np.random.default_rng(3).choice(25, 9, replace=False)).tolist()
    exact = slow(ensemble, drawn, k=k, center=center)
    found = score(ensemble, k=k, anchors=9, seed=3, center=center)  # type: ignore[operator]
    assert found == pytest.approx(exact, **FLOAT32)


def test_variance_equals_its_transcription() -> None:
    ensemble = encoders(widths=(5, 5, 5, 5))
    ensemble[1][3] = 0
    assert ensemble_variance(ensemble) == pytest.approx(reference.ensemble_variance(ensemble), **FLOAT32)


def test_likelihood_is_the_mean_over_encoders() -> None:
    ensemble = encoders()
    exact = np.mean([mixture_likelihood(h, components=2, seed=4) for h in ensemble], axis=0)
    assert ensemble_likelihood(ensemble, components=2, seed=4) == pytest.approx(exact, rel=1e-12)


def test_overlaps_are_counted_by_hand() -> None:
    """Two lines of points in another order: of its two neighbours an inner point shares one, two or none."""
    angles = np.radians([0, 1, 3, 7, 15, 31])
    line = np.column_stack([np.cos(angles), np.sin(angles)])
    other = line[[0, 1, 2, 5, 4, 3]]
    # neighbours in the line: 0 {1,2}, 1 {0,2}, 2 {1,0}, 3 {2,1}, 4 {3,2}, 5 {4,3}; 3 and 5 change places in the other
    exact = [1, 1, 1, 0, 1 / 3, 0]
    assert neighborhood_consistency([line, other], k=2, center=False) == pytest.approx(exact)
    assert neighborhood_consistency([line, line, line], k=2, center=False).tolist() == [1] * 6


def test_variance_of_opposite_and_of_orthogonal_directions() -> None:
    h = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert ensemble_variance([h, -h]) == pytest.approx([1, 1])
    assert ensemble_variance([h, h[::-1]]) == pytest.approx([0.5, 0.5])
    assert ensemble_variance([h, 7 * h, h]) == pytest.approx([0, 0])


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize("scale", [1e-200, 3.0, 1e200])
def test_scale_rotation_and_the_order_of_encoders_change_nothing(score: object, scale: float) -> None:
    ensemble = encoders(widths=(4, 4, 4))
    found = score(ensemble)  # type: ignore[operator]
    assert score([h * scale for h in ensemble]) == pytest.approx(found, rel=1e-6)  # type: ignore[operator]
    assert score(ensemble[::-1]) == pytest.approx(found, rel=1e-6)  # type: ignore[operator]
    rotation = ortho_group.rvs(4, random_state=0)
    assert score([h @ rotation for h in ensemble]) == pytest.approx(found, rel=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("score", [*ALL[:2], ensemble_variance])
def test_the_order_of_samples_changes_nothing(score: object) -> None:
    ensemble = encoders(widths=(4, 4))
    order = np.random.default_rng(1).permutation(25)
    found = score(ensemble)  # type: ignore[operator]
    assert score([h[order] for h in ensemble]) == pytest.approx(found[order], rel=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("score", ALL[:3])
def test_blocks_change_nothing(score: object, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = encoders(widths=(4, 4))
    whole = score(ensemble)  # type: ignore[operator]
    monkeypatch.setattr("karat.stats.ensemble.BLOCK", 7)
    assert score(ensemble) == pytest.approx(whole, rel=1e-5)  # type: ignore[operator]


def test_an_encoder_turned_alone_keeps_the_neighbours_but_not_the_variance() -> None:
    h, *_ = encoders(widths=(4,))
    turned = h @ ortho_group.rvs(4, random_state=0)
    assert neighborhood_consistency([h, turned], k=5).mean() == pytest.approx(1)
    assert ensemble_variance([h, turned]).min() > 0.01


@pytest.mark.parametrize("score", ALL)
def test_bad_rows_are_refused_by_the_encoder_that_has_them(score: object) -> None:
    ensemble = encoders(widths=(4, 4, 4))
    ensemble[1][[3, 9], 2] = np.inf
    with pytest.raises(InputError, match=r"ensemble\[1\] contains NaN or infinity, first in rows 3, 9"):
        score(ensemble)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda h: neighborhood_consistency([h], k=2), "ensemble has 1 encoders, but at least two"),
        (lambda h: neighborhood_consistency([h, h[:5]], k=2), r"the encoders have \[25, 5\] rows"),
        (lambda h: neighborhood_consistency([h, h], k=0), "k is 0, but a number from 1 to 24, below the 25 anchors"),
        (lambda h: neighborhood_consistency([h, h]), "k is 100, but a number from 1 to 24"),
        (lambda h: ensemble_distance([h, h], k=9, anchors=9), "k is 9, but a number from 1 to 8, below the 9 anchors"),
        (lambda h: ensemble_distance([h, h], k=1, anchors=1), "anchors is 1"),
        (lambda h: ensemble_variance([h, h[:, :2]]), r"the encoders have \[4, 2\] features"),
        (lambda h: ensemble_likelihood([h, h], components=26), "components is 26, but a number from 1 to the 25"),
    ],
)
def test_what_does_not_fit_is_refused(call: object, why: str) -> None:
    with pytest.raises(InputError, match=why):
        call(encoders()[0])  # type: ignore[operator]


def test_one_matrix_is_no_ensemble() -> None:
    with pytest.raises(InputTypeError, match="ensemble is one matrix"):
        neighborhood_consistency(np.eye(5), k=2)  # type: ignore[arg-type]
