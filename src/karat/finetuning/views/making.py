"""Random views of many images at once, on the device where they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import InputError
from ..recipes import ViewSettings
from .colours import greyed, jittered
from .drawing import Draw
from .geometry import blur_weights, crop_weights, random_boxes, resampled

_THRESHOLD = 128 / 255  # what is at least as bright is inverted by solarisation


class Views:
    """The views of a batch, each image with its own random crop, flip, jitter, grey, blur and solarisation.

    An image meets, in this order, what torchvision's RandomResizedCrop (bilinear, antialiased), RandomHorizontalFlip,
    ColorJitter (its parts in an order of the image's own) and RandomGrayscale do, a Gaussian blur, RandomSolarize and
    the normalisation; all on floats, so that nothing is rounded between.

    Args:
        settings: probabilities and strengths (`recipe.views`).
        size: side of the full-resolution views, in pixels.
        mean, std: of the three channels, in [0, 1].

    Raises:
        InputError: a size below 1, a mean or std that is no three numbers, a std of 0.

    >>> views = Views(ViewSettings(local_crops=1, local_size=16), size=32, mean=(0.5,) * 3, std=(0.25,) * 3)
    >>> images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    >>> [list(view.shape) for view in views(images, torch.Generator().manual_seed(0))]
    [[4, 3, 32, 32], [4, 3, 32, 32], [4, 3, 16, 16]]
    """

    def __init__(self, settings: ViewSettings, *, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        if size < 1:
            raise InputError(f"size is {size}, but the side of a view is at least 1 pixel")
        if len(mean) != 3 or len(std) != 3 or not all(value > 0 for value in std):
            raise InputError(f"mean is {list(mean)} and std {list(std)}, but three numbers are needed, std above 0")
        self.settings = settings
        self.size = size
        self.mean = torch.tensor(mean, dtype=torch.float32).view(3, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).view(3, 1, 1)

    @torch.no_grad()
    def __call__(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Views of each image: two of full resolution, then the local crops.

        Args:
            images: uint8 [n, 3, height, width], on any device.
            generator: the only source of randomness; it may be on another device than the images. The same state gives
                the same views (on one device: bit for bit).

        Returns:
            Normalised float32 [n, 3, s, s] each, on the images' device.

        Raises:
            InputError: images of another type or shape.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            raise InputError(
                f"images are {images.dtype} {list(images.shape)}, but uint8 [n, 3, h, w], none 0, is needed"
            )
        draw = Draw(len(images), generator, images.device)
        settings = self.settings
        with torch.autocast(images.device.type, enabled=False):
            pixels = images.float() / 255
            full = [
                self._view(pixels, draw, self.size, settings.full_scale, settings.blur[i], settings.solarise[i])
                for i in range(2)
            ]
            local = [
                self._view(pixels, draw, settings.local_size, settings.local_scale, settings.local_blur, 0.0)
                for _ in range(settings.local_crops)
            ]
        return full + local

    def _view(
        self,
        pixels: Tensor,
        draw: Draw,
        size: int,
        scale: tuple[float, float],
        blur: float,
        solarise: float,
    ) -> Tensor:
        """One view of each image, [n, 3, h, w] -> [n, 3, size, size]."""
        settings = self.settings
        x = self._cropped(pixels, draw, size, scale)
        x = jittered(x, draw, settings.jitter, probability=settings.jitter_probability)
        x = torch.where(draw.chance(settings.grey), greyed(x), x)
        x = self._blurred(x, draw, blur)
        inverted = draw.chance(solarise) & (x >= _THRESHOLD)
        x = torch.where(inverted, 1 - x, x)
        return (x - self.mean.to(x.device)) / self.std.to(x.device)

    def _cropped(self, pixels: Tensor, draw: Draw, size: int, scale: tuple[float, float]) -> Tensor:
        height, width = pixels.shape[2:]
        top, left, rows, columns = random_boxes(draw, height, width, scale)
        across = crop_weights(left, columns, size=size, full=width)  # [n, size, width]
        across = torch.where(draw.chance(self.settings.flip)[:, 0], across.flip(1), across)
        return resampled(pixels, crop_weights(top, rows, size=size, full=height), across)

    def _blurred(self, x: Tensor, draw: Draw, probability: float) -> Tensor:
        if probability == 0:
            return x
        sigma, chosen = draw.uniform(*self.settings.blur_sigma), draw.chance(probability)
        weights = blur_weights(sigma, size=x.shape[-1])
        return torch.where(chosen, resampled(x, weights, weights), x)
