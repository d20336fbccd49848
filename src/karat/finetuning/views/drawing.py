"""Random numbers for each image of a batch, from one generator."""

from __future__ import annotations

import torch
from torch import Tensor


class Draw:
    """Random numbers for n images.

    Args:
        n: number of images.
        generator: where they come from.
        device: where they are needed; it may be another device than the generator's.
    """

    def __init__(self, n: int, generator: torch.Generator, device: torch.device) -> None:
        self.n, self.generator, self.device = n, generator, device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Even in [low, high), [n, *shape]."""
        return low + (high - low) * self._share(*shape)

    def chance(self, probability: float) -> Tensor:
        """True with a probability, [n, 1, 1, 1]."""
        return self._share(1, 1, 1) < probability

    def orders(self, k: int) -> Tensor:
        """An order of k things for each image, [n, k]."""
        return self._share(k).argsort(dim=1)

    def _share(self, *shape: int) -> Tensor:
        share = torch.rand(self.n, *shape, generator=self.generator, device=self.generator.device)
        return share.to(self.device)
