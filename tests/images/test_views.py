"""Random views: reproducible anywhere, distributed as documented."""

from __future__ import annotations

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from karat.errors import InputError
from karat.images.views import augmented

torch = pytest.importorskip("torch")

MANY = 600


def photograph(height: int = 40, width: int = 50) -> np.ndarray:
    """Smooth and colourful, with some noise."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 5) * np.cos(y / 7)], axis=-1)
    return (smooth + np.random.default_rng(0).uniform(-20, 20, smooth.shape)).clip(0, 255).astype(np.uint8)


def coordinates(height: int, width: int) -> np.ndarray:
    """Red grows with x, green with y, and blue is 128 everywhere: a colour says where it comes from."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), np.full_like(x, 128)], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def crops() -> list[np.ndarray]:
    """Views of the coordinates whose colours were left alone."""
    image = coordinates(96, 96)
    views = (augmented(image, seed=1, row=row, view=0).astype(int) for row in range(MANY + 300))
    return [view for view in views if (view[..., 2] == 128).all() and not (view[..., 0] == view[..., 1]).all()]


def test_view_is_a_square_of_the_shorter_side() -> None:
    for height, width in ((40, 50), (50, 40), (7, 1), (1, 1), (3, 300)):
        view = augmented(photograph(height, width), seed=0, row=0, view=0)
        assert view.shape == (min(height, width),) * 2 + (3,)
        assert view.dtype == np.uint8


def test_the_image_is_left_alone() -> None:
    image = photograph()
    augmented(image, seed=0, row=0, view=0)
    assert (image == photograph()).all()


def test_seed_row_and_view_each_change_it() -> None:
    image = photograph()
    numbers = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**32, 0, 0), (0, 2**32, 0), (2**70, 5, 0), (5, 2**32, 1)]
    seen = {augmented(image, seed=seed, row=row, view=view).tobytes() for seed, row, view in numbers}
    assert len(seen) == len(numbers)


def test_global_random_states_play_no_part_and_are_left_alone() -> None:
    image = photograph()
    first = augmented(image, seed=0, row=3, view=1)
    torch.manual_seed(5)
    np.random.seed(5)
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    assert (augmented(image, seed=0, row=3, view=1) == first).all()
    assert (torch.random.get_rng_state() == states[0]).all()
    assert (np.random.get_state()[1] == states[1]).all()


def test_threads_in_any_number_give_the_same_bytes() -> None:
    image = photograph(300, 400)
    alone = [augmented(image, seed=0, row=row, view=0).tobytes() for row in range(24)]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(6) as pool:
            together = pool.map(lambda row: augmented(image, seed=0, row=row, view=0).tobytes(), reversed(range(24)))
            assert list(together) == alone[::-1]
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    image = photograph()
    np.save(tmp_path / "image.npy", image)
    code = (
        "import sys, numpy as np; from karat.images.views import augmented; image = np.load(sys.argv[1]);"
        "np.save(sys.argv[2], [augmented(image, seed=9, row=r, view=1) for r in (7, 3)])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "image.npy"), str(tmp_path / "views.npy")], check=True)
    here = [augmented(image, seed=9, row=row, view=1) for row in (7, 3)]
    assert (np.load(tmp_path / "views.npy") == here).all()


def test_crops_have_the_documented_area_and_ratio(crops: list[np.ndarray]) -> None:
    spans = np.array([[np.ptp(view[..., channel]) / 255 for channel in (0, 1)] for view in crops])  # width, height
    area, ratio = spans.prod(axis=1), spans[:, 0] / spans[:, 1]
    assert len(area) > 100
    assert 0.17 < area.min() < 0.25
    assert 0.9 < area.max() <= 1.001
    assert 0.5 < area.mean() < 0.65  # uniform from 0.2 to 1, fewer of the largest, which seldom fit
    assert 0.7 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.43


def test_crops_lie_anywhere(crops: list[np.ndarray]) -> None:
    for channel in (0, 1):
        left = np.array([view[..., channel].min() for view in crops])
        right = np.array([255 - view[..., channel].max() for view in crops])
        room = left + right > 60
        place = left[room] / (left + right)[room]
        assert 0.45 < place.mean() < 0.55
        assert place.min() < 0.1
        assert place.max() > 0.9


def test_half_of_the_views_are_flipped_and_none_upside_down(crops: list[np.ndarray]) -> None:
    flipped = [view[0, 0, 0] > view[0, -1, 0] for view in crops]
    assert 0.4 < np.mean(flipped) < 0.6
    assert all(view[0, 0, 1] < view[-1, 0, 1] for view in crops)


def test_grey_and_jitter_have_their_probabilities() -> None:
    image = np.broadcast_to(np.uint8([200, 100, 50]), (8, 8, 3))
    views = [augmented(image, seed=2, row=row, view=0)[4, 4].astype(int) for row in range(MANY)]
    grey = np.array([len(set(view.tolist())) == 1 for view in views])
    assert 0.15 < grey.mean() < 0.26  # 0.2, and some that jitter made black or white
    untouched = np.array([view.tolist() == [200, 100, 50] for view in views])
    assert 0.12 < untouched.mean() < 0.21  # (1 - 0.8)(1 - 0.2)


def test_grey_is_pillows_luma() -> None:
    image = np.broadcast_to(np.uint8([200, 100, 50]), (8, 8, 3))
    luma = Image.new("RGB", (1, 1), (200, 100, 50)).convert("L").getpixel((0, 0))
    views = [augmented(image, seed=2, row=row, view=0)[4, 4].tolist() for row in range(MANY)]
    assert 0.02 < np.mean([view == [luma] * 3 for view in views]) < 0.07  # 0.2 (1 - 0.8)


def test_brightness_alone_runs_from_a_fifth_to_nine_fifths() -> None:
    image = np.broadcast_to(np.uint8([100, 100, 100]), (8, 8, 3))  # contrast, saturation and hue leave it alone
    levels = np.array([augmented(image, seed=3, row=row, view=0)[4, 4, 0] for row in range(MANY)]) / 100
    assert 0.19 <= levels.min() < 0.25
    assert 1.75 < levels.max() <= 1.81
    changed = levels[levels != 1]
    assert abs(changed.mean() - 1) < 0.08
    assert abs(changed.std() - 1.6 / np.sqrt(12)) < 0.05


def test_half_of_the_views_are_blurred_in_proportion_to_their_side(monkeypatch: pytest.MonkeyPatch) -> None:
    radii = []
    blur = ImageFilter.GaussianBlur
    monkeypatch.setattr(ImageFilter, "GaussianBlur", lambda radius: radii.append(radius) or blur(radius))
    image = photograph(56, 56)
    for row in range(MANY):
        augmented(image, seed=4, row=row, view=0)
    sigma = np.array(radii) * 224 / 56
    assert 0.43 < len(sigma) / MANY < 0.57
    assert 0.1 <= sigma.min() < 0.15
    assert 1.95 < sigma.max() <= 2
    assert abs(sigma.mean() - 1.05) < 0.1


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((3, 4, 4), np.uint8)],
)
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"but uint8 \[h, w, 3\]"):
        augmented(image, seed=0, row=0, view=0)


def test_negative_numbers_are_refused() -> None:
    for numbers in itertools.islice(itertools.product((0, -1), repeat=3), 1, None):
        with pytest.raises(InputError, match="none may be negative"):
            augmented(photograph(4, 4), **dict(zip(("seed", "row", "view"), numbers, strict=True)))
