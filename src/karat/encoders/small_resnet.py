"""A small residual network for 32-pixel images, with wide non-negative features: the demo's encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut: [n, inputs, s, s] -> [n, outputs, s / stride, s / stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs and stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class SmallResNet(nn.Module):
    """Images [n, 3, 32, 32] -> h [n, dim], non-negative: the average over space of a last ReLU.

    A 5x5 stem of stride 2, one stage of `blocks` residual blocks per width (each stage halves the side, the first
    excepted), a 1x1 convolution to `dim` channels, ReLU, global average pooling. `features` returns the map before
    the pooling, so that a channel of it is the exact Grad-CAM of that feature.

    Args:
        widths: channels of the stages.
        blocks: residual blocks in each stage.
        dim: number of features d.
    """

    def __init__(self, widths: tuple[int, ...] = (40, 80, 160), blocks: int = 1, dim: int = 512) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 5, 2, padding=2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        stages: list[nn.Module] = []
        inputs = widths[0]
        for index, width in enumerate(widths):
            for block in range(blocks):
                stages.append(Residual(inputs, width, stride=2 if index and not block else 1))
                inputs = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.Conv2d(inputs, dim, 1, bias=False), nn.BatchNorm2d(dim), nn.ReLU())

    def features(self, images: Tensor) -> Tensor:
        """The last spatial map, [n, 3, s, s] -> [n, dim, s/8, s/8]."""
        return self.head(self.stages(self.stem(images)))

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images).mean(dim=(2, 3))  # [n, dim]


def small_resnet(*, widths: list[int], blocks: int, dim: int) -> SmallResNet:
    """A SmallResNet from the arguments that a file's metadata hold."""
    return SmallResNet(tuple(widths), blocks, dim)
