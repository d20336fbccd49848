"""Random views of an image: SimCLR's augmentations."""

from __future__ import annotations

import math

import numpy as np

from .._optional import require
from ..errors import InputError

_AREA = (0.2, 1.0)  # of the crop, as a share of the image's
_RATIO = (3 / 4, 4 / 3)  # of the crop's width to its height
_TRIES = 10  # of a crop that fits
_JITTER = (("brightness", 0.8), ("contrast", 0.8), ("saturation", 0.8), ("hue", 0.2))
_SIGMA, _SIDE = (0.1, 2.0), 224  # of the blur in pixels, for a view of that side
_FLIPPED, _JITTERED, _GREYED, _BLURRED = 0.5, 0.8, 0.2, 0.5


def augmented(image: np.ndarray, *, seed: int, row: int, view: int) -> np.ndarray:
    """One random view of an image, the same for the same (seed, row, view) in any process, order and thread.

    In this order, each but the first with its probability:

    * crop of 20% to 100% of the area and a ratio of 3:4 to 4:3, resized to s x s (bicubic, antialiased);
    * horizontal flip (0.5);
    * colour jitter (0.8), its four parts in random order: brightness, contrast and saturation times 0.2 to 1.8, hue
      turned by up to 0.2 of the circle (SimCLR's at strength 1);
    * grey (0.2);
    * Gaussian blur (0.5) with sigma 0.1 to 2 pixels in a view of 224, in proportion in others.

    Args:
        image: uint8 [h, w, 3], RGB.
        seed: of all views, at least 0.
        row: number of the image in its source, at least 0.
        view: number of the view, at least 0.

    Returns:
        uint8 [s, s, 3], s being the image's shorter side.

    Raises:
        InputError: another type or shape, or a negative number.
        MissingDependencyError: the extra `torch` is not installed.

    Reference:
        Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning of Visual Representations, ICML
        2020, appendix A. There a crop has at least 8% of the area; 20%, as in MoCo v2, keeps more objects in view.

    >>> image = np.arange(10 * 8 * 3, dtype=np.uint8).reshape(10, 8, 3)
    >>> view = augmented(image, seed=0, row=5, view=1)
    >>> view.shape, (view == augmented(image, seed=0, row=5, view=1)).all().item()
    ((8, 8, 3), True)
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"image is {image.dtype} {list(image.shape)}, but uint8 [h, w, 3], none 0, is needed")
    if min(seed, row, view) < 0:
        raise InputError(f"seed, row and view are {seed}, {row} and {view}, but none may be negative")
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(row, view)))
    # On Pillow images these are integer arithmetic in one thread: the same bytes whatever torch's threads do.
    operations = require("torchvision.transforms.v2.functional", "views")
    height, width = image.shape[:2]
    side = min(height, width)
    top, left, rows, columns = _crop(height, width, random)
    picture = operations.to_pil_image(image[top : top + rows, left : left + columns])
    picture = picture.resize((side, side), require("PIL.Image", "views").Resampling.BICUBIC)
    if random.random() < _FLIPPED:
        picture = operations.horizontal_flip(picture)
    if random.random() < _JITTERED:
        for part in random.permutation(len(_JITTER)):
            name, strength = _JITTER[part]
            middle = 0.0 if name == "hue" else 1.0
            factor = random.uniform(middle - strength, middle + strength)
            picture = getattr(operations, f"adjust_{name}")(picture, factor)
    if random.random() < _GREYED:
        picture = operations.rgb_to_grayscale(picture, num_output_channels=3)
    if random.random() < _BLURRED:
        blur = require("PIL.ImageFilter", "views").GaussianBlur(random.uniform(*_SIGMA) * side / _SIDE)
        picture = picture.filter(blur)
    return np.array(picture)


def _crop(height: int, width: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random crop; where ten do not fit, of the largest allowed one in the middle."""
    for _ in range(_TRIES):
        area = height * width * random.uniform(*_AREA)
        ratio = math.exp(random.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        columns, rows = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
            return int(top), int(left), rows, columns
    rows, columns = min(height, round(width / _RATIO[0])), min(width, round(height * _RATIO[1]))
    return (height - rows) // 2, (width - columns) // 2, rows, columns
