"""Earlier trainings that another one begins with: their encoder, and their heads, teacher and queue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..encoders import Encoder, Preprocessing
from ..encoders.architectures import described, dim_of
from ..encoders.checkpoint import sha256_of
from ..errors import FileFormatError, InputError
from . import checkpoints

_ENCODER = "encoder."  # how the keys of an objective's encoder begin


@dataclass(frozen=True)
class Training:
    """What a checkpoint of `karat.finetune` holds that another training can begin with.

    Attributes:
        path: the checkpoint.
        encoder: as it was then.
        method: the objective.
        objective: all of its state: encoder, heads, teacher and queue.
    """

    path: Path
    encoder: Encoder
    method: str
    objective: Mapping[str, Tensor]


def is_training(path: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a run folder, or of a checkpoint as `karat.finetune` names them."""
    return Path(path).is_dir() or checkpoints.is_checkpoint(Path(path))


def read_training(path: str | os.PathLike[str]) -> Training:
    """The newest checkpoint of a run folder, or a checkpoint itself.

    Raises:
        InputError: there is none, or karat did not build the encoder's module, so that it cannot build it again.
        FileFormatError: it is damaged.
    """
    given = Path(path)
    found = checkpoints.found(given) if given.is_dir() else [given] if given.is_file() else []
    if not found:
        raise InputError(f"{given} has no checkpoint of a training: give the run folder of karat finetune, or a file")
    content = checkpoints.load(found[-1])
    description = content.get("encoder")
    if not isinstance(description, Mapping):
        raise InputError(
            f"{found[-1]} does not say how to build its encoder, as karat did not build it: load these weights into "
            "your own module, and give a karat.Encoder of it; its heads begin anew"
        )
    try:
        return Training(found[-1], _built(found[-1], content, description), content["method"], content["model"])
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        line = (str(error).splitlines() or [""])[0]
        raise FileFormatError(f"{found[-1]} is damaged ({type(error).__name__}: {line})") from error


def take_over(objective: torch.nn.Module, training: Training) -> None:
    """Give an objective the whole state of an earlier one of the same method.

    Raises:
        InputError: its parts are of other sizes.
    """
    there, here = checkpoints.shapes(training.objective), checkpoints.shapes_of(objective)
    if changes := checkpoints.differences(there, here):
        raise InputError(
            f"{training.path} has heads of other sizes: {changes}. Give the settings that it was trained with, or let "
            "the heads begin anew (new_heads)"
        )
    objective.load_state_dict(dict(training.objective))


def _built(path: Path, content: Mapping[str, Any], description: Mapping[str, Any]) -> Encoder:
    weights = {
        name.removeprefix(_ENCODER): value for name, value in content["model"].items() if name.startswith(_ENCODER)
    }
    architecture = described(description, len(weights))
    given = description["input"]
    preprocessing = Preprocessing(
        given["size"],
        tuple(given["mean"]),
        tuple(given["std"]),
        resize=given["resize"],
        interpolation=given["interpolation"],
    )
    module = architecture.build("cpu")
    module.load_state_dict(weights)
    dim = dim_of(architecture, preprocessing.size)
    return Encoder(
        module.eval(),
        dim=dim,
        transform=preprocessing,
        name=description["name"],
        weights_sha256=sha256_of(path),
        h=f"{architecture.h}, {dim:,} features",
        architecture=architecture,
    )
