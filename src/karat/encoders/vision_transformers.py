"""Vision transformers on timm's classes, and what published weights call their parts."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .._optional import require
from ..errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

_PURPOSE = "a vision transformer"


def vit(
    *,
    dim: int,
    depth: int,
    heads: int,
    patch: int,
    size: int,
    hidden: int,
    qkv_bias: bool = True,
    layer_scale: bool = False,
    gated: bool = False,
    registers: int = 0,
) -> nn.Module:
    """timm's VisionTransformer: images [n, 3, size, size] -> h [n, dim], the class token after the last norm.

    Args:
        dim, depth, heads: width, blocks, and attention heads of each block.
        patch, size: of a patch and of the image, in pixels.
        hidden: width of the first layer of a block's MLP.
        qkv_bias: whether queries, keys and values have a bias.
        layer_scale: whether each branch is scaled (DINOv2).
        gated: whether the MLP is a SwiGLU (DINOv2 giant).
        registers: register tokens (DINOv2 with registers).
    """
    timm, layers, torch = (
        require(name, _PURPOSE) for name in ("timm.models.vision_transformer", "timm.layers", "torch")
    )
    module: nn.Module = timm.VisionTransformer(
        img_size=size,
        patch_size=patch,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        mlp_ratio=(hidden + 0.5) / dim,  # timm rounds the product down
        qkv_bias=qkv_bias,
        init_values=1.0 if layer_scale else None,
        mlp_layer=layers.SwiGLUPacked if gated else layers.Mlp,
        act_layer=torch.nn.SiLU if gated else torch.nn.GELU,
        reg_tokens=registers,
        no_embed_class=registers > 0,  # where the class token has its position added already
        num_classes=0,
        global_pool="token",
    )
    return module


def xcit(*, dim: int, depth: int, heads: int, patch: int, size: int) -> nn.Module:
    """timm's XCiT, as DINO trained it: images [n, 3, size, size] -> h [n, dim], the class token after the last norm."""
    module: nn.Module = require("timm.models.xcit", _PURPOSE).Xcit(
        img_size=size,
        patch_size=patch,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        tokens_norm=True,
        num_classes=0,
    )
    return module


def timm_model(*, name: str) -> nn.Module:
    """Any model of timm without its classifier, without weights."""
    timm = require("timm", _PURPOSE)
    try:
        module: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:  # an unknown name, among others
        near = difflib.get_close_matches(name, timm.list_models(), n=5)
        raise InputError(
            f"timm cannot make {name!r} ({error}): {', '.join(near) or 'see timm.list_models()'}"
        ) from error
    return module


def vit_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """DINOv2's names as timm's; with registers, the class token takes its position embedding along."""
    renamed = {
        name.replace(".mlp.w12.", ".mlp.fc1.").replace(".mlp.w3.", ".mlp.fc2."): tensor
        for name, tensor in tensors.items()
    }
    if "register_tokens" not in renamed:
        return renamed
    renamed["reg_token"] = renamed.pop("register_tokens")
    token, positions = renamed.get("cls_token"), renamed.get("pos_embed")
    if positions is not None and positions.ndim == 3:
        renamed["pos_embed"] = positions[:, 1:]
        if token is not None and token.shape == positions[:, :1].shape:
            renamed["cls_token"] = token.float() + positions[:, :1].float()
    return renamed


def xcit_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of facebookresearch/xcit as timm's, whose class attention keeps queries, keys and values apart."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        joint = re.fullmatch(r"(cls_attn_blocks\.\d+\.attn\.)qkv(\.weight|\.bias)", name)
        if joint and tensor.ndim:
            parts = zip("qkv", tensor.chunk(3), strict=False)  # fewer than three show as missing
            renamed.update({f"{joint[1]}{letter}{joint[2]}": part for letter, part in parts})
        else:
            renamed[name.replace("pos_embeder.", "pos_embed.")] = tensor
    return renamed


def resampled_positions(positions: Tensor, side: int, *, antialias: bool) -> Tensor:
    """Position embeddings [1, 1 + m * m, d], class token first, for side * side patches.

    As the authors of DINOv2 resample them (models/vision_transformer.py, interpolate_pos_encoding): bicubic; with
    registers to the size, antialiased; without, by a factor that is 0.1 patches too large.
    """
    functional = require("torch.nn.functional", _PURPOSE)
    old = math.isqrt(positions.shape[1] - 1)
    grid = positions[:, 1:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)  # [1, d, m, m]
    if antialias:
        grid = functional.interpolate(grid, size=(side, side), mode="bicubic", antialias=True)
    else:
        grid = functional.interpolate(grid, scale_factor=((side + 0.1) / old,) * 2, mode="bicubic")
    patches = grid.permute(0, 2, 3, 1).flatten(1, 2)  # [1, side * side, d]
    joined: Tensor = require("torch", _PURPOSE).cat([positions[:, :1].float(), patches], dim=1)
    return joined
