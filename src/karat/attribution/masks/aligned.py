"""Masks in the space of the encoder's input: pixel for pixel on its heatmaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..._optional import require
from ...encoders import Preprocessing
from ...errors import InputError
from ...images import ImageSource
from .source import Kind, MaskSource, refuse_unmatched

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class AlignedMasks:
    """The masks of n images as the encoder's input sees them.

    Attributes:
        ids: [n] str.
        masks: "core" or "spurious" -> bool [n, size, size]; false everywhere where there is none, or an empty one.
        present: "core" or "spurious" -> bool [n]: there is a mask, empty or not.
        extra: masks that belong to none of the images.
    """

    ids: np.ndarray
    masks: Mapping[Kind, np.ndarray]
    present: Mapping[Kind, np.ndarray]
    extra: int

    def __len__(self) -> int:
        return len(self.ids)

    def used(self, kind: Kind) -> np.ndarray:
        """Which images have a mask of a kind that is not empty, bool [n]."""
        return np.asarray(self.masks[kind].any(axis=(1, 2)))

    def empty(self, kind: Kind) -> int:
        """How many masks of a kind are empty: drawn so, or with nothing left after the crop."""
        return int((self.present[kind] & ~self.used(kind)).sum())

    @property
    def without_mask(self) -> int:
        """How many images have no mask of any kind."""
        return int((~np.any(list(self.present.values()), axis=0)).sum())


def align_masks(
    source: MaskSource, images: ImageSource, preprocessing: Preprocessing, *, progress: Progress | None = None
) -> AlignedMasks:
    """Read the masks of all images, and bring each to the pixels of the encoder's input.

    Args:
        source: of the masks (see `open_masks`).
        images: of the images; those that a mask in "image" space belongs to are decoded, to compare sizes.
        preprocessing: the encoder's transform.
        progress: called with images done and all images.

    Raises:
        InputError: no mask belongs to any image; a mask cannot be read; a mask in "image" space has another size than
            its image; masks in "crop" space show another part of the image than the encoder sees.
    """
    if source.crop is not None:
        _check_crop(source, preprocessing)
    found = [source.find(image_id) for image_id in images.ids.tolist()]
    matched = {mask_id for mask_id in found if mask_id is not None}
    if not matched:
        refuse_unmatched(source, images.ids.tolist())
    size = preprocessing.size
    masks = {kind: np.zeros((len(images), size, size), bool) for kind in source.kinds}
    present = {kind: np.zeros(len(images), bool) for kind in source.kinds}
    for i, mask_id in enumerate(found):
        for kind in source.kinds if mask_id is not None else ():
            mask = source.read(str(mask_id), kind)
            if mask is not None:
                present[kind][i] = True
                masks[kind][i] = _aligned(mask, source, images, i, preprocessing)
        if progress is not None:
            progress(i + 1, len(images))
    return AlignedMasks(images.ids, masks, present, len(source) - len(matched))


def in_input_space(mask: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """A mask with its image's pixels -> the encoder's input: bool [h, w] -> [size, size].

    It goes through the very resize and crop of the image (bilinear, antialiased), and is then binarised at 0.5.
    """
    geometry = Preprocessing(preprocessing.size, (0, 0, 0), (1, 1, 1), resize=preprocessing.resize)
    pixels = np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2)  # [h, w] -> [h, w, 3]
    return np.asarray(geometry(pixels)[0] >= 0.5)


def _aligned(
    mask: np.ndarray, source: MaskSource, images: ImageSource, i: int, preprocessing: Preprocessing
) -> np.ndarray:
    """[h, w] -> [size, size]"""
    if source.space == "crop":
        return _scaled(mask, preprocessing.size)
    height, width = images.read(i).shape[:2]
    if mask.shape != (height, width):
        raise InputError(
            f"the mask of image {images.ids[i]} in {source.name} has {mask.shape[1]} x {mask.shape[0]} pixels, but the "
            f"image has {width} x {height}: a mask needs the size of its image as it is stored, upright"
        )
    return in_input_space(mask, preprocessing)


def _check_crop(source: MaskSource, preprocessing: Preprocessing) -> None:
    """Masks in crop space fit an encoder that sees the same part of the image.

    Raises:
        InputError: with both parts.
    """
    resize, size = source.crop or (1, 1)
    seen = preprocessing.resize or preprocessing.size
    if Fraction(preprocessing.size, seen) != Fraction(size, resize):
        raise InputError(
            f"the masks of {source.name} show the middle {size} of {resize} pixels of the shorter side, but the "
            f"encoder sees {preprocessing.size} of {seen}: give it a transform with the same share "
            f"(resize={resize}, size={size})"
        )


def _scaled(mask: np.ndarray, size: int) -> np.ndarray:
    """A square mask at another resolution, by its nearest pixels; as it is where it has that size already."""
    if mask.shape == (size, size):
        return mask
    pil = require("PIL.Image", "resizing masks")
    return np.array(pil.fromarray(mask).resize((size, size), pil.Resampling.NEAREST))
