"""Architectures: what to build, by name or by karat's own description, and what h is of each."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .._optional import require
from ..errors import InputError
from .layouts import Layout

if TYPE_CHECKING:
    from torch import Tensor, nn

# builder -> its module here, its function, and what h is
BUILDERS: dict[str, tuple[str, str, str]] = {
    "small_resnet": ("small_resnet", "small_resnet", "global average pooling of the head, after its last ReLU"),
    "resnet": ("resnets", "resnet", "global average pooling of layer4, after its last ReLU"),
    "resnet_same": ("resnets", "resnet_same", "global average pooling of layer4, after its last ReLU"),
    "vit": ("vision_transformers", "vit", "class token of the last block, after the last norm"),
    "xcit": ("vision_transformers", "xcit", "class token after the last class-attention block and the last norm"),
    "timm": ("vision_transformers", "timm_model", "timm's pooled features, before its classifier"),
}
# builder -> the function that gives published tensors the module's names
_NAMES = {"vit": "vit_names", "xcit": "xcit_names"}

RESNETS: dict[str, tuple[str, tuple[int, ...]]] = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
    "resnet200": ("bottleneck", (3, 24, 36, 3)),
}
VITS = {"tiny": (192, 12), "small": (384, 12), "base": (768, 12), "large": (1024, 24), "huge": (1280, 32)}  # dim, depth
XCITS = {"small_12": (384, 12), "medium_24": (512, 24)}  # the ones that DINO trained; all have 8 heads
_EXAMPLES = (
    *RESNETS,
    "resnet50x2",
    "resnet50x4",
    "resnet200x2",
    *(f"vit_{size}_patch{patch}" for size in VITS for patch in (8, 14, 16)),
    *(f"xcit_{size}_p{patch}" for size in XCITS for patch in (8, 16)),
)


@dataclass(frozen=True)
class Architecture:
    """What to build.

    Attributes:
        name: "resnet50x2", "vit_small_patch16", ...
        builder: a key of `BUILDERS`.
        arguments: what the builder takes, as pairs of name and value.
    """

    name: str
    builder: str
    arguments: tuple[tuple[str, Any], ...]

    def build(self, device: str = "meta") -> nn.Module:
        """The module, in evaluation mode; on the meta device it has no memory, and no value of any kind."""
        torch = require("torch", "an encoder")
        module, function, _ = BUILDERS[self.builder]
        with torch.random.fork_rng(devices=[]), torch.device(device):  # where values are drawn, nobody else notices
            built: nn.Module = getattr(import_module(f".{module}", __package__), function)(**dict(self.arguments))
        return built.eval()

    def named(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Published tensors under the module's names."""
        if self.builder not in _NAMES:
            return dict(tensors)
        names = getattr(import_module(".vision_transformers", __package__), _NAMES[self.builder])
        renamed: dict[str, Tensor] = names(tensors)
        return renamed

    @property
    def h(self) -> str:
        """What h is, in words."""
        return BUILDERS[self.builder][2]


@lru_cache(maxsize=16)
def places_of(architecture: Architecture) -> dict[str, Tensor]:
    """An architecture's parameters and buffers, on the meta device; not to be changed."""
    return dict(architecture.build().state_dict())


@lru_cache(maxsize=16)
def dim_of(architecture: Architecture, size: int) -> int:
    """The number of features that an architecture makes of an image of `size` pixels.

    Raises:
        InputError: it takes no such images, or makes something else than a vector of them.
    """
    torch = require("torch", "an encoder")
    try:
        with torch.inference_mode():
            shape = tuple(architecture.build()(torch.zeros(1, 3, size, size, device="meta")).shape)
    except RuntimeError as error:
        raise InputError(f"{architecture.name} takes no images of {size} pixels: {error}") from error
    if len(shape) != 2:
        raise InputError(f"{architecture.name} makes {list(shape)} of an image, but one vector is needed")
    return shape[1]


def described(description: Mapping[str, Any], tensors: int) -> Architecture:
    """The architecture in karat's own description: {"architecture": a builder, "arguments": what it takes}.

    Args:
        description: as a file gives it: nothing in it is trusted.
        tensors: how many the file has; no network has more blocks than tensors.

    Raises:
        LookupError, TypeError, ValueError: it is no such description.
    """
    builder, arguments = description["architecture"], description["arguments"]
    if builder not in BUILDERS or builder == "timm":  # which would go where a name tells it to
        raise LookupError(f"{builder!r} is no architecture")
    fixed = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
    blocks, depth = fixed.get("blocks", 0), fixed.get("depth", 0)
    if max(depth, *blocks if isinstance(blocks, tuple) else (blocks,)) > tensors:
        raise ValueError(f"blocks {blocks} and depth {depth} are more than the {tensors} tensors")
    return Architecture(builder, builder, tuple(fixed.items()))


def by_name(name: str, layout: Layout) -> Architecture:
    """The architecture that `arch=` names, with what the layout knows beyond names.

    Raises:
        InputError: there is none of that name (the nearest ones are listed).
    """
    if name.startswith("timm:"):
        return Architecture(name, "timm", (("name", name.removeprefix("timm:")),))
    if match := re.fullmatch(r"(resnet\d+)(?:x(\d))?", name):
        if match[1] in RESNETS:
            block, blocks = RESNETS[match[1]]
            return resnet_architecture(blocks, block, width=int(match[2] or 1), stem=layout.stem)
    elif match := re.fullmatch(r"vit_([a-z]+)_patch(\d+)", name):
        if match[1] in VITS:
            dim, depth = VITS[match[1]]
            return vit_architecture(dim, depth, int(match[2]), layout, hidden=4 * dim)
    elif (match := re.fullmatch(r"xcit_(\w+)_p(8|16)", name)) and match[1] in XCITS:
        dim, depth = XCITS[match[1]]
        return xcit_architecture(dim, depth, 8, int(match[2]), layout)
    near = difflib.get_close_matches(name, _EXAMPLES, n=5, cutoff=0.3)
    raise InputError(f"arch is {name!r}, which is no architecture: {', '.join(near or RESNETS)}, ..., or timm:NAME")


def resnet_architecture(
    blocks: tuple[int, ...], block: str, *, width: int = 1, groups: int = 1, group_width: int = 64, stem: str = "7x7"
) -> Architecture:
    """A ResNet, named as torchvision names it where it does."""
    names = {resnet: name for name, resnet in RESNETS.items()}
    name = names.get(("basic" if block == "basic" else "bottleneck", blocks), f"resnet{list(blocks)}")
    parts = [
        f"x{width}" if width > 1 else "",
        f" ({groups} groups of {group_width})" if (groups, group_width) != (1, 64) else "",
        " with selective kernels" if block == "selective" else "",
        f" with the stem of {stem}" if stem != "7x7" else "",
    ]
    arguments = {"blocks": blocks, "block": block, "width": width, "groups": groups, "group_width": group_width}
    return Architecture(name + "".join(parts), "resnet", (*arguments.items(), ("stem", stem)))


def vit_architecture(dim: int, depth: int, patch: int, layout: Layout, *, hidden: int, **parts: Any) -> Architecture:
    """A vision transformer for the layout's image size, with its heads: one for 64 features if it names none."""
    sizes = {value: name for name, value in VITS.items()}
    name = f"vit_{sizes.get((dim, depth), f'{dim}x{depth}')}_patch{patch}"
    registers = parts.get("registers", 0)
    arguments = {
        "dim": dim,
        "depth": depth,
        "heads": dict(layout.heads).get(dim, max(1, dim // 64)),
        "patch": patch,
        "size": layout.preprocessing.size,
        "hidden": hidden,
        **parts,
    }
    return Architecture(name + (f"_reg{registers}" if registers else ""), "vit", tuple(arguments.items()))


def xcit_architecture(dim: int, depth: int, heads: int, patch: int, layout: Layout) -> Architecture:
    """An XCiT for the layout's image size."""
    sizes = {value: name for name, value in XCITS.items()}
    name = f"xcit_{sizes.get((dim, depth), f'{dim}x{depth}')}_p{patch}"
    arguments = {"dim": dim, "depth": depth, "heads": heads, "patch": patch, "size": layout.preprocessing.size}
    return Architecture(name, "xcit", tuple(arguments.items()))
