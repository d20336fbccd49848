"""load_encoder: from a name or a file to an encoder; every key of the file is accounted for, or it is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .._optional import require
from ..errors import FileFormatError, InputError, InputTypeError
from .architectures import BUILDERS, described
from .checkpoint import Checkpoint, read_checkpoint
from .coverage import Coverage
from .encoder import Encoder, Preprocessing
from .recognition import Match, file_coverage, fit, recognise

if TYPE_CHECKING:
    from torch import nn

Progress = Callable[[int, int], None]

_LIBRARIES = ("timm", "torchvision", "hf")
_SUFFIXES = (".tar", ".pth", ".pt", ".ckpt", ".torch", ".safetensors", ".onnx", ".pkl", ".bin")


def load_encoder(
    encoder: str | os.PathLike[str] | Encoder,
    *,
    arch: str | None = None,
    layout: str | None = None,
    unsafe_load: bool = False,
    progress: Progress | None = None,
) -> Encoder:
    """Load an encoder with its weights, the preprocessing that belongs to them, and what h is of it.

    Of a checkpoint, the layout is recognised (`karat.encoders.layouts`). Every key must be the encoder's or be dropped
    by a rule of the layout, and every parameter and buffer must get its tensor: nothing is ever left at random.
    Half-precision weights become float32.

    Args:
        encoder: a checkpoint, an .onnx file, the name of a published encoder (`karat encoders` lists them),
            "timm:NAME", "torchvision:NAME", "hf:REPO", or an Encoder, which is returned as it is.
        arch: the architecture of a checkpoint, where it cannot be inferred: "resnet50", "vit_small_patch16",
            "timm:NAME" ...
        layout: the layout of a checkpoint, where several fit: "simclr-v1", "dino" ...
        unsafe_load: load a checkpoint that asks for more than weights, which can run any code in it.
        progress: called with (bytes done, bytes in all) while a published encoder is downloaded.

    Returns:
        The encoder, in evaluation mode, on the CPU.

    Raises:
        InputError: there is no such file or name; keys or places are left without each other (the message has the
            report of `inspect`); or several layouts fit that prepare images differently.
        FileFormatError: the file is truncated, of another format, or asks for more than weights.

    >>> from importlib.resources import files
    >>> load_encoder(files("karat.demo") / "data" / "encoder.safetensors").dim
    512
    """
    if isinstance(encoder, Encoder):
        return encoder
    if not isinstance(encoder, str | os.PathLike):
        raise InputTypeError(f"encoder is a {type(encoder).__name__}, but a path, a name or a karat.Encoder is needed")
    source = os.fspath(encoder)
    library, colon, name = source.partition(":")
    path = Path(source)
    elsewhere = (colon and library in _LIBRARIES) or path.suffix.lower() == ".onnx"
    if elsewhere and (arch or layout):
        raise InputError(f"arch and layout are for checkpoints, but the encoder is {source}, which says its own")
    if elsewhere:
        return _from_library(library if colon else "onnx", name if colon else source)
    if path.exists() or not _is_name(source):
        return _from_file(path, arch=arch, layout=layout, unsafe=unsafe_load)
    return _published(source, arch=arch, layout=layout, unsafe=unsafe_load, progress=progress)


def inspect(
    path: str | os.PathLike[str], *, arch: str | None = None, layout: str | None = None, unsafe_load: bool = False
) -> Coverage:
    """What `load_encoder` would make of a checkpoint: the layout, and what becomes of every key.

    Args:
        path: the file.
        arch, layout, unsafe_load: as in `load_encoder`.

    Returns:
        The coverage; it prints as a table, and `complete` says whether the file can be loaded.

    Raises:
        InputError: there is no such file, architecture or layout.
        FileFormatError: as in `load_encoder`.
    """
    return _matched(read_checkpoint(path, unsafe=unsafe_load), arch=arch, layout=layout).coverage


def _is_name(source: str) -> bool:
    """Whether something that is no file could be the name of a published encoder."""
    return os.sep not in source and "/" not in source and not source.lower().endswith(_SUFFIXES)


def _from_library(library: str, name: str) -> Encoder:
    from . import libraries

    load = {
        "timm": libraries.from_timm,
        "torchvision": libraries.from_torchvision,
        "hf": libraries.from_hf,
        "onnx": libraries.from_onnx,
    }
    return load[library](name)


def _published(name: str, *, arch: str | None, layout: str | None, unsafe: bool, progress: Progress | None) -> Encoder:
    from . import hub

    row = hub.find(name)
    path = hub.fetch(row, progress=progress)
    if row.layout == "transformers":
        encoder = _from_library("hf", os.fspath(path))
    else:
        encoder = _from_file(path, arch=arch, layout=layout or row.layout, unsafe=unsafe)
    return replace(encoder, name=row.name)


def _from_file(path: Path, *, arch: str | None, layout: str | None, unsafe: bool) -> Encoder:
    checkpoint = read_checkpoint(path, unsafe=unsafe)
    match = _matched(checkpoint, arch=arch, layout=layout)
    coverage = match.coverage
    if not coverage.complete:
        raise InputError(f"{path} is not loaded:\n\n{coverage}")
    return Encoder(
        _filled(match),
        dim=coverage.dim,
        transform=match.preprocessing,
        name=_stem(path),
        weights_sha256=checkpoint.sha256,
        h=coverage.h,
        layout=coverage.layout,
        architecture=match.architecture,
    )


def _matched(checkpoint: Checkpoint, *, arch: str | None, layout: str | None) -> Match:
    """By the file's own description where it has one and nothing else is asked for, else by a layout."""
    if layout == "karat" or ("karat" in checkpoint.metadata and not arch and not layout):
        return _described(checkpoint)
    return recognise(checkpoint, arch=arch, layout=layout)


def _described(checkpoint: Checkpoint) -> Match:
    """A file of karat's own: under "karat", its metadata hold the architecture, its arguments and the input (JSON)."""
    try:
        description = json.loads(checkpoint.metadata["karat"])
        given = description["input"]
        preprocessing = Preprocessing(
            given["size"],
            tuple(given["mean"]),
            tuple(given["std"]),
            resize=given.get("resize"),
            interpolation=given.get("interpolation", "bilinear"),
        )
        coverage = replace(
            file_coverage(checkpoint),
            layout="karat",
            why="its metadata describe it",
            preprocessing=repr(preprocessing),
        )
        keys = {name: name for name in checkpoint.tree}
        architecture = described(description, len(keys))
        return fit(checkpoint.tree, architecture, preprocessing, coverage, keys=keys)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise FileFormatError(
            f"{checkpoint.path} does not describe an encoder of karat ({type(error).__name__}: {error}): its metadata "
            f"need, under 'karat', an architecture ({', '.join(BUILDERS)}), its arguments, and input with size, mean "
            "and std"
        ) from error


def _filled(match: Match) -> nn.Module:
    """The module with the file's tensors, in memory of its own, floating-point ones as float32."""
    torch = require("torch", "loading an encoder")
    assert match.architecture is not None and match.tensors is not None  # as its coverage is complete
    tensors = {
        name: tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
        for name, tensor in match.tensors.items()
    }
    tensors |= {name: torch.zeros((), dtype=torch.long) for name in match.coverage.absent}
    module = match.architecture.build()
    module.load_state_dict(tensors, strict=True, assign=True)
    if any(buffer.is_meta for buffer in module.buffers()):  # tables that a module computes and no file holds
        module = match.architecture.build(device="cpu")
        module.load_state_dict(tensors, strict=True, assign=True)
    return module


def _stem(path: Path) -> str:
    """
    >>> _stem(Path("weights/moco_v2_800ep_pretrain.pth.tar"))
    'moco_v2_800ep_pretrain'
    """
    name = path.name
    while name.lower().endswith(_SUFFIXES):
        name = Path(name).stem
    return name or path.name
