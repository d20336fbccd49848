"""Colour jitter of many images at once, each with its own factors and order."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from .drawing import Draw

_GREY = (0.299, 0.587, 0.114)  # the luma of red, green, blue


def greyed(x: Tensor) -> Tensor:
    """Luma, [n, 3, h, w] -> [n, 1, h, w]."""
    return torch.einsum("nchw,c->nhw", x, x.new_tensor(_GREY))[:, None]


def brightened(x: Tensor, factor: Tensor) -> Tensor:
    return (x * factor).clamp(0, 1)


def contrasted(x: Tensor, factor: Tensor) -> Tensor:
    middle = greyed(x).mean(dim=(2, 3), keepdim=True)
    return torch.lerp(middle, x, factor).clamp(0, 1)


def saturated(x: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(greyed(x), x, factor).clamp(0, 1)


def hue_turned(x: Tensor, turn: Tensor) -> Tensor:
    """The hue of HSV moved by a share of the colour circle; value and saturation stay."""
    value, smallest = x.amax(dim=1, keepdim=True), x.amin(dim=1, keepdim=True)
    chroma = value - smallest
    red, green, blue = torch.split(x, 1, dim=1)
    safe = torch.where(chroma == 0, 1, chroma)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )  # in sixths of the circle
    offset = x.new_tensor([5.0, 3.0, 1.0]).view(3, 1, 1)
    k = (offset + hue + 6 * turn) % 6  # [n, 3, h, w]
    return value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)


_STEPS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (brightened, contrasted, saturated, hue_turned)
_MIDDLES = (1.0, 1.0, 1.0, 0.0)  # the factor that changes nothing


def jittered(x: Tensor, draw: Draw, strengths: tuple[float, float, float, float], *, probability: float) -> Tensor:
    """Brightness, contrast, saturation and hue of some images changed in place, in an order of each image's own.

    Args:
        x: [n, 3, h, w] in [0, 1].
        draw: the randomness.
        strengths: factors are 1 - s to 1 + s; the hue turns by -s to s.
        probability: of an image to be changed.

    Returns:
        [n, 3, h, w] in [0, 1].
    """
    steps = [(change, s, middle) for change, s, middle in zip(_STEPS, strengths, _MIDDLES, strict=True) if s]
    factors = [draw.uniform(middle - s, middle + s, 1, 1, 1) for _, s, middle in steps]
    orders = draw.orders(len(steps)).masked_fill(~draw.chance(probability)[:, 0, 0], -1)  # [n, steps]
    for place, (index, (change, _, _)) in itertools.product(range(len(steps)), enumerate(steps)):
        chosen = (orders[:, place] == index).nonzero()[:, 0]
        x[chosen] = change(x[chosen], factors[index][chosen])
    return x
