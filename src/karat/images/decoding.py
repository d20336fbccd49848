"""The bytes of an image file <-> pixels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from .._optional import require
from ..errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)
# What Pillow may try. It goes by content, not by name, and some of its other formats start programs (EPS: Ghostscript).
_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_WHITE = (255, 255, 255, 255)
_ORIENTATION = 0x0112  # of EXIF


def decode(data: bytes, name: str) -> np.ndarray:
    """The bytes of an image file -> uint8 [h, w, 3], upright RGB; see `ImageSource.read`.

    Raises:
        InputError: it cannot be decoded; the message names it and gives a short reason.
    """
    pil = require("PIL.Image", "decoding images")
    try:
        with pil.open(io.BytesIO(data), formats=_known_formats()) as image:
            limit = pil.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise InputError(f"it has {image.width} x {image.height} pixels, more than the {limit} allowed")
            return np.array(_upright(image, _to_rgb(image)))
    except pil.UnidentifiedImageError as error:
        why = "its content is that of no image file" if data else "it is empty (0 bytes)"
        raise InputError(f"image {name} cannot be decoded: {why}") from error
    except Exception as error:  # on corrupt files Pillow raises nearly anything
        raise InputError(f"image {name} cannot be decoded: {first_line(error)}") from error


def encode_png(pixels: np.ndarray) -> bytes:
    """uint8 [h, w, 3] -> the bytes of a PNG file."""
    file = io.BytesIO()
    require("PIL.Image", "writing PNG").fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def first_line(error: Exception) -> str:
    """What an error of another library says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _known_formats() -> list[str]:
    """Those of `_FORMATS` that this Pillow can open."""
    pil = require("PIL.Image", "decoding images")
    pil.init()
    return [name for name in _FORMATS if name in pil.OPEN]


def _upright(image: Image, pixels: Image) -> Image:
    """`pixels` turned or mirrored as the EXIF of `image` says; as they are where it says nothing that can be read."""
    pil = require("PIL.Image", "decoding images")
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF raises nearly anything; the pixels are whole all the same
        return pixels
    turn = {
        2: pil.Transpose.FLIP_LEFT_RIGHT,
        3: pil.Transpose.ROTATE_180,
        4: pil.Transpose.FLIP_TOP_BOTTOM,
        5: pil.Transpose.TRANSPOSE,
        6: pil.Transpose.ROTATE_270,
        7: pil.Transpose.TRANSVERSE,
        8: pil.Transpose.ROTATE_90,
    }.get(orientation or 1)
    return pixels if turn is None else pixels.transpose(turn)


def _to_rgb(image: Image) -> Image:
    """Any mode -> RGB: 16-bit grey is scaled by 1/257, transparency is laid over white."""
    pil = require("PIL.Image", "decoding images")
    if image.mode == "F":
        raise InputError("it holds real numbers of unknown range, but 8 or 16 bits a channel are needed")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise InputError("it holds 32-bit numbers of unknown range, but 8 or 16 bits a channel are needed")
        image = pil.fromarray(np.rint(values / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = pil.alpha_composite(pil.new("RGBA", image.size, _WHITE), image)
    return image.convert("RGB")
