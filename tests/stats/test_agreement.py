"""Do the augmented views of a sample agree?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from karat.errors import InputError, InputTypeError
from karat.stats import _blocks
from karat.stats.agreement import view_agreement, view_similarity
from karat.stats.views import alignment
from tests.reference import agreement as reference

FLOAT32 = dict(rel=0, abs=3e-6)


def views_of(n: int = 9, v: int = 3, d: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, d)) + 1
    return h, h[:, None, :] + 0.5 * rng.normal(size=(n, v, d))


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("v", [2, 3, 6])
def test_both_equal_their_transcriptions(v: int, center: bool) -> None:
    h, views = views_of(v=v)
    found = view_agreement(views, center=center)
    assert found == pytest.approx(reference.view_agreement(views, center=center), **FLOAT32)
    found = view_similarity(h, views, center=center)
    assert found == pytest.approx(reference.view_similarity(h, views, center=center), **FLOAT32)


def test_agreement_is_alignment_sample_by_sample() -> None:
    _, views = views_of()
    exact = [alignment(sample[None]) for sample in views]
    assert 2 - 2 * view_agreement(views, center=False) == pytest.approx(exact, abs=1e-5)


def test_views_at_right_angles_opposite_and_alike() -> None:
    views = np.array([[[1.0, 0], [0, 3]], [[1, 0], [-2, 0]], [[1, 1], [5, 5]], [[0, 0], [1, 0]]])
    assert view_agreement(views, center=False) == pytest.approx([0, -1, 1, 0], **FLOAT32)
    h = np.array([[1.0, 0], [1, 0], [1, 0], [0, 0]])
    exact = [0.5, 0, np.sqrt(0.5), 0]
    assert view_similarity(h, views, center=False) == pytest.approx(exact, **FLOAT32)


def test_three_views_evenly_apart_agree_as_little_as_three_can() -> None:
    angles = np.radians([0, 120, 240])
    views = np.column_stack([np.cos(angles), np.sin(angles)])[None]
    assert view_agreement(views, center=False) == pytest.approx([-0.5], **FLOAT32)
    assert view_agreement(views) == pytest.approx([-0.5], **FLOAT32)


@pytest.mark.parametrize("scale", [1e-200, 0.3, 1e200])
def test_scale_rotation_and_order_change_nothing(scale: float) -> None:
    h, views = views_of()
    rotation = ortho_group.rvs(5, random_state=0)
    for score in (lambda h, x: view_agreement(x), view_similarity):
        found = score(h, views)
        assert score(h * scale, views * scale) == pytest.approx(found, **FLOAT32)
        assert score(h @ rotation, views @ rotation) == pytest.approx(found, **FLOAT32)
        assert score(h[::-1], views[::-1]) == pytest.approx(found[::-1], **FLOAT32)
        assert score(h, views[:, ::-1]) == pytest.approx(found, **FLOAT32)
        assert score(h + 1e3, views + 1e3) == pytest.approx(found, **FLOAT32)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    h, views = views_of(n=20)
    whole = view_agreement(views), view_similarity(h, views)
    monkeypatch.setattr(_blocks, "_BLOCK_BYTES", 7 * 5 * 8)  # two samples of three views
    assert view_agreement(views) == pytest.approx(whole[0], rel=1e-6)
    assert view_similarity(h, views) == pytest.approx(whole[1], rel=1e-6)


def test_half_precision_and_integers_are_taken() -> None:
    _, views = views_of()
    half = views.astype(np.float16)
    assert view_agreement(half) == pytest.approx(view_agreement(half.astype(np.float64)), **FLOAT32)
    whole = np.rint(10 * views).astype(np.int32)
    assert view_agreement(whole) == pytest.approx(view_agreement(whole.astype(np.float64)), **FLOAT32)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda h, views: view_agreement(views[:, :1]), "views has one view of each image"),
        (lambda h, views: view_agreement(views[0]), r"views has shape \[3, 5\]"),
        (lambda h, views: view_similarity(h[:4], views), r"h has shape \[4, 5\], but the views are of 9 samples"),
        (lambda h, views: view_similarity(h[:, :4], views), r"h has shape \[9, 4\]"),
        (lambda h, views: view_agreement(np.where(views == views[2, 1, 3], np.nan, views)), "first in rows 7"),
        (lambda h, views: view_similarity(np.where(h == h[6, 0], np.inf, h), views), "h contains NaN or infinity"),
    ],
)
def test_what_does_not_fit_is_refused(call: object, why: str) -> None:
    with pytest.raises(InputError, match=why):
        call(*views_of())  # type: ignore[operator]


def test_words_are_no_views() -> None:
    with pytest.raises(InputTypeError):
        view_agreement(np.full((2, 2, 2), "a"))
