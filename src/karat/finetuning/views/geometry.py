"""Crops, resizes and blurs: matrix products over rows and columns, with other weights for each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .drawing import Draw

_RATIO = (3 / 4, 4 / 3)  # of a crop's width to its height
_TRIES = 10  # of a crop that fits


def random_boxes(
    draw: Draw, height: int, width: int, scale: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A random box in each image: its share of the area even in `scale`, its ratio log-even in 3/4 to 4/3.

    The first of ten tries that fits; where none does, the largest box of an allowed ratio, in the middle.

    Returns:
        top, left, rows and columns, in whole pixels, [n] each.
    """
    area = height * width * draw.uniform(*scale, _TRIES)
    ratio = draw.uniform(math.log(_RATIO[0]), math.log(_RATIO[1]), _TRIES).exp()
    columns, rows = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()  # [n, tries]
    fits = (rows > 0) & (rows <= height) & (columns > 0) & (columns <= width)
    first = fits.int().argmax(dim=1, keepdim=True)
    place = draw.uniform(0, 1, 2)  # [n, 2]
    found = fits.any(dim=1)
    widest, highest = min(width, round(height * _RATIO[1])), min(height, round(width / _RATIO[0]))
    rows = torch.where(found, rows.gather(1, first)[:, 0], highest)
    columns = torch.where(found, columns.gather(1, first)[:, 0], widest)
    top = torch.where(found, (place[:, 0] * (height - rows + 1)).floor(), (height - highest) // 2)
    left = torch.where(found, (place[:, 1] * (width - columns + 1)).floor(), (width - widest) // 2)
    return top, left, rows, columns


def crop_weights(start: Tensor, length: Tensor, *, size: int, full: int) -> Tensor:
    """The weights that resize each image's own stretch of pixels to `size` (bilinear, antialiased, as Pillow's).

        w_ij ~ max(0, 1 - |j + 1/2 - centre_i| / max(1, length / size)) inside the stretch, rows sum to 1
        centre_i = start + (i + 1/2) length / size

    Args:
        start: first pixel of each stretch, [n].
        length: its pixels, at least 1, [n].
        size: number of pixels to make.
        full: number of pixels that there are.

    Returns:
        [n, size, full].
    """
    start, length = start[:, None, None], length[:, None, None]
    ratio = length / size
    pixel = torch.arange(full, device=start.device) + 0.5  # [full]
    centre = start + (torch.arange(size, device=start.device)[:, None] + 0.5) * ratio  # [n, size, 1]
    weights = (1 - (pixel - centre).abs() / ratio.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel > start) & (pixel < start + length))
    return weights / weights.sum(dim=2, keepdim=True)


def blur_weights(sigma: Tensor, *, size: int) -> Tensor:
    """The weights of a Gaussian blur along one side, [n] -> [n, size, size]; at the border, of what is inside."""
    position = torch.arange(size, device=sigma.device, dtype=sigma.dtype)
    distance = (position[:, None] - position) / sigma[:, None, None]
    return torch.softmax(-distance.square() / 2, dim=2)


def resampled(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """down @ x @ across^T for each image and channel: [n, c, h, w], [n, s, h], [n, t, w] -> [n, c, s, t]."""
    (n, channels, height, _), size = x.shape, down.shape[1]
    x = (x.flatten(1, 2) @ across.mT).view(n, channels, height, -1)  # [n, c, h, t]
    x = down @ x.transpose(1, 2).flatten(2)  # [n, s, c t]
    return x.view(n, size, channels, -1).transpose(1, 2).contiguous()
