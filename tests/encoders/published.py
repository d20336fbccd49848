"""Published encoders with exactly their names and shapes; their weights are one number (strides of 0) or drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.models.xcit import Xcit
from torch import Tensor, nn
from torchvision import models

Shapes = dict[str, tuple[int, ...]]


_NOTHING, _NO_COUNT = torch.zeros(()), torch.zeros((), dtype=torch.long)


def hollow(shapes: Shapes, prefix: str = "", module: str = "") -> dict[str, Tensor]:
    """Tensors of these shapes that together take a few bytes: all are one number, with strides of 0."""
    counters = ("num_batches_tracked", "queue_ptr", "bank_ptr")
    return {
        f"{module}{prefix}{name}": (_NO_COUNT if name.endswith(counters) else _NOTHING).expand(shape)
        for name, shape in shapes.items()
    }


def drawn(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Tensors of these shapes with values like those of a trained network, so that h neither vanishes nor explodes."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(100)
        elif name.endswith("running_var"):
            weights[name] = 0.5 + torch.rand(shape, generator=generator)
        elif len(shape) > 1:
            fan_in = max(1, torch.Size(shape[1:]).numel()) if len(shape) != 3 else 1
            weights[name] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        else:
            one = name.endswith(("gamma", "gamma1", "gamma2", "gamma3")) or re.search(r"(bn|norm)\w*\.weight$", name)
            weights[name] = (1.0 if one else 0.0) + 0.2 * torch.randn(shape, generator=generator)
    return weights


def shapes_of(build: Callable[[], nn.Module], *, without: str = "fc.") -> Shapes:
    with torch.device("meta"):
        state = build().state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not name.startswith(without)}


def resnet(name: str) -> Shapes:
    """torchvision's ResNet of that name, without fc."""
    return shapes_of(getattr(models, name))


def wide_resnet(blocks: tuple[int, ...], width: int) -> Shapes:
    """A bottleneck ResNet with all channels multiplied, from the description in the papers."""
    stem = 64 * width
    shapes: Shapes = {"conv1.weight": (stem, 3, 7, 7), **batch_norm("bn1", stem)}
    inputs = stem
    for stage, count in enumerate(blocks):
        middle = 64 * width * 2**stage
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            shapes |= {f"{name}.conv1.weight": (middle, inputs, 1, 1), **batch_norm(f"{name}.bn1", middle)}
            shapes |= {f"{name}.conv2.weight": (middle, middle, 3, 3), **batch_norm(f"{name}.bn2", middle)}
            shapes |= {f"{name}.conv3.weight": (4 * middle, middle, 1, 1), **batch_norm(f"{name}.bn3", 4 * middle)}
            if block == 0:
                shapes |= {f"{name}.downsample.0.weight": (4 * middle, inputs, 1, 1)}
                shapes |= batch_norm(f"{name}.downsample.1", 4 * middle)
            inputs = 4 * middle
    return shapes


def cifar_resnet18() -> Shapes:
    return {**resnet("resnet18"), "conv1.weight": (64, 3, 3, 3)}


def batch_norm(name: str, channels: int) -> Shapes:
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{vector}": (channels,) for vector in vectors}, f"{name}.num_batches_tracked": ()}


def linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})


def vit(
    dim: int,
    depth: int,
    patch: int,
    *,
    tokens: int,
    registers: int = 0,
    scaled: bool = False,
    gated: int = 0,
) -> Shapes:
    """DINO's and DINOv2's ViT."""
    shapes: Shapes = {"cls_token": (1, 1, dim), "pos_embed": (1, tokens, dim)}
    shapes |= {"register_tokens": (1, registers, dim)} if registers else {}
    shapes |= {"patch_embed.proj.weight": (dim, 3, patch, patch), "patch_embed.proj.bias": (dim,)}
    for block in range(depth):
        name = f"blocks.{block}"
        shapes |= {f"{name}.norm1.weight": (dim,), f"{name}.norm1.bias": (dim,)}
        shapes |= {f"{name}.norm2.weight": (dim,), f"{name}.norm2.bias": (dim,)}
        shapes |= linear(f"{name}.attn.qkv", dim, 3 * dim) | linear(f"{name}.attn.proj", dim, dim)
        if gated:
            shapes |= linear(f"{name}.mlp.w12", dim, 2 * gated) | linear(f"{name}.mlp.w3", gated, dim)
        else:
            shapes |= linear(f"{name}.mlp.fc1", dim, 4 * dim) | linear(f"{name}.mlp.fc2", 4 * dim, dim)
        if scaled:
            shapes |= {f"{name}.ls1.gamma": (dim,), f"{name}.ls2.gamma": (dim,)}
    return {**shapes, "norm.weight": (dim,), "norm.bias": (dim,)}


def xcit(dim: int, depth: int, patch: int, heads: int = 8) -> Shapes:
    """facebookresearch/xcit's names: those of timm, with queries, keys and values of the class attention together."""
    timm = shapes_of(
        lambda: Xcit(patch_size=patch, embed_dim=dim, depth=depth, num_heads=heads, tokens_norm=True, num_classes=0)
    )
    shapes: Shapes = {}
    for name, shape in timm.items():
        if match := re.fullmatch(r"(cls_attn_blocks\.\d\.attn\.)[qkv](\..+)", name):
            shapes[f"{match[1]}qkv{match[2]}"] = (3 * dim, *shape[1:])
        else:
            shapes[name.replace("pos_embed.", "pos_embeder.")] = shape
    return shapes


def simclr_v2(blocks: tuple[int, ...], *, selective: bool) -> Shapes:
    """The names of Separius/SimCLRv2-Pytorch (resnet.py), width 1."""
    if selective:
        shapes: Shapes = {"net.0.0.weight": (32, 3, 3, 3), **batch_norm("net.0.1.0", 32)}
        shapes |= {"net.0.2.weight": (32, 32, 3, 3), **batch_norm("net.0.3.0", 32)}
        shapes |= {"net.0.4.weight": (64, 32, 3, 3), **batch_norm("net.0.5.0", 64)}
    else:
        shapes = {"net.0.0.weight": (64, 3, 7, 7), **batch_norm("net.0.1.0", 64)}
    inputs = 64
    for stage, count in enumerate(blocks, 1):
        middle = 32 * 2**stage
        for block in range(count):
            shapes |= _simclr_v2_block(f"net.{stage}.blocks.{block}", inputs, middle, block == 0, selective)
            inputs = 4 * middle
    return {**shapes, **linear("fc", inputs, 1000)}


def _simclr_v2_block(name: str, inputs: int, middle: int, projected: bool, selective: bool) -> Shapes:
    shapes: Shapes = {}
    if projected:
        shortcut = "shortcut.2" if selective else "shortcut"
        shapes |= {f"{name}.projection.{shortcut}.weight": (4 * middle, inputs, 1, 1)}
        shapes |= batch_norm(f"{name}.projection.bn.0", 4 * middle)
    shapes |= {f"{name}.net.0.weight": (middle, inputs, 1, 1), **batch_norm(f"{name}.net.1.0", middle)}
    if not selective:
        shapes |= {f"{name}.net.2.weight": (middle, middle, 3, 3), **batch_norm(f"{name}.net.3.0", middle)}
        return shapes | {
            f"{name}.net.4.weight": (4 * middle, middle, 1, 1),
            **batch_norm(f"{name}.net.5.0", 4 * middle),
        }
    mixing = max(middle // 16, 32)
    shapes |= {f"{name}.net.2.main_conv.0.weight": (2 * middle, middle, 3, 3)}
    shapes |= batch_norm(f"{name}.net.2.main_conv.1.0", 2 * middle)
    shapes |= {f"{name}.net.2.mixing_conv.0.weight": (mixing, middle, 1, 1)}
    shapes |= batch_norm(f"{name}.net.2.mixing_conv.1.0", mixing)
    shapes |= {f"{name}.net.2.mixing_conv.2.weight": (2 * middle, mixing, 1, 1)}
    return shapes | {f"{name}.net.3.weight": (4 * middle, middle, 1, 1), **batch_norm(f"{name}.net.4.0", 4 * middle)}


def dino_head(name: str, dim: int) -> Shapes:
    mlp = linear(f"{name}.mlp.0", dim, 2048) | linear(f"{name}.mlp.2", 2048, 2048) | linear(f"{name}.mlp.4", 2048, 256)
    return {**mlp, f"{name}.last_layer.weight_g": (65536, 1), f"{name}.last_layer.weight_v": (65536, 256)}


OPTIMIZER: dict[str, Any] = {"state": {}, "param_groups": [{"lr": 0.03}]}


@dataclass(frozen=True, eq=False)
class Published:
    """A checkpoint as it was published, and what it must be recognised as.

    Attributes:
        name: the official file.
        tree: what it holds.
        layout: its layout.
        architecture: what the encoder is.
        places: the encoder's own tensors.
        rules: the drop rules that apply.
        containers: where the keys are in the tree.
        prefix: of the encoder's keys, with "module." where the file has it; empty where there is none.
        ambiguous: the other layouts that place every key and prepare images differently; empty where there is none.
    """

    name: str
    tree: dict[str, Any]
    layout: str
    architecture: str
    places: int
    rules: frozenset[str] = frozenset()
    containers: tuple[str, ...] = ()
    prefix: str = ""
    ambiguous: frozenset[str] = frozenset()

    def save(self, folder: Path) -> Path:
        path = folder / self.name
        torch.save(self.tree, path)
        return path

    @property
    def keys(self) -> dict[str, Tensor]:
        """The container of the encoder's keys."""
        tree: Any = self.tree
        for container in self.containers:
            tree = tree[container]
        return tree  # type: ignore[no-any-return]


def replaced(tree: Mapping[str, Any], containers: tuple[str, ...], keys: dict[str, Tensor]) -> dict[str, Any]:
    """A tree with other keys in one container."""
    if not containers:
        return keys
    first, *rest = containers
    return {**tree, first: replaced(tree[first], tuple(rest), keys)}
