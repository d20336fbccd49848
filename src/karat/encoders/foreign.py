"""What encoders of other libraries share: their transforms, and a look at what they compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._optional import require
from ..errors import InputError, KaratError
from .encoder import Encoder

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class OnPillow:
    """A library's own transform, on a Pillow image.

    Attributes:
        transform: a Pillow image -> float32 tensor [3, s, s].
        words: what it does.
    """

    transform: Callable[[Any], Tensor]
    words: str

    def __call__(self, image: np.ndarray) -> Tensor:
        return self.transform(require("PIL.Image", "transforming images").fromarray(image))

    def __repr__(self) -> str:
        return self.words


def checked_encoder(
    module: nn.Module, transform: Callable[[np.ndarray], Tensor], *, name: str, h: str, sha256: str | None
) -> Encoder:
    """The encoder, once h of an image was seen to be one vector, twice the same."""
    torch = require("torch", "an encoder")
    module = module.float().eval()
    first, second = (output_of(module, transform, name=name) for _ in range(2))
    if first.ndim != 2:
        raise InputError(f"{name} makes {list(first.shape)} of an image, but one vector is needed")
    if not torch.allclose(first, second, equal_nan=True):
        raise InputError(f"{name} makes another vector of the same image each time: it is random, and no encoder")
    dim = first.shape[1]
    return Encoder(module, dim=dim, transform=transform, name=name, weights_sha256=sha256, h=f"{h}, {dim} features")


def output_of(function: Callable[[Tensor], Any], transform: Callable[[np.ndarray], Tensor], *, name: str) -> Any:
    """What a model makes of one image, a ramp of grey."""
    torch = require("torch", "an encoder")
    ramp = np.tile(np.arange(0, 256, 4).astype(np.uint8)[:, None], (64, 1, 3))  # [64, 64, 3]
    try:
        with torch.inference_mode():
            return function(transform(ramp)[None])
    except KaratError:
        raise
    except Exception as error:  # whatever a model of another library raises
        raise InputError(f"{name} makes no features of an image: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its text."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:300]}"
