"""Encoders with random weights, and encoders in files of karat's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from .._files import atomic_path, digest_bytes
from ..encoders import Encoder, Preprocessing
from ..encoders.architectures import Architecture, by_name, dim_of
from ..encoders.checkpoint import sha256_of
from ..encoders.layouts import IMAGENET, Layout
from ..errors import InputError

_CIFAR = "-cifar"  # after the name of a ResNet: a stem for small images
_SMALL = Architecture(
    "small-resnet", "small_resnet", (("widths", (40, 80, 160)), ("blocks", 1), ("dim", 512))
)  # the demo's encoder


def fresh_encoder(name: str, *, preprocessing: Preprocessing, seed: int) -> Encoder:
    """An encoder with random weights: those that its layers draw from this seed.

    Args:
        name: "small-resnet" (the demo's encoder), "resnet18" and the others that `karat.load_encoder` takes as `arch`,
            or "resnet18-cifar": with the stem for small images, 3x3 of stride 1 and no pooling.
        preprocessing: of its images.
        seed: of the weights.

    Raises:
        InputError: there is none of that name, or it takes no images of that size.
    """
    if name.startswith("timm:"):
        raise InputError(
            f"{name} cannot be trained from scratch here, as no file of karat's own could say what it is: give a "
            "karat.Encoder of your own, or another name"
        )
    architecture = _SMALL if name == _SMALL.name else _named(name, preprocessing)
    dim = dim_of(architecture, preprocessing.size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = architecture.build(device="cpu")  # in a fork of the generator, which begins as this one is
    h = f"{architecture.h}, {dim:,} features"
    return Encoder(module, dim=dim, transform=preprocessing, name=name, h=h, architecture=architecture)


def save_encoder(encoder: Encoder, path: Path, *, training: Mapping[str, Any]) -> Encoder:
    """Write an encoder as safetensors, atomically, with the description that `karat.load_encoder` reads it by.

    Where karat did not build the module, the file has its weights without a description.

    Args:
        encoder: what is written.
        path: the file; what was there is replaced.
        training: how it was made, plain JSON.

    Returns:
        The encoder, with the digest of its file.

    Raises:
        OutputError: nothing could be written; what was there is untouched.
    """
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in encoder.module.state_dict().items()}
    description = description_of(encoder)
    metadata = None if description is None else {"karat": json.dumps({**description, "training": training})}
    with atomic_path(path) as temporary:
        save_file(weights, temporary, metadata=metadata)
    return replace(encoder, weights_sha256=sha256_of(path))


def description_of(encoder: Encoder) -> dict[str, Any] | None:
    """What karat builds the encoder's module again from, and its preprocessing; None where karat did not build it."""
    given = encoder.transform
    if encoder.architecture is None or not isinstance(given, Preprocessing):
        return None
    return {
        "architecture": encoder.architecture.builder,
        "arguments": dict(encoder.architecture.arguments),
        "input": {
            "size": given.size,
            "mean": given.mean,
            "std": given.std,
            "resize": given.resize,
            "interpolation": given.interpolation,
        },
    }


def weights_digest(module: torch.nn.Module) -> str:
    """xxh3-128 of names, types and values of all weights and buffers."""
    return state_digest(module.state_dict())


def state_digest(state: Mapping[str, torch.Tensor]) -> str:
    """The same of tensors by name."""
    parts: list[bytes | memoryview] = []
    for name, value in state.items():
        flat = value.detach().cpu().contiguous().reshape(-1)
        parts += [f"{name} {value.dtype} {list(value.shape)}".encode(), flat.view(torch.uint8).numpy().data]
    return digest_bytes(*parts)


def _named(name: str, preprocessing: Preprocessing) -> Architecture:
    small = name.startswith("resnet") and name.endswith(_CIFAR)
    layout = Layout(
        "karat",
        places=(),
        drop=(),
        preprocessing=replace(IMAGENET, size=preprocessing.size, resize=None),
        families=("resnet", "vit", "xcit"),
        source="",
        stem="solo-learn-cifar" if small else "7x7",
    )
    try:
        return by_name(name.removesuffix(_CIFAR) if small else name, layout)
    except InputError as error:
        raise InputError(f"{error}. From scratch there are small-resnet and resnet18-cifar too") from error
