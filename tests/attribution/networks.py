"""Small encoders whose heatmaps can be worked out by hand, and images for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from karat.encoders import Encoder


def coloured_images(n: int, seed: int) -> np.ndarray:
    """Images of two colours each, with noise, uint8 [n, 8, 8, 3]."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 200, (n, 1, 1, 3)) + np.zeros((n, 8, 8, 3), int)
    images[:, :4] = rng.integers(0, 200, (n, 1, 1, 3))
    return (images + rng.integers(0, 56, images.shape)).astype(np.uint8)


IMAGES = coloured_images(11, 0)


def to_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def seeded(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with weights drawn anew, in evaluation mode; torch's own seed is left alone."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module.eval()


def encoder(module: nn.Module, dim: int, name: str = "small") -> Encoder:
    return Encoder(module, dim=dim, transform=to_tensor, name=name)


def pooled(dim: int = 12, *, rectified: bool = True) -> Encoder:
    """Convolutions and global average pooling; features differ much between images."""
    first = nn.Conv2d(3, 12, 3, 2, padding=1)
    last = [nn.ReLU()] if rectified else []
    layers = [first, nn.ReLU(), nn.Conv2d(12, dim, 1, bias=False), *last]
    module = seeded(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with torch.no_grad():
        first.bias.copy_(-0.45 * first.weight.sum(dim=(1, 2, 3)))  # no feature is active on mean grey
    return encoder(module, dim, "pooled")


def flattened() -> Encoder:
    """A last map [5, 4, 4] that is flattened: 80 features."""
    layers = [nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return encoder(seeded(nn.Sequential(*layers)), 80, "flattened")


class Attention(nn.Module):
    """Single-head self-attention over tokens, with a residual: [n, t, c] -> [n, t, c]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(tokens).chunk(3, dim=-1)
        return tokens + (q @ k.transpose(1, 2)).softmax(dim=-1) @ v


class Transformer(nn.Module):
    """Patches of two pixels, a class token, blocks; h is the class token, or the mean of the patches."""

    def __init__(self, width: int = 6, *, mean: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 2, 2)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList([Attention(width) for _ in range(3)])
        self.mean = mean

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens[:, 1:].mean(dim=1) if self.mean else tokens[:, 0]


def transformer(*, mean: bool = False) -> Encoder:
    return encoder(seeded(Transformer(mean=mean)), 6, "transformer")
