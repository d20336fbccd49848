"""From the names and shapes of an encoder's tensors to its architecture.

Where several tensors tell the same number, most of them decide: one tensor that is missing or damaged must not change
what the report says of the others.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from ..errors import InputError
from .architectures import Architecture, resnet_architecture, vit_architecture, xcit_architecture
from .layouts import Family, Layout

Shapes = Mapping[str, tuple[int, ...]]
_PATCHES = (8, 14, 16, 32)


def infer(shapes: Shapes, layout: Layout) -> Architecture:
    """The architecture of the tensors with these shapes, under torchvision's, DINO's or DINOv2's names.

    Raises:
        InputError: they are of no architecture that the layout may hold.
    """
    family = _family(shapes)
    if family not in layout.families:
        raise InputError(f"its tensors are those of a {family}, but it holds {' or '.join(layout.families)}")
    infer_family = {"resnet": _resnet, "selective_resnet": _resnet, "vit": _vit, "xcit": _xcit}[family]
    return infer_family(shapes, layout)


def _family(shapes: Shapes) -> Family:
    if any(name.startswith("cls_attn_blocks.") for name in shapes):
        return "xcit"
    if any(re.match(r"blocks\.\d+\.attn\.", name) for name in shapes):
        return "vit"
    if any(re.match(r"layer1\.\d+\.conv2\.main\.", name) for name in shapes):
        return "selective_resnet"
    if any(re.match(r"layer1\.\d+\.conv", name) for name in shapes):
        return "resnet"
    raise InputError("its tensors are those of no architecture that karat knows")


def _resnet(shapes: Shapes, layout: Layout) -> Architecture:
    blocks = tuple(_count(shapes, rf"layer{stage}\.(\d+)\.") for stage in range(1, 5))
    if _family(shapes) == "selective_resnet":
        block = "selective"
    else:
        block = "bottleneck" if any(re.match(r"layer\d\.\d+\.conv3\.", name) for name in shapes) else "basic"
    last, planes = ("bn2", 64) if block == "basic" else ("bn3", 256)
    width = _most(
        size[0] / (planes * 2**stage) for stage, size in _of_stages(shapes, rf"\d+\.{last}\.weight") if len(size) == 1
    )
    if block != "bottleneck":
        return resnet_architecture(blocks, block, width=width, stem=layout.stem)
    middles = [(stage, size) for stage, size in _of_stages(shapes, r"\d+\.conv2\.weight") if len(size) == 4]
    groups = _most(size[0] / size[1] for _, size in middles)
    group_width = _most(size[0] / (width * 2**stage * groups) for stage, size in middles)
    return resnet_architecture(blocks, block, width=width, groups=groups, group_width=group_width, stem=layout.stem)


def _vit(shapes: Shapes, layout: Layout) -> Architecture:
    dim = _most(size[0] for size in _of(shapes, r"blocks\.\d+\.norm1\.weight"))
    hidden = _most(size[0] for size in _of(shapes, r"blocks\.\d+\.mlp\.(fc1|w12)\.bias"))
    registers = shapes.get("register_tokens", (1, 0))
    return vit_architecture(
        dim,
        _count(shapes, r"blocks\.(\d+)\."),
        _patch(shapes),
        layout,
        hidden=hidden,
        qkv_bias=bool(_of(shapes, r"blocks\.\d+\.attn\.qkv\.bias")),
        layer_scale=bool(_of(shapes, r"blocks\.\d+\.ls1\.gamma")),
        gated=bool(_of(shapes, r"blocks\.\d+\.mlp\.w12\.bias")),
        registers=registers[1] if len(registers) == 3 else 0,
    )


def _xcit(shapes: Shapes, layout: Layout) -> Architecture:
    dim = _most(size[0] for size in _of(shapes, r"blocks\.\d+\.norm1\.weight"))
    heads = _most(size[0] for size in _of(shapes, r"blocks\.\d+\.attn\.temperature"))
    halvings = _count(shapes, r"patch_embed\.proj\.(\d+)\.0\.weight") // 2 + 1  # an activation between two convolutions
    return xcit_architecture(dim, _count(shapes, r"blocks\.(\d+)\."), heads, 2**halvings, layout)


def _patch(shapes: Shapes) -> int:
    """The side of a patch, from its embedding; 16 where that is missing or no square of a usual size."""
    size = shapes.get("patch_embed.proj.weight", (0,))
    return size[-1] if len(size) == 4 and size[-1] in _PATCHES else 16


def _of(shapes: Shapes, pattern: str) -> list[tuple[int, ...]]:
    return [size for name, size in shapes.items() if size and re.fullmatch(pattern, name)]


def _of_stages(shapes: Shapes, pattern: str) -> Iterable[tuple[int, tuple[int, ...]]]:
    """Stage, from 0, and shape of what a pattern names in each stage of a ResNet."""
    return ((stage, size) for stage in range(4) for size in _of(shapes, rf"layer{stage + 1}\.{pattern}"))


def _count(shapes: Shapes, pattern: str) -> int:
    """One more than the largest index that a pattern finds."""
    found = [int(match[1]) for name in shapes if (match := re.match(pattern, name))]
    if not found or max(found) >= len(shapes):  # more blocks than tensors: no network, and none to build
        raise InputError(f"its tensors named like {pattern} make no sense, or are missing")
    return max(found) + 1


def _most(values: Iterable[float]) -> int:
    """The most frequent of some numbers, which must be whole and positive."""
    counts = Counter(values)
    if not counts:
        raise InputError("the tensors that tell its width are missing")
    number = counts.most_common(1)[0][0]
    if number < 1 or not math.isclose(number, round(number)):
        raise InputError(f"its tensors have a width of {number:g} times the usual, but a whole number is needed")
    return round(number)
