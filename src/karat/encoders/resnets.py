"""ResNets on torchvision's classes, with what published encoders change: width, padding, stem, selective kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet, conv1x1, conv3x3

from .._optional import require

Block = Literal["basic", "bottleneck", "selective"]
Stem = Literal["7x7", "solo-learn-cifar"]


def resnet(
    *,
    blocks: list[int],
    block: Block,
    width: int = 1,
    groups: int = 1,
    group_width: int = 64,
    stem: Stem = "7x7",
) -> ResNet:
    """torchvision's ResNet without its classifier: images [n, 3, s, s] -> h [n, 512 * width] or [n, 2048 * width].

    Args:
        blocks: residual blocks in each of the four stages.
        block: "basic", "bottleneck", or "selective": SimCLR v2's bottleneck with a selective kernel.
        width: multiplies all channels (resnet50x2, ...).
        groups, group_width: of the 3x3 convolution of a bottleneck (ResNeXt: more groups; wide_resnet50_2: 128).
        stem: "7x7": torchvision's; "solo-learn-cifar": 3x3, stride 1, padding 2, and no max-pooling.
    """
    kinds = {"basic": BasicBlock, "bottleneck": Bottleneck, "selective": SelectiveBottleneck}
    module = ResNet(kinds[block], blocks, groups=groups, width_per_group=group_width)
    if width > 1:
        _widen(module, kinds[block], blocks, width)
    if block == "selective":
        module.conv1 = _three_convolutions(module.conv1.out_channels)
    if stem == "solo-learn-cifar":
        module.conv1 = nn.Conv2d(3, module.conv1.out_channels, 3, stride=1, padding=2, bias=False)
        module.maxpool = nn.Identity()
    module.fc = nn.Identity()
    return module


def resnet_same(*, blocks: list[int], width: int = 1, block: Block = "bottleneck") -> ResNet:
    """A ResNet that pads as TensorFlow and JAX do ("SAME"): where the stride is 2, more at the bottom and the right.

    BYOL's networks (deepmind-research, byol/utils/networks.py). torchvision pads both sides alike, and so would see an
    image that is shifted by a pixel in every such layer.
    """
    layers = require("timm.layers", "BYOL's padding")
    module = resnet(blocks=blocks, block=block, width=width)
    for name, part in list(module.named_modules()):
        if isinstance(part, nn.Conv2d) and part.stride == (2, 2):
            parent, _, own = name.rpartition(".")
            same = layers.Conv2dSame(part.in_channels, part.out_channels, part.kernel_size, part.stride, bias=False)
            setattr(module.get_submodule(parent), own, same)
    module.maxpool = layers.create_pool2d("max", 3, 2, padding="same")
    return module


class SelectiveKernel(nn.Module):
    """Two 3x3 convolutions, mixed for each image and channel: sum_k softmax_k(mixing(mean)) * relu(branch_k).

    Reference: Li et al., "Selective Kernel Networks", CVPR 2019, with two 3x3 branches as in SimCLR v2
    (Separius/SimCLRv2-Pytorch, resnet.py).
    """

    ratio, least = 0.0625, 32  # of the channels that decide how the branches are mixed

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        middle = max(int(channels * self.ratio), self.least)
        self.main = nn.Sequential(
            conv3x3(channels, 2 * channels, stride), nn.BatchNorm2d(2 * channels), nn.ReLU(inplace=True)
        )
        self.mixing = nn.Sequential(
            conv1x1(channels, middle), nn.BatchNorm2d(middle), nn.ReLU(inplace=True), conv1x1(middle, 2 * channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack(self.main(x).chunk(2, dim=1))  # [2, n, c, h, w]
        mixing = self.mixing(branches.sum(dim=0).mean(dim=(2, 3), keepdim=True))  # [n, 2c, 1, 1]
        weights = torch.stack(mixing.chunk(2, dim=1)).softmax(dim=0)
        return (branches * weights).sum(dim=0)


class SelectiveBottleneck(Bottleneck):  # type: ignore[misc]
    """torchvision's bottleneck with a selective kernel, and a shortcut that averages before it shrinks."""

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Sequential | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__(inplanes, planes, stride, downsample, groups, base_width, dilation, norm_layer)
        self.conv2 = SelectiveKernel(planes, stride)
        self.bn2 = nn.Identity()  # the selective kernel has its own
        if downsample is not None:
            averages = (nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, stride))
            self.downsample = nn.Sequential(*averages, conv1x1(inplanes, planes * self.expansion), downsample[1])


def _widen(module: ResNet, block: type[BasicBlock | Bottleneck], blocks: list[int], width: int) -> None:
    """Multiply the channels of stem and stages; torchvision itself widens only the middle of a bottleneck."""
    module.inplanes = 64 * width
    module.conv1 = nn.Conv2d(3, module.inplanes, 7, stride=2, padding=3, bias=False)
    module.bn1 = nn.BatchNorm2d(module.inplanes)
    for stage, count in enumerate(blocks):
        layer = module._make_layer(block, 64 * width * 2**stage, count, stride=2 if stage else 1)
        setattr(module, f"layer{stage + 1}", layer)


def _three_convolutions(channels: int) -> nn.Sequential:
    """The stem of SimCLR v2 with selective kernels, up to its last normalisation."""
    half = channels // 2
    first = (conv3x3(3, half, 2), nn.BatchNorm2d(half), nn.ReLU(inplace=True))
    second = (conv3x3(half, half), nn.BatchNorm2d(half), nn.ReLU(inplace=True))
    return nn.Sequential(*first, *second, conv3x3(half, channels))
