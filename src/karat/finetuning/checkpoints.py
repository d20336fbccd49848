"""Checkpoints of a training: everything that the steps after it depend on, one file each, the last few kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .._files import atomic_path, writing
from ..errors import FileFormatError, InputError

SCHEMA = 1
_NAME = re.compile(r"step-(\d{8})\.pt")
_SHOWN = 6


def folder_of(run: Path) -> Path:
    """Where a run has its checkpoints."""
    return run / "checkpoints"


def found(run: Path) -> list[Path]:
    """The checkpoints of a run, the earliest first."""
    return sorted(path for path in folder_of(run).glob("step-*.pt") if is_checkpoint(path))


def is_checkpoint(path: Path) -> bool:
    """Whether a file is named as a checkpoint is."""
    return _NAME.fullmatch(path.name) is not None


def save(run: Path, content: Mapping[str, Any], *, step: int, keep: int) -> Path:
    """Write a checkpoint, and then remove all but the last few.

    Args:
        run: the run's folder.
        content: plain containers, numbers, strings and tensors.
        step: how many steps were done.
        keep: how many checkpoints stay, this one included.

    Raises:
        OutputError: the disk is full, or the folder cannot be written; the checkpoints before are untouched.
    """
    folder = folder_of(run)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.pt"
    with atomic_path(path) as temporary:
        try:
            torch.save({"schema": SCHEMA, **content}, temporary)
        except RuntimeError as error:  # what torch's writer makes of a failing write
            raise OSError(None, str(error).splitlines()[0]) from error
    for old in found(run)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def load(path: Path) -> dict[str, Any]:
    """What a checkpoint holds; nothing in it is executed.

    Raises:
        FileFormatError: it is damaged, no checkpoint of a training, or one of another version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever its parts raise
        raise FileFormatError(
            f"{path} is damaged or no checkpoint of a training ({type(error).__name__}): remove it, and the run goes "
            "on from the one before"
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise FileFormatError(f"{path} is no checkpoint of a training that this karat reads")
    return content


def shapes_of(module: torch.nn.Module) -> dict[str, str]:
    """Name -> type and shape of each tensor: what tells one architecture from another."""
    return shapes(module.state_dict())


def shapes(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """The same of tensors by name."""
    return {name: f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}" for name, value in state.items()}


def refuse_other(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse to go on from a checkpoint of another training than this one.

    Args:
        path: the checkpoint.
        there, here: what it and this training are: method, objective (its shapes), processes, recipe, parameters and
            inputs.

    Raises:
        InputError: with what differs.
    """
    if there.get("method") != here["method"]:
        raise InputError(
            f"{path} is of the method {there.get('method')!r}, but {here['method']!r} was asked for: resume with that "
            "method, or give another output"
        )
    if there.get("processes") != here["processes"]:
        raise InputError(
            f"{path} was written by {there.get('processes')} processes, but there are {here['processes']}: resume with "
            "as many, since each has random states of its own"
        )
    for part in ("recipe", "parameters", "inputs"):
        if changes := differences(there.get(part, {}), here[part]):
            raise InputError(f"{path} was begun with another {_WORDS[part]}: {changes}. Resume with what is there")
    if changes := differences(there.get("objective", {}), here["objective"]):
        raise InputError(f"{path} is of another architecture: {changes}. Resume with the encoder that it began with")


_WORDS = {"recipe": "recipe", "parameters": "setting", "inputs": "encoder or images"}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first few differences between two sets of settings, in words."""
    names = [name for name in {**there, **here} if _plain(there.get(name)) != _plain(here.get(name))]
    told = [f"{name} {_said(there, name)} there, {_said(here, name)} here" for name in names[:_SHOWN]]
    return "; ".join(told) + (f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _said(settings: Mapping[str, Any], name: str) -> str:
    return str(settings[name]) if name in settings else "is not"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
