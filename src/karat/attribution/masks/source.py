"""What a source of masks is, and what all kinds of it share."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from ..._optional import require
from ...errors import InputError
from ...images.decoding import SUFFIXES, first_line

Kind = Literal["core", "spurious"]
Space = Literal["image", "crop"]

# Masks are small: 10,000 x 10,000 pixels in 64 MiB of file are more than any has.
LARGEST_FILE = 1 << 26
_MOST_PIXELS = 10**8
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


@dataclass(frozen=True, eq=False)
class MaskSource(ABC):
    """Masks of images, found by the images' ids and read one at a time.

    Attributes:
        name: what was given: the last component of its path.
        ids: [m] str: of each mask the name of its image, without suffix ("n01440764/n01440764_10026").
        kinds: what there are masks of: "core" (the object) and perhaps "spurious" (what only goes with it).
        space: "image": a mask has the pixels of its image as it is stored, and must go through the encoder's resize and
            crop; "crop": it has been through them already, and is used as it is.
        crop: for "crop", the (resize, size) that it has been through.
    """

    name: str
    ids: np.ndarray
    kinds: tuple[Kind, ...]
    space: Space
    crop: tuple[int, int] | None

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def read(self, mask_id: str, kind: Kind = "core") -> np.ndarray | None:
        """A mask as bool [h, w], true on the object (on what is spurious); None where the image has none of this kind.

        Raises:
            InputError: it is missing, corrupt, or its values are no mask's; the message names it.
        """

    def find(self, image_id: str) -> str | None:
        """The id of an image's mask: that of the same path, else of the same file name where only one has it."""
        path = without_suffix(image_id)
        return self._by_name.get(path) or self._by_name.get(PurePosixPath(path).name)

    def _names_of(self, mask_id: str) -> Iterator[str]:
        """What an image's id may be for this mask to belong to it; whole paths come before file names."""
        yield mask_id
        yield PurePosixPath(mask_id).name

    @cached_property
    def _by_name(self) -> dict[str, str | None]:
        """Name -> the mask of that name; None where several have it."""
        found: dict[str, str | None] = {}
        for mask_id in self.ids.tolist():
            for name in dict.fromkeys(self._names_of(mask_id)):
                found[name] = None if found.get(name, mask_id) != mask_id else mask_id
        return found | {mask_id: mask_id for mask_id in self.ids.tolist()}


def without_suffix(path: str) -> str:
    """A path without the suffix of an image file.

    >>> without_suffix("n01440764/a.JPEG"), without_suffix("v1.5")
    ('n01440764/a', 'v1.5')
    """
    pure = PurePosixPath(path)
    return str(pure.with_suffix("")) if pure.suffix.lower() in SUFFIXES else path


def decode_mask(data: bytes, name: str) -> np.ndarray:
    """The bytes of a mask's file -> uint8 [h, w]. Of several channels the largest counts, transparency not at all.

    An image of 1 bit gives 0 and 255, a palette its indices.

    Raises:
        InputError: it cannot be decoded, has more than 100 million pixels, or more than 8 bits a channel.
    """
    pil = require("PIL.Image", "decoding masks")
    pil.init()
    try:
        with pil.open(io.BytesIO(data), formats=[known for known in _FORMATS if known in pil.OPEN]) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise InputError(
                    f"it has {image.width} x {image.height} pixels, more than the {_MOST_PIXELS:,} allowed"
                )
            values = np.array(image.convert("L") if image.mode in ("1", "LA") else image)
            channels = image.getbands()
    except pil.UnidentifiedImageError as error:
        raise InputError(f"mask {name} cannot be decoded: its content is that of no image file") from error
    except Exception as error:  # on corrupt files Pillow raises nearly anything
        raise InputError(f"mask {name} cannot be decoded: {first_line(error)}") from error
    if values.dtype != np.uint8:
        raise InputError(f"mask {name} has values of type {values.dtype}, but 8 bits a pixel are needed")
    return values if values.ndim == 2 else values[..., : len([band for band in channels if band != "A"])].max(axis=-1)


def refuse_unmatched(source: MaskSource, image_ids: Sequence[str]) -> None:
    """Refuse masks of which none belongs to any of the images.

    Raises:
        InputError: with examples of both.
    """
    raise InputError(
        f"none of the {len(source):,} masks of {source.name} belongs to any of the {len(image_ids):,} images: masks "
        f"are named {_few(source.ids.tolist())}, images {_few(image_ids)}; names must be equal but for the suffix"
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
