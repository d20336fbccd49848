"""What a heatmap must beat: the middle of the image, chance, and an encoder that has learned nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .._optional import require
from ..encoders import Encoder
from ..errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

_PURPOSE = "the control of a random encoder"


def centre_prior(shape: tuple[int, int], area: float) -> np.ndarray:
    """A centred Gaussian which, binarised at 0.5, has the area that masks have on average.

    exp(-ln 2 * (r^2 - r0^2) / (R^2 - r0^2)), r = a pixel's distance to the middle of the image, r0 = the least one,
    R = the distance within which `area` of all pixels lie (those of equal distance all or none, whichever is nearer).
    So the value is 1 at r0 and 0.5 at R: a Gaussian of sigma = sqrt((R^2 - r0^2) / (2 ln 2)) over its maximum.

    Args:
        shape: (H, W) in pixels.
        area: mean share of the image in a mask, above 0 and up to 1.

    Returns:
        float32 [H, W], from 0 to 1.

    Raises:
        InputError: area out of range.

    >>> float((centre_prior((8, 8), 0.5) >= 0.5).mean())
    0.5
    """
    if not 0 < area <= 1:
        raise InputError(f"area is {area}, but a share above 0 and up to 1 is needed")
    distance = squared_distance(shape)
    levels, counts = np.unique(distance, return_counts=True)
    nearest = np.argmin(np.abs(np.cumsum(counts) / distance.size - area))
    half = max(levels[nearest] - levels[0], 0.25)  # where the middle pixels alone are inside: less than to the next
    return np.exp2(-(distance - levels[0]) / half).astype(np.float32)


def squared_distance(shape: tuple[int, int]) -> np.ndarray:
    """Of each pixel to the middle of the image, float64 [H, W]."""
    y, x = (np.arange(side) - (side - 1) / 2 for side in shape)
    return y[:, None] ** 2 + x[None, :] ** 2


def random_maps(n: int, shape: tuple[int, int], *, grid: int = 7, seed: int = 0) -> np.ndarray:
    """Maps of noise as coarse as heatmaps are: uniform numbers on a grid, upsampled bilinearly, over their maximum.

    Args:
        n: how many.
        shape: (H, W) in pixels.
        grid: side of the grid: that of the encoder's last spatial layer.
        seed: of the noise.

    Returns:
        float32 [n, H, W], from 0 to 1.

    Raises:
        InputError: a grid below 1.

    >>> random_maps(2, (8, 8), grid=2).shape
    (2, 8, 8)
    """
    if grid < 1:
        raise InputError(f"grid is {grid}, but at least 1 is needed (the side of the encoder's last spatial layer)")
    torch = require("torch", "random maps")
    noise = torch.from_numpy(np.random.default_rng(seed).random((n, 1, grid, grid), np.float32))
    maps = torch.nn.functional.interpolate(noise, size=shape, mode="bilinear", align_corners=False)[:, 0]
    return np.asarray(maps / maps.amax(dim=(1, 2), keepdim=True))


def reinitialised(encoder: Encoder, *, seed: int = 0) -> Encoder:
    """The same architecture with random weights: what its heatmaps show, no learning has put there.

    In a copy of the module each layer draws its weights again (`reset_parameters`). Weights that belong to no such
    layer (class tokens, position embeddings, layer scales) have their entries shuffled instead. The global random
    numbers are left alone.

    Args:
        encoder: stays as it is.
        seed: of the weights.

    Returns:
        A new encoder in eval mode, on the same device.

    Raises:
        InputError: the module has no weights (an ONNX file), or a layer that kept its weights.

    Reference: Adebayo et al., NeurIPS 2018, "Sanity Checks for Saliency Maps": the model parameter randomisation test,
    all layers at once.
    """
    torch = require("torch", _PURPOSE)
    parameter = next(encoder.module.parameters(), None)
    if parameter is None:
        raise InputError(f"{encoder.name} has no weights that could be drawn again: its module has no parameters")
    module = copy.deepcopy(encoder.module).cpu()
    before = {name: [tensor.clone() for tensor in _own(layer)] for name, layer in _layers(module)}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for layer in module.modules():
            _draw_again(layer)
    if kept := [name for name, layer in _layers(module) if _kept(before[name], _own(layer))]:
        raise InputError(f"{encoder.name}: the layers {', '.join(kept[:3])} kept their weights; there is no control")
    return replace(
        encoder,
        module=module.to(parameter.device).eval(),
        name=f"{encoder.name}, random weights (seed {seed})",
        weights_sha256=None,
    )


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every layer that has weights of its own, by name."""
    return ((name, layer) for name, layer in module.named_modules() if _own(layer))


def _own(layer: nn.Module) -> list[Tensor]:
    return list(layer.parameters(recurse=False))


def _draw_again(layer: nn.Module) -> None:
    torch = require("torch", _PURPOSE)
    reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
    if callable(reset):
        reset()
        return
    for weights in _own(layer):
        flat = weights.flatten()
        weights.copy_(flat[torch.randperm(len(flat))].view_as(weights))


def _kept(before: list[Tensor], after: list[Tensor]) -> bool:
    """Whether no weight of a layer has changed, though they are not constants, as those of an unused normalisation."""
    torch = require("torch", _PURPOSE)
    same = all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    return same and any(old.numel() > 0 and bool(old.min() < old.max()) for old in before)
