"""An encoder: a module from images to h, with what its images must look like."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._optional import require
from ..errors import FileFormatError, InputError, InputTypeError

if TYPE_CHECKING:
    from torch import Tensor, nn

_PURPOSE = "an encoder"


@dataclass(frozen=True)
class Preprocessing:
    """uint8 image [h, w, 3] -> float32 tensor [3, size, size]: (image / 255 - mean) / std.

    Of an image of another size the middle square is taken and resized (Pillow's bilinear, which is antialiased).

    Attributes:
        size: side of the encoder's input in pixels.
        mean, std: of each channel, on images in [0, 1].

    Raises:
        InputError: a size below 1, not three channels, or a std of 0.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1:
            raise InputError(f"size is {self.size!r}, but a whole number of pixels, at least 1, is needed")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise InputError(f"{name} is {values!r}, but three finite numbers are needed")
        if min(self.std) <= 0:
            raise InputError(f"std is {self.std!r}, but numbers above 0 are needed")

    def __call__(self, image: np.ndarray) -> Tensor:
        torch = require("torch", _PURPOSE)
        if image.shape[:2] != (self.size, self.size):
            image = self._resized(image)
        pixels = torch.from_numpy(image).permute(2, 0, 1).float().div(255)  # [h, w, 3] -> [3, h, w]
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pixels - mean) / std

    def _resized(self, image: np.ndarray) -> np.ndarray:
        pil, operations = (require(name, "resizing images") for name in ("PIL.Image", "PIL.ImageOps"))
        fitted = operations.fit(pil.fromarray(image), (self.size, self.size), method=pil.Resampling.BILINEAR)
        return np.array(fitted)


@dataclass(frozen=True)
class Encoder:
    """A torch module with the number of its features and the transform of its images.

    Attributes:
        module: `module(images)` returns h [n, dim] for a batch of transformed images.
        dim: number of features d.
        transform: one image, uint8 [h, w, 3] RGB -> a float32 tensor; the batch is their stack.
        name: what it is called in records.
        weights_sha256: SHA-256 of the file that the weights came from; None for a module made by hand.

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


def _small_resnet(*, widths: list[int], blocks: int, dim: int) -> nn.Module:
    from .small_resnet import SmallResNet

    return SmallResNet(tuple(widths), blocks, dim)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"small_resnet": _small_resnet}


def load_encoder(path: str | os.PathLike[str]) -> Encoder:
    """Load an encoder from a file of weights.

    Today: karat's own safetensors, whose metadata hold under "karat", as JSON, the architecture, its arguments and the
    input (size, mean, std). Every tensor of the file must find its place and every place its tensor. Half-precision
    weights become float32.

    Args:
        path: the file.

    Returns:
        The encoder, in evaluation mode, on the CPU.

    Raises:
        InputError: the file is missing, or its weights do not fit the architecture (all misfits are listed).
        FileFormatError: truncated, of another format, or without karat's metadata.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    try:
        description = json.loads(metadata["karat"])
        build, arguments = ARCHITECTURES[description["architecture"]], description["arguments"]
        size, mean, std = (description["input"][key] for key in ("size", "mean", "std"))
        preprocessing = Preprocessing(size, tuple(mean), tuple(std))
        with require("torch", _PURPOSE).device("meta"):  # no memory yet: the file's tensors become the parameters
            module = build(**arguments)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise FileFormatError(
            f"{path} does not describe an encoder of karat ({type(error).__name__}: {error}): its metadata need, under "
            f"'karat', an architecture ({', '.join(ARCHITECTURES)}), its arguments, and input with size, mean and std"
        ) from error
    _place(tensors, module, path)
    return Encoder(
        module.eval(),
        dim=arguments["dim"],
        transform=preprocessing,
        name=path.stem,
        weights_sha256=_sha256(path),
    )


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file, half precision widened."""
    safetensors = require("safetensors", "loading an encoder")
    require("torch", "loading an encoder")
    if not path.is_file():
        raise InputError(f"{path} is no file: the weights of an encoder (.safetensors) are needed")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise FileFormatError(f"{path} cannot be read as safetensors: {error}") from error
    return metadata, {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def _place(tensors: dict[str, Tensor], module: nn.Module, path: Path) -> None:
    """Make the tensors the module's parameters and buffers; all must fit."""
    places: dict[str, Any] = module.state_dict()
    misfits = [f"{name} is missing" for name in places.keys() - tensors.keys()]
    misfits += [f"{name} has no place" for name in tensors.keys() - places.keys()]
    misfits += [
        f"{name} is {_kind(tensors[name])}, not {_kind(places[name])}"
        for name in places.keys() & tensors.keys()
        if _kind(tensors[name]) != _kind(places[name])
    ]
    if misfits:
        raise InputError(f"the weights in {path} do not fit the architecture it names: {'; '.join(sorted(misfits))}")
    module.load_state_dict(tensors, strict=True, assign=True)


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
