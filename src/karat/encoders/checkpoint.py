"""Checkpoints: what a file of weights holds, as plain containers and tensors. Nothing in it is executed."""

from __future__ import annotations

import argparse
import hashlib
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .._optional import require
from ..errors import FileFormatError
from .file_format import Format, format_of
from .pickles import STAND_INS, Array, Config, Inert, Namespace, Node, globals_of

if TYPE_CHECKING:
    from torch import Tensor

_PURPOSE = "reading a checkpoint"
_LEGACY_PICKLES = 5  # magic number, protocol, system, the object itself, keys of its storages
_DEEPEST, _MOST = 64, 200_000  # nesting, and containers and values together


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        path: the file.
        tree: dictionaries, lists, numbers, strings, None and tensors; tensors are on the CPU, mapped into memory
            where the format allows it, and may have strides of 0.
        metadata: the strings beside the tensors of a safetensors file; empty for the others.
        sha256: of the file.
        format: told by its content.
    """

    path: Path
    tree: Any
    metadata: dict[str, str]
    sha256: str
    format: Format


def read_checkpoint(path: str | os.PathLike[str], *, unsafe: bool = False) -> Checkpoint:
    """Read a checkpoint: safetensors, or what torch.save wrote, today or before torch 1.6.

    A file of torch is a pickle. It may ask for tensors, plain containers, and the few classes in `pickles.STAND_INS`,
    whose data become plain dictionaries (argparse.Namespace, Lightning's and omegaconf's containers) and numbers
    (NumPy's). Anything else is refused before loading, with the list of what the file asks for.

    Args:
        path: the file; its format is told by its content.
        unsafe: load a file that asks for other classes all the same, which can run any code in it. A module becomes
            its state_dict(), an object of another class the name of its class.

    Returns:
        What it holds.

    Raises:
        InputError: there is no such file.
        FileFormatError: the file is no checkpoint, truncated, promises more than it has, or asks for other classes.
    """
    path = Path(path)
    kind = format_of(path)
    metadata: dict[str, str] = {}
    if kind == "safetensors":
        metadata, tree = _read_safetensors(path)
    else:
        others = _other_globals(path, kind)
        if others and not unsafe:
            raise FileFormatError(
                f"{path} asks for more than weights: {', '.join(others)}. Loading these can run code in the file, so "
                "it is refused. If you trust whoever made it, load it with --unsafe-load (unsafe_load=True), or ask "
                "them for a safetensors file"
            )
        tree = _Plainer(path)(_read_torch(path, kind, weights_only=not others))
    return Checkpoint(path, tree, metadata, sha256_of(path), kind)


def _read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    safetensors = require("safetensors", _PURPOSE)
    require("torch", _PURPOSE)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # the library raises its own, and whatever torch raises on a type that it lacks
        raise FileFormatError(f"{path} cannot be read as safetensors: {error}") from error


def _read_torch(path: Path, kind: Format, *, weights_only: bool) -> Any:
    torch = require("torch", _PURPOSE)
    allowed = [(stand_in, name) for name, stand_in in STAND_INS.items()] if weights_only else []
    mapped = kind == "torch zip" and path.suffix != ".safetensors"  # whose content torch would not look at
    try:
        with (
            torch.serialization.safe_globals(allowed),
            warnings.catch_warnings(),
            nullcontext(path) if mapped else open(path, "rb") as source,
        ):
            warnings.simplefilter("ignore")  # about other protocols and sparse tensors: refused if they do not load
            return torch.load(source, map_location="cpu", weights_only=weights_only, mmap=mapped)
    except Exception as error:  # torch.load raises whatever its parts raise
        raise FileFormatError(f"{path} is truncated or damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The part of torch's message that says what is wrong, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if "weights only load failed" not in line.lower()]
    told = next((line for line in lines if line and "weights_only" not in line), "")
    return f"{type(error).__name__}: {told[:200]}" if told else type(error).__name__


def _other_globals(path: Path, kind: Format) -> list[str]:
    """What a file asks for besides tensors, plain containers and the stand-ins."""
    unpickler = require("torch._weights_only_unpickler", _PURPOSE)
    try:
        asked = set(_asked(path, kind))
    except (ValueError, LookupError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path} is truncated or damaged: its pickle cannot be read ({error})") from error
    return sorted(asked - STAND_INS.keys() - unpickler._get_allowed_globals().keys())


def _asked(path: Path, kind: Format) -> Iterator[str]:
    """The globals that all pickles of a file ask for."""
    if kind == "torch zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.partition("/")[2] == "data.pkl":
                    with archive.open(name) as file:
                        yield from globals_of(file)
    else:
        with open(path, "rb") as file:
            for _ in range(_LEGACY_PICKLES):
                yield from globals_of(file)


class _Plainer:
    """Makes what a pickle held plain, and refuses what is larger than the file.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.torch: ModuleType = require("torch", _PURPOSE)
        self.path = path
        self.left = _MOST
        self.storages: dict[int, int] = {}  # address -> bytes

    def __call__(self, value: object) -> Any:
        plain = self._plain(value, 0)
        promised, size = sum(self.storages.values()), self.path.stat().st_size
        if promised > size:
            raise FileFormatError(
                f"{self.path} promises {promised:,} bytes of tensors, but has {size:,}: it is damaged or made to harm"
            )
        return plain

    def _plain(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if depth > _DEEPEST or self.left < 0:
            raise FileFormatError(
                f"{self.path} is nested more than {_DEEPEST} deep, or holds more than {_MOST:,} values: this is no "
                "checkpoint"
            )
        match value:
            case None | bool() | int() | float() | str():
                return value
            case self.torch.Tensor():
                return self._tensor(value)
            case Mapping():
                return {self._key(key): self._plain(item, depth + 1) for key, item in value.items()}
            case list() | tuple():
                return [self._plain(item, depth + 1) for item in value]
            case set():
                return [self._plain(item, depth + 1) for item in sorted(value, key=str)]
            case bytes() | bytearray():
                return value.decode("latin1")
            case Array():
                return self.torch.tensor(value.values)
        return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> Any:
        """Stand-ins become what they hold; types of torch, and other objects, a word."""
        match value:
            case self.torch.nn.Module():
                return self._plain(value.state_dict(), depth + 1)
            case argparse.Namespace():
                return self._plain(vars(value), depth + 1)
            case Namespace():
                return self._plain(value.state, depth + 1)
            case Config():
                return self._plain(_state(value).get("_content"), depth + 1)
            case Node():
                return self._plain(_state(value).get("_val"), depth + 1)
            case self.torch.dtype() | self.torch.device() | complex():
                return str(value)
        return None if isinstance(value, Inert) else type(value).__name__

    def _key(self, key: object) -> int | str:
        if isinstance(key, type):  # Lightning of old kept the state of a callback under its class
            return key.__name__
        return key if isinstance(key, int | str) else str(key)

    def _tensor(self, tensor: Any) -> Tensor:
        if type(tensor) not in (self.torch.Tensor, self.torch.nn.Parameter):
            raise FileFormatError(f"{self.path} holds a {type(tensor).__name__}, but plain tensors are needed")
        if tensor.layout != self.torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise FileFormatError(
                f"{self.path} holds a tensor that is sparse, quantised or without data, but dense ones are needed"
            )
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        self.storages[address] = max(self.storages.get(address, 0), storage.nbytes())
        plain: Tensor = tensor.detach()
        return plain


def _state(node: Inert) -> Mapping[str, Any]:
    return node.state if isinstance(node.state, Mapping) else {}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
