"""Published encoders as plain functions of their tensors, under their published names.

Transcribed from the networks that the layouts' sources name; no class of torchvision, timm or karat is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]


def resnet_h(
    w: Weights, x: Tensor, *, stem: tuple[int, int] = (2, 3), pool: bool = True, same: bool = False, groups: int = 1
) -> Tensor:
    """A ResNet under torchvision's names; stem: stride and padding of conv1; same: TensorFlow's padding."""
    x = F.relu(norm(w, "bn1", conv(w, "conv1", x, *stem, same=same)))
    if pool and same:
        x = F.max_pool2d(pad_same(x, 3, 2), 3, 2)  # zeros are no maximum of what a ReLU made
    elif pool:
        x = F.max_pool2d(x, 3, 2, padding=1)
    for stage in range(1, 5):
        for block in range(count(w, f"layer{stage}.")):
            x = resnet_block(w, f"layer{stage}.{block}", x, 2 if stage > 1 and block == 0 else 1, same, groups)
    return x.mean(dim=(2, 3))


def resnet_block(w: Weights, name: str, x: Tensor, stride: int, same: bool, groups: int) -> Tensor:
    shortcut = x
    if f"{name}.downsample.0.weight" in w:
        shortcut = norm(w, f"{name}.downsample.1", conv(w, f"{name}.downsample.0", x, stride, 0))
    if f"{name}.conv3.weight" in w:
        x = F.relu(norm(w, f"{name}.bn1", conv(w, f"{name}.conv1", x, 1, 0)))
        x = F.relu(norm(w, f"{name}.bn2", conv(w, f"{name}.conv2", x, stride, 1, same=same, groups=groups)))
        x = norm(w, f"{name}.bn3", conv(w, f"{name}.conv3", x, 1, 0))
    else:
        x = F.relu(norm(w, f"{name}.bn1", conv(w, f"{name}.conv1", x, stride, 1, same=same)))
        x = norm(w, f"{name}.bn2", conv(w, f"{name}.conv2", x, 1, 1))
    return F.relu(x + shortcut)


def simclr_v2_h(w: Weights, x: Tensor, *, selective: bool) -> Tensor:
    """SimCLR v2's ResNet under the names of Separius/SimCLRv2-Pytorch."""
    if selective:
        x = F.relu(norm(w, "net.0.1.0", conv(w, "net.0.0", x, 2, 1)))
        x = F.relu(norm(w, "net.0.3.0", conv(w, "net.0.2", x, 1, 1)))
        x = F.relu(norm(w, "net.0.5.0", conv(w, "net.0.4", x, 1, 1)))
    else:
        x = F.relu(norm(w, "net.0.1.0", conv(w, "net.0.0", x, 2, 3)))
    x = F.max_pool2d(x, 3, 2, padding=1)
    for stage in range(1, 5):
        for block in range(count(w, f"net.{stage}.blocks.")):
            stride = 2 if stage > 1 and block == 0 else 1
            x = simclr_v2_block(w, f"net.{stage}.blocks.{block}", x, stride, selective)
    return x.mean(dim=(2, 3))


def simclr_v2_block(w: Weights, name: str, x: Tensor, stride: int, selective: bool) -> Tensor:
    shortcut = x
    if f"{name}.projection.bn.0.weight" in w and selective:
        averaged = F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, stride)
        shortcut = norm(w, f"{name}.projection.bn.0", conv(w, f"{name}.projection.shortcut.2", averaged, 1, 0))
    elif f"{name}.projection.bn.0.weight" in w:
        shortcut = norm(w, f"{name}.projection.bn.0", conv(w, f"{name}.projection.shortcut", x, stride, 0))
    x = F.relu(norm(w, f"{name}.net.1.0", conv(w, f"{name}.net.0", x, 1, 0)))
    if selective:
        x = selective_kernel(w, f"{name}.net.2", x, stride)
        x = norm(w, f"{name}.net.4.0", conv(w, f"{name}.net.3", x, 1, 0))
    else:
        x = F.relu(norm(w, f"{name}.net.3.0", conv(w, f"{name}.net.2", x, stride, 1)))
        x = norm(w, f"{name}.net.5.0", conv(w, f"{name}.net.4", x, 1, 0))
    return F.relu(x + shortcut)


def selective_kernel(w: Weights, name: str, x: Tensor, stride: int) -> Tensor:
    both = F.relu(norm(w, f"{name}.main_conv.1.0", conv(w, f"{name}.main_conv.0", x, stride, 1)))
    first, second = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
    pooled = (first + second).mean(dim=(2, 3), keepdim=True)
    mixed = F.relu(norm(w, f"{name}.mixing_conv.1.0", conv(w, f"{name}.mixing_conv.0", pooled, 1, 0)))
    mixed = conv(w, f"{name}.mixing_conv.2", mixed, 1, 0)
    one, two = mixed[:, : first.shape[1]].exp(), mixed[:, first.shape[1] :].exp()
    return (first * one + second * two) / (one + two)


def vit_h(w: Weights, x: Tensor, *, heads: int) -> Tensor:
    """The class token of a ViT under DINO's and DINOv2's names, with the scales, registers and gates that it has."""
    patch = w["patch_embed.proj.weight"].shape[-1]
    x = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=patch)
    side = x.shape[-1]
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], dim=1)
    x = x + positions(w, side)
    if "register_tokens" in w:
        registers = w["register_tokens"].expand(len(x), -1, -1)
        x = torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)
    for block in range(count(w, "blocks.")):
        name = f"blocks.{block}"
        x = x + w.get(f"{name}.ls1.gamma", 1.0) * attention(w, f"{name}.attn", layer_norm(w, f"{name}.norm1", x), heads)
        x = x + w.get(f"{name}.ls2.gamma", 1.0) * mlp(w, f"{name}.mlp", layer_norm(w, f"{name}.norm2", x))
    return layer_norm(w, "norm", x)[:, 0]


def positions(w: Weights, side: int) -> Tensor:
    """DINOv2's interpolate_pos_encoding: offset 0.1 without registers, antialiased with."""
    embedded = w["pos_embed"]
    old = math.isqrt(embedded.shape[1] - 1)
    if old == side:
        return embedded
    grid = embedded[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    if "register_tokens" in w:
        grid = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=True)
    else:
        scale = float(side + 0.1) / old
        grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic", antialias=False)
    return torch.cat([embedded[:, :1], grid.permute(0, 2, 3, 1).reshape(1, side * side, -1)], dim=1)


def attention(w: Weights, name: str, x: Tensor, heads: int) -> Tensor:
    q, k, v = split_heads(linear(w, f"{name}.qkv", x), heads)
    scores = (q @ k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
    mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
    return linear(w, f"{name}.proj", mixed)


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """[n, t, 3 d] -> three of [n, heads, t, d / heads]."""
    n, tokens, triple = qkv.shape
    q, k, v = qkv.reshape(n, tokens, 3, heads, triple // 3 // heads).permute(2, 0, 3, 1, 4)
    return q, k, v


def mlp(w: Weights, name: str, x: Tensor) -> Tensor:
    if f"{name}.w12.weight" in w:
        first, second = linear(w, f"{name}.w12", x).chunk(2, dim=-1)
        return linear(w, f"{name}.w3", F.silu(first) * second)
    return linear(w, f"{name}.fc2", F.gelu(linear(w, f"{name}.fc1", x)))


def xcit_h(w: Weights, x: Tensor, *, heads: int) -> Tensor:
    """XCiT's class token under the names of facebookresearch/xcit, with all tokens normalised (tokens_norm)."""
    convolutions = count(w, "patch_embed.proj.")
    for index in range(0, convolutions, 2):
        x = norm(w, f"patch_embed.proj.{index}.1", conv(w, f"patch_embed.proj.{index}.0", x, 2, 1))
        x = F.gelu(x) if index < convolutions - 1 else x
    height, width = x.shape[2:]
    x = x.flatten(2).transpose(1, 2) + fourier_positions(w, height, width)
    for block in range(count(w, "blocks.")):
        name = f"blocks.{block}"
        x = x + w[f"{name}.gamma1"] * cross_covariance(w, f"{name}.attn", layer_norm(w, f"{name}.norm1", x), heads)
        local = local_interaction(w, f"{name}.local_mp", layer_norm(w, f"{name}.norm3", x), height, width)
        x = x + w[f"{name}.gamma3"] * local
        x = x + w[f"{name}.gamma2"] * mlp(w, f"{name}.mlp", layer_norm(w, f"{name}.norm2", x))
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], dim=1)
    for block in range(count(w, "cls_attn_blocks.")):
        x = class_attention_block(w, f"cls_attn_blocks.{block}", x, heads)
    return layer_norm(w, "norm", x)[:, 0]


def fourier_positions(w: Weights, height: int, width: int) -> Tensor:
    """[1, height * width, d]: sines and cosines of the place, projected."""
    hidden = w["pos_embeder.token_projection.weight"].shape[1] // 2
    ys = torch.arange(1, height + 1) / (height + 1e-6) * 2 * math.pi
    xs = torch.arange(1, width + 1) / (width + 1e-6) * 2 * math.pi
    waves = 10000 ** (2 * (torch.arange(hidden) // 2) / hidden)

    def encoded(places: Tensor) -> Tensor:
        angles = places[:, None] / waves
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=2).flatten(1)

    rows = encoded(ys)[:, None].expand(height, width, hidden)
    columns = encoded(xs)[None].expand(height, width, hidden)
    grid = torch.cat([rows, columns], dim=2).permute(2, 0, 1)[None]
    return conv(w, "pos_embeder.token_projection", grid, 1, 0).flatten(2).transpose(1, 2)


def cross_covariance(w: Weights, name: str, x: Tensor, heads: int) -> Tensor:
    q, k, v = (part.transpose(-2, -1) for part in split_heads(linear(w, f"{name}.qkv", x), heads))
    scores = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)) * w[f"{name}.temperature"]
    mixed = (scores.softmax(dim=-1) @ v).permute(0, 3, 1, 2).flatten(2)
    return linear(w, f"{name}.proj", mixed)


def local_interaction(w: Weights, name: str, x: Tensor, height: int, width: int) -> Tensor:
    grid = x.transpose(1, 2).unflatten(2, (height, width))
    grid = F.gelu(conv(w, f"{name}.conv1", grid, 1, 1, groups=grid.shape[1]))
    grid = conv(w, f"{name}.conv2", norm(w, f"{name}.bn", grid), 1, 1, groups=grid.shape[1])
    return grid.flatten(2).transpose(1, 2)


def class_attention_block(w: Weights, name: str, x: Tensor, heads: int) -> Tensor:
    normed = layer_norm(w, f"{name}.norm1", x)
    q, k, v = split_heads(linear(w, f"{name}.attn.qkv", normed), heads)
    scores = (q[:, :, :1] @ k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
    token = linear(w, f"{name}.attn.proj", (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))
    x = layer_norm(w, f"{name}.norm2", x + w[f"{name}.gamma1"] * torch.cat([token, normed[:, 1:]], dim=1))
    token = w[f"{name}.gamma2"] * mlp(w, f"{name}.mlp", x[:, :1])
    return x + torch.cat([token, x[:, 1:]], dim=1)


def conv(w: Weights, name: str, x: Tensor, stride: int, padding: int, *, same: bool = False, groups: int = 1) -> Tensor:
    weight = w[f"{name}.weight"]
    if same:
        x, padding = pad_same(x, weight.shape[-1], stride), 0
    return F.conv2d(x, weight, w.get(f"{name}.bias"), stride, padding, groups=groups)


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's SAME: ceil(side / stride) pixels come out; an odd pixel of padding goes to the bottom right."""
    sides = []
    for side in (x.shape[3], x.shape[2]):
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides)


def norm(w: Weights, name: str, x: Tensor) -> Tensor:
    statistics = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    return F.batch_norm(x, *statistics, w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5)


def layer_norm(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-6)


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


def count(w: Weights, prefix: str) -> int:
    """One more than the largest index after a prefix."""
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in w if name.startswith(prefix))
