"""Views made in batches against torchvision's functions, one image after the other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from karat.errors import InputError
from karat.finetuning.recipes import ViewSettings, recipe_of
from karat.finetuning.views import Views
from karat.finetuning.views.colours import brightened, contrasted, hue_turned, jittered, saturated
from karat.finetuning.views.drawing import Draw
from karat.finetuning.views.geometry import blur_weights, crop_weights, random_boxes, resampled

PLAIN = {"jitter": (0.0,) * 4, "grey": 0.0, "blur": (0.0, 0.0), "local_blur": 0.0, "flip": 0.0}


def images(n: int = 8, height: int = 20, width: int = 28, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width), generator=generator, dtype=torch.uint8)


def draw(n: int, seed: int = 0) -> Draw:
    return Draw(n, torch.Generator().manual_seed(seed), torch.device("cpu"))


def views_of(size: int = 16, **settings: object) -> Views:
    return Views(ViewSettings(**{**PLAIN, **settings}), size=size, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.mark.parametrize("size", [5, 16, 40])
def test_crops_are_torchvisions_antialiased_resized_crops(size: int) -> None:
    x = images().float() / 255
    top, left, rows, columns = random_boxes(draw(8), 20, 28, (0.05, 1.0))
    down, across = crop_weights(top, rows, size=size, full=20), crop_weights(left, columns, size=size, full=28)
    found = resampled(x, down, across)
    for i in range(8):
        box = [int(value[i]) for value in (top, left, rows, columns)]
        expected = functional.resized_crop(x[i], *box, size=[size, size], antialias=True)
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 60)])
def test_boxes_lie_in_the_image_and_are_distributed_as_torchvisions(height: int, width: int) -> None:
    n = 4000
    found = torch.stack(random_boxes(draw(n), height, width, (0.2, 1.0)), dim=1)
    top, left, rows, columns = found.T
    assert (found[:, :2] >= 0).all() and (found[:, 2:] >= 1).all() and (found == found.round()).all()
    assert (top + rows <= height).all() and (left + columns <= width).all()
    torch.manual_seed(0)
    picture = torch.zeros(3, height, width)
    theirs = v2.RandomResizedCrop(8, scale=(0.2, 1.0))
    params = [theirs.make_params([picture]) for _ in range(n)]
    expected = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in params], dtype=torch.float32)
    error = 5 * expected.std(dim=0) * math.sqrt(2 / n)
    assert ((found.mean(dim=0) - expected.mean(dim=0)).abs() < error).all()
    assert (found.std(dim=0) / expected.std(dim=0) - 1).abs().max() < 0.08


def test_where_no_box_fits_the_middle_is_taken() -> None:
    top, left, rows, columns = random_boxes(draw(3), 10, 100, (1.0, 1.0))
    assert top.tolist() == [0] * 3 and rows.tolist() == [10] * 3
    assert columns.tolist() == [13] * 3 and left.tolist() == [43] * 3  # 10 * 4 / 3, in the middle of 100


@pytest.mark.parametrize(
    ("change", "theirs", "low", "high"),
    [
        (brightened, functional.adjust_brightness, 0.2, 1.8),
        (contrasted, functional.adjust_contrast, 0.2, 1.8),
        (saturated, functional.adjust_saturation, 0.2, 1.8),
        (hue_turned, functional.adjust_hue, -0.5, 0.5),
    ],
)
def test_colours_change_as_torchvisions(change: object, theirs: object, low: float, high: float) -> None:
    x = images().float() / 255
    x[0], x[1], x[2, 1] = x[0, :1], 0.0, x[2, 0]  # grey, black, and two equal channels
    factor = draw(8).uniform(low, high, 1, 1, 1)
    found = change(x, factor)
    for i in range(8):  # torchvision's weights of grey add up to 0.9999, ours to 1
        torch.testing.assert_close(found[i], theirs(x[i], factor[i].item()), rtol=0, atol=1e-4)


def test_each_image_has_its_own_factors_and_order() -> None:
    """Two steps that do not commute: half of the images get one order, half the other."""
    n = 400
    x = (images(1).float() / 255).repeat(n, 1, 1, 1)
    found = jittered(x.clone(), draw(n), (0.5, 0.0, 0.0, 0.1), probability=0.75)
    numbers = draw(n)
    brightness, turn = numbers.uniform(0.5, 1.5, 1, 1, 1), numbers.uniform(-0.1, 0.1, 1, 1, 1)
    one, other = hue_turned(brightened(x, brightness), turn), brightened(hue_turned(x, turn), brightness)
    kinds = [(found - y).abs().amax(dim=(1, 2, 3)) < 1e-6 for y in (one, other, x)]
    assert (kinds[0] | kinds[1] | kinds[2]).all()
    assert 0.19 < (kinds[2].float().mean()) < 0.31
    differ = (one - other).abs().amax(dim=(1, 2, 3)) > 1e-3
    share = (kinds[0] & differ & ~kinds[2]).sum() / (differ & ~kinds[2]).sum()
    assert 0.35 < share < 0.65


def test_blur_is_torchvisions_gaussian_inside() -> None:
    x = images(4, 40, 40).float() / 255
    sigma = torch.tensor([0.1, 0.5, 1.0, 2.0])
    weights = blur_weights(sigma, size=40)
    found = resampled(x, weights, weights)
    for i in range(4):
        expected = functional.gaussian_blur(x[i], [23, 23], [float(sigma[i])])
        torch.testing.assert_close(found[i, :, 12:-12, 12:-12], expected[:, 12:-12, 12:-12], rtol=0, atol=1e-5)
    constant = resampled(torch.full_like(x, 0.3), weights, weights)
    torch.testing.assert_close(constant, torch.full_like(x, 0.3))


def test_probabilities_of_one_and_zero_do_what_they_say() -> None:
    x = images(16, 16, 16)
    whole = {"full_scale": (1.0, 1.0)}
    square = torch.Generator().manual_seed(3)
    flipped = views_of(flip=1.0, **whole)(x, square)[0]
    square.manual_seed(3)
    plain = views_of(**whole)(x, square)[0]
    torch.testing.assert_close(flipped, plain.flip(3))
    square.manual_seed(3)
    grey = views_of(grey=1.0, **whole)(x, square)[0]
    torch.testing.assert_close(grey, functional.rgb_to_grayscale(plain, num_output_channels=3), rtol=0, atol=2e-4)
    square.manual_seed(3)
    first, second = views_of(solarise=(1.0, 0.0), **whole)(x, square)
    torch.testing.assert_close(first, functional.solarize(plain, 128 / 255))
    square.manual_seed(3)
    torch.testing.assert_close(second, views_of(**whole)(x, square)[1])


def test_pixels_are_normalised_by_channel() -> None:
    x = torch.full((2, 3, 16, 16), 51, dtype=torch.uint8)
    settings = ViewSettings(**PLAIN)
    view = Views(settings, size=8, mean=(0.1, 0.2, 0.3), std=(0.1, 0.2, 0.5))(x, torch.Generator())[0]
    torch.testing.assert_close(view[0, :, 4, 4], torch.tensor([1.0, 0.0, -0.2]))


@pytest.mark.parametrize("method", ["simclr", "dino", "byol"])
def test_views_are_reproducible_finite_and_of_the_right_size(method: str) -> None:
    recipe = recipe_of(method, size=32, changes={"blur": [1.0, 0.5], "solarise": [0.0, 0.2]})
    views = Views(recipe.views, size=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    x = images(32, 40, 36)
    before = x.clone()
    first, again = (views(x, torch.Generator().manual_seed(1)) for _ in range(2))
    other = views(x, torch.Generator().manual_seed(2))
    sides = [32, 32, *([16] * recipe.views.local_crops)]
    assert [list(view.shape) for view in first] == [[32, 3, side, side] for side in sides]
    assert torch.equal(x, before)
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)
        assert a.dtype == torch.float32 and a.min() >= -1e-5 and a.max() <= 1 + 1e-5
    assert not torch.equal(first[0], first[1])


def test_autocast_changes_no_view() -> None:
    views, x = views_of(blur=(1.0, 1.0)), images()
    expected = views(x, torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = views(x, torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "given", [torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8).byte(), torch.zeros(3, 8, 8).byte(), images(0)]
)
def test_images_of_another_kind_are_refused(given: Tensor) -> None:
    with pytest.raises(InputError, match=r"but uint8 \[n, 3, h, w\], none 0, is needed"):
        views_of()(given, torch.Generator())


def test_settings_that_make_no_views_are_refused() -> None:
    with pytest.raises(InputError, match="size is 0"):
        views_of(size=0)
    with pytest.raises(InputError, match="three numbers are needed, std above 0"):
        Views(ViewSettings(), size=8, mean=(0.0,) * 3, std=(1.0, 0.0, 1.0))
