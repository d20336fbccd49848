"""From images to heatmaps, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._optional import require
from ..encoders import Encoder
from ..errors import InputError
from ..extraction.batches import Batch, Decoder, decoded
from ..extraction.compute import Compute, choose
from ..extraction.engines import explained, settled
from ..extraction.meter import Meter
from ..images import ImageSource

if TYPE_CHECKING:
    from torch import Tensor

    from .methods import Method, Name
    from .spatial import SpatialLayer

_PURPOSE = "heatmaps"
METHODS = ("gradcam", "gradient", "integrated", "occlusion")
# Maps of the size of the image that are held at once, of each image.
_TOGETHER = 16


@dataclass(frozen=True)
class Drawn:
    """Some images with their maps.

    Attributes:
        images: int64 [m], their numbers in the source.
        maps: float32 [m, H, W], or [m, k, H, W] where each feature has its own; from 0 to 1.
        pixels: uint8 [m, H, W, 3], as the encoder saw them.
    """

    images: np.ndarray
    maps: np.ndarray
    pixels: np.ndarray


class Drawing:
    """An encoder with a method, that draws maps.

    Args:
        encoder, method, layer: see `feature_maps`.
        batch_size, device, threads, workers: see `karat.extract`; precision is float32.

    Attributes:
        found: the spatial layer, once the first batch has been seen; None where the method has none.

    Raises:
        InputError: an unknown method, a batch size below 1, a device that cannot be used.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        method: Name,
        layer: str | None,
        batch_size: int,
        device: str,
        threads: int | None,
        workers: int | None,
    ) -> None:
        if method not in METHODS:
            raise InputError(f"method is {method!r}, but one of {', '.join(METHODS)} is needed")
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}, but a whole number of at least 1 is needed")
        self.encoder, self.method, self.layer = encoder, method, layer
        self.compute: Compute = choose(encoder, device=device, precision="float32", threads=threads)
        self.batch_size, self.workers = batch_size, workers
        self.found: SpatialLayer | None = None
        self._draw: Method | None = None

    def look(self, source: ImageSource, row: int) -> None:
        """Settle, from one image, which layer the maps are taken from; else the first batch does."""
        from .methods import method_named

        image = self.encoder.transform(source.read(row))[None]
        with settled(self.encoder.module, self.compute), explained(self.encoder, image):
            images = image.to(self.compute.device)
            self._draw, self.found = method_named(self.method, self.encoder, images, self.layer)

    def mean_maps(self, source: ImageSource, wanted: np.ndarray, meter: Meter) -> Iterator[Drawn]:
        """The mean of the maps of each image's features, as big as the image, divided by its maximum.

        Args:
            source: the images.
            wanted: int64 [n, k], -1: none; an image without a feature has a map of zeros.
            meter: told of each batch.
        """
        return self._drawn(source, wanted, meter, mean=True)

    def each_map(self, source: ImageSource, wanted: np.ndarray, meter: Meter) -> Iterator[Drawn]:
        """The map of each feature of each image, [m, k, H, W], each divided by its maximum."""
        return self._drawn(source, wanted, meter, mean=False)

    def _drawn(self, source: ImageSource, wanted: np.ndarray, meter: Meter, *, mean: bool) -> Iterator[Drawn]:
        torch = require("torch", _PURPOSE)
        decoder = Decoder(source, self.encoder.transform, None, 0, torch.channels_last)
        starts = range(0, len(source), self.batch_size)
        jobs = [(0, range(start, min(start + self.batch_size, len(source)))) for start in starts]
        workers = int(len(jobs) > 1) if self.workers is None else self.workers
        with (
            settled(self.encoder.module, self.compute),
            closing(decoded(decoder, jobs, workers=workers, pin=False)) as batches,
        ):
            for batch in meter.waiting(batches):
                yield self._of_batch(batch, wanted, mean=mean)
                meter.add(len(batch.images))

    def _of_batch(self, batch: Batch, wanted: np.ndarray, *, mean: bool) -> Drawn:
        torch = require("torch", _PURPOSE)
        if batch.tensor is None or batch.skipped:
            raise InputError(f"{batch.skipped[0].reason}: leave this image out")
        if batch.tensor.ndim != 4:
            raise InputError(
                f"the encoder's transform gives {list(batch.tensor.shape[1:])}, but heatmaps need [3, H, W] an image"
            )
        rows = wanted[batch.images]
        used = rows[:, : max(1, int((rows >= 0).sum(axis=1).max()))] if mean else rows
        with explained(self.encoder, batch.tensor):
            images = batch.tensor.to(self.compute.device)
            features = torch.from_numpy(np.ascontiguousarray(used)).to(images.device)
            maps = self._mean(images, features) if mean else self._maps(images, features)
            full = at_full_size(maps, (images.shape[2], images.shape[3])).cpu().numpy()
        return Drawn(batch.images, full, self.pixels(batch.tensor))

    def _maps(self, images: Tensor, wanted: Tensor) -> Tensor:
        """[n, k, h, w], as the method gives them."""
        from .methods import method_named

        if self._draw is None:
            self._draw, self.found = method_named(self.method, self.encoder, images, self.layer)
        return self._draw(images, wanted)

    def _mean(self, images: Tensor, wanted: Tensor) -> Tensor:
        """[n, h, w]"""
        pixelwise = self.method in ("integrated", "occlusion")
        step = _TOGETHER if pixelwise else wanted.shape[1]
        total = self._maps(images, wanted[:, :step]).sum(dim=1)
        for start in range(step, wanted.shape[1], step):
            total += self._maps(images, wanted[:, start : start + step]).sum(dim=1)
        mean: Tensor = total / (wanted >= 0).sum(dim=1).clamp(min=1)[:, None, None]
        return mean

    def pixels(self, images: Tensor) -> np.ndarray:
        """The transformed images as they look, uint8 [n, H, W, 3]: exact where the transform tells mean and deviation.

        Elsewhere each image is stretched from its smallest value to its largest.
        """
        torch = require("torch", _PURPOSE)
        mean, std = (getattr(self.encoder.transform, name, None) for name in ("mean", "std"))
        if mean is not None and std is not None:
            shown = images * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
        else:
            low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
            shown = (images - low) / (high - low).clamp(min=1e-12)
        if shown.shape[1] == 1:
            shown = shown.expand(-1, 3, -1, -1)
        pixels: np.ndarray = shown[:, :3].mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        return pixels


def at_full_size(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [..., h, w] upsampled bilinearly (align_corners=False) to [..., H, W], then each divided by its maximum.

    A map of zeros stays one.
    """
    torch = require("torch", _PURPOSE)
    stack = maps.flatten(0, -3)[:, None] if maps.ndim > 2 else maps[None, None]
    large = torch.nn.functional.interpolate(stack, size=tuple(size), mode="bilinear", align_corners=False)
    large = large.reshape(*maps.shape[:-2], *size)
    peak = large.amax(dim=(-2, -1), keepdim=True)
    scaled: Tensor = torch.where(peak > 0, large / torch.where(peak > 0, peak, 1), 0)
    return scaled
