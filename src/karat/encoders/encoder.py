"""An encoder: a module from images to h, with what its images must look like."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from .._optional import require
from ..errors import InputError, InputTypeError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .architectures import Architecture

_PURPOSE = "an encoder"

Interpolation = Literal["bilinear", "bicubic"]
_INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Preprocessing:
    """uint8 image [h, w, 3] -> float32 tensor [3, size, size]: (image / 255 - mean) / std.

    The shorter side is resized to `resize`, then the middle square of `size` is taken: what torchvision's Resize,
    CenterCrop, ToTensor and Normalize make of a Pillow image. Resizing is antialiased and rounds to whole values.

    Attributes:
        size: side of the encoder's input in pixels.
        mean, std: of each channel, on images in [0, 1].
        resize: the shorter side before the crop, in pixels, at least `size`; None: `size`.
        interpolation: "bilinear" or "bicubic".

    Raises:
        InputError: a size below 1, a crop larger than the image, not three channels, a std of 0, or another
            interpolation.

    >>> preprocessing = Preprocessing(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=256)
    >>> preprocessing(np.zeros((300, 400, 3), np.uint8)).shape
    torch.Size([3, 224, 224])
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: int | None = None
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise InputError(f"size is {self.size!r}, but a whole number of pixels, at least 1, is needed")
        if self.resize is not None and (not isinstance(self.resize, int) or self.resize < self.size):
            raise InputError(f"resize is {self.resize!r}, but a whole number of at least size ({self.size}) is needed")
        if self.interpolation not in _INTERPOLATIONS:
            raise InputError(f"interpolation is {self.interpolation!r}, but one of {_INTERPOLATIONS} is needed")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise InputError(f"{name} is {values!r}, but three finite numbers are needed")
        if min(self.std) <= 0:
            raise InputError(f"std is {self.std!r}, but numbers above 0 are needed")

    def __call__(self, image: np.ndarray) -> Tensor:
        torch = require("torch", _PURPOSE)
        pixels = torch.from_numpy(self.square(image)).permute(2, 0, 1)  # [h, w, 3] -> [3, h, w]
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pixels.float().div(255) - mean) / std

    def square(self, image: np.ndarray) -> np.ndarray:
        """The part of an image that the encoder sees, still uint8: [h, w, 3] -> [size, size, 3]."""
        return self._middle(self._resized(image))

    def _resized(self, image: np.ndarray) -> np.ndarray:
        """The shorter side is `resize` pixels long, the longer one in proportion, rounded down."""
        height, width = image.shape[:2]
        short, wanted = min(height, width), self.resize or self.size
        if short == wanted:
            return image
        pil = require("PIL.Image", "resizing images")
        target = (wanted * width // short, wanted * height // short)
        return np.array(pil.fromarray(image).resize(target, pil.Resampling[self.interpolation.upper()]))

    def _middle(self, image: np.ndarray) -> np.ndarray:
        top, left = (round((side - self.size) / 2) for side in image.shape[:2])
        return np.array(image[top : top + self.size, left : left + self.size], order="C")


@dataclass(frozen=True)
class Encoder:
    """A torch module with the number of its features and the transform of its images.

    Attributes:
        module: `module(images)` returns h [n, dim] for a batch of transformed images.
        dim: number of features d.
        transform: one image, uint8 [h, w, 3] RGB -> a float32 tensor; the batch is their stack.
        name: what it is called in records.
        weights_sha256: SHA-256 of the file that the weights came from; None for a module made by hand.
        h: what h is, in words ("class token after the last norm"); empty where nothing is known.
        layout: the layout of the file that the weights came from (see `karat.encoders.layouts`); None for others.
        architecture: what karat built the module as, which a file of karat's own can describe; None for others.

    Raises:
        InputTypeError: `module` is no torch module, or `transform` cannot be called.
        InputError: `dim` is below 1, or `name` is empty.
    """

    module: nn.Module
    _: KW_ONLY
    dim: int
    transform: Callable[[np.ndarray], Tensor]
    name: str
    weights_sha256: str | None = None
    h: str = ""
    layout: str | None = None
    architecture: Architecture | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.module, require("torch", _PURPOSE).nn.Module):
            raise InputTypeError(f"module is a {type(self.module).__name__}, but a torch.nn.Module is needed")
        if not callable(self.transform):
            raise InputTypeError(
                f"transform is a {type(self.transform).__name__}, but a function of an image is needed"
            )
        if not isinstance(self.dim, int) or self.dim < 1:
            raise InputError(f"dim is {self.dim!r}, but the number of features, at least 1, is needed")
        if not self.name:
            raise InputError("name is empty, but records need one")

    @property
    def preprocessing(self) -> str:
        """The transform in words, the same in every process."""
        return re.sub(r" at 0x[0-9a-f]+", "", repr(self.transform))
