"""BYOL's own checkpoints: pickles of Haiku parameters, read without executing anything, written as safetensors.

The file (deepmind-research, byol/utils/checkpointing.py) is what dill made of a dictionary with `experiment_state`, a
named tuple of parameters and states: module -> name -> array. The encoder is the online network, as in the authors' own
evaluation (byol/eval_experiment.py). Haiku pads as TensorFlow does: where the stride is 2, more at the right and bottom
than at the left and top. The architecture of the converted file does the same; torchvision's own would not.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import atomic_path, refuse_existing
from .._optional import require
from ..errors import FileFormatError, InputError
from .file_format import format_of
from .pickles import NUMPY, Array, Inert, globals_of

if TYPE_CHECKING:
    from torch import Tensor

# What the authors' evaluation does (byol/utils/dataset.py): a middle square of 224/256 of the shorter side, resized to
# 224 (bicubic), scaled to [0, 1] and normalised. Resizing to 256 and cropping 224 is the same square.
INPUT = {
    "size": 224,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "resize": 256,
    "interpolation": "bicubic",
}
_HARMLESS = ("byol", "haiku", "jax", "jaxlib", "optax")  # libraries whose classes are stood for by Inert
_MAPPINGS = ("FlatMap", "FlatMapping", "frozendict")  # Haiku's, over the years
_HEADS = ("projector", "predictor", "classifier")
_MODULE = re.compile(
    r".*?/~/(?:initial_(?P<stem>conv|batchnorm)(?:_1)?"
    r"|block_group_(?P<group>\d)/~/block_(?P<block>\d+)/~/(?:(?P<kind>conv|batchnorm)_(?P<number>\d)"
    r"|shortcut_(?P<shortcut>conv|batchnorm)))"
)
_NAMES = {"conv": "conv", "batchnorm": "bn"}
_PARAMETERS = {"w": "weight", "scale": "weight", "offset": "bias"}


class Struct:
    """A named tuple, as a plain dictionary."""

    fields: tuple[str, ...] = ()

    def __new__(cls, *values: object) -> dict[str, Any]:  # type: ignore[misc]
        return dict(zip(cls.fields, values, strict=True))


def _named_tuple(name: object, fields: object, *others: object) -> type[Struct]:
    """dill's maker of named tuples: a class whose objects are plain dictionaries."""
    if not isinstance(fields, tuple | list):
        raise pickle.UnpicklingError("a named tuple without fields")
    return type("Struct", (Struct,), {"fields": tuple(map(str, fields))})


def _array(maker: object, arguments: object, state: tuple[Any, ...], *others: object) -> Array:
    """dill's maker of arrays; NumPy's own maker, which it names, is left alone."""
    array = Array()
    array.__setstate__(state)
    return array


def _mapping(*items: object) -> dict[Any, Any]:
    """Haiku's immutable mappings: what they are made of is a plain dictionary."""
    return dict(items[0]) if items and isinstance(items[0], Mapping) else {}


def _encode(text: object, encoding: object = "latin1") -> bytes:
    """_codecs.encode: how protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("text in an encoding other than latin1")
    return text.encode("latin1")


_STAND_INS: dict[str, Any] = {
    **NUMPY,
    "_codecs.encode": _encode,
    "collections.OrderedDict": OrderedDict,
    **{f"dill.{module}._create_namedtuple": _named_tuple for module in ("_dill", "dill")},
    **{f"dill.{module}._create_array": _array for module in ("_dill", "dill")},
}


def _stand_in(name: str) -> Any:
    """What is called in the place of a global; None for one that is refused."""
    library, _, rest = name.partition(".")
    if name in _STAND_INS:
        return _STAND_INS[name]
    if library not in _HARMLESS:
        return None
    return _mapping if rest.rpartition(".")[2] in _MAPPINGS else Inert


class _Unpickler(pickle.Unpickler):
    """Knows the stand-ins and nothing else: there is nothing that it could execute."""

    def find_class(self, module: str, name: str) -> Any:
        found = _stand_in(f"{module}.{name}")
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name} is asked for")
        return found


def read_haiku(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The encoder in a checkpoint of BYOL, under torchvision's names; a width above 1 shows in the shapes.

    Convolutions are turned from [h, w, in, out] to [out, in, h, w]; batch statistics are Haiku's debiased averages; the
    projector, the predictor and the classifier are left out.

    Raises:
        InputError: there is no such file.
        FileFormatError: it is no checkpoint of BYOL, truncated, or asks for classes that are not known to be harmless.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is no file: a checkpoint of BYOL (.pkl) is needed")
    with open(path, "rb") as file:
        if file.read(1) != b"\x80":
            kind = format_of(path)
            raise FileFormatError(f"{path} is loaded as it is ({kind}): only BYOL's own pickles are converted")
    state = _state(path)
    try:
        tensors = _renamed(state["online_params"], _parameter) | _renamed(state["online_state"], _statistic)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"{path} has not the layout of BYOL's checkpoints: {error}") from error
    if "conv1.weight" not in tensors:
        raise FileFormatError(f"{path} holds no encoder of BYOL: its online_params have no initial_conv")
    return tensors


def convert(path: str | os.PathLike[str], out: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Convert a checkpoint of BYOL to a safetensors file that `load_encoder` reads. Nothing in it is executed.

    Args:
        path: pretrain_res50x1.pkl, pretrain_res200x2.pkl, or another that BYOL's code wrote.
        out: the file to write, .safetensors; it says what the architecture and the preprocessing are.
        overwrite: replace `out` if it exists.

    Returns:
        `out`.

    Raises:
        InputError: there is no such file.
        FileFormatError: as `read_haiku`.
        OutputExistsError: `out` exists.
        OutputError: `out` cannot be written.
    """
    out = Path(out)
    refuse_existing(out, overwrite=overwrite)
    tensors = read_haiku(path)
    description = {"architecture": "resnet_same", "arguments": _arguments(tensors), "input": INPUT}
    save = require("safetensors.torch", "converting a checkpoint").save_file
    with atomic_path(out) as temporary:
        save(tensors, temporary, {"karat": json.dumps(description)})
    return out


def _state(path: Path) -> Mapping[str, Any]:
    """The experiment_state of a checkpoint."""
    with open(path, "rb") as file:
        try:
            _refuse_others(path, file)
            file.seek(0)
            content = _Unpickler(file).load()
        except FileFormatError:
            raise
        except Exception as error:  # a pickle can end in any error, and in none that matters more than another
            raise FileFormatError(f"{path} is truncated or damaged, or no pickle: {error}") from error
    state = content.get("experiment_state") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise FileFormatError(f"{path} has not the layout of BYOL's checkpoints: there is no experiment_state")
    return state


def _refuse_others(path: Path, file: io.BufferedReader) -> None:
    others = sorted(name for name in globals_of(file) if _stand_in(name) is None)
    if others:
        raise FileFormatError(
            f"{path} asks for more than BYOL's checkpoints do: {', '.join(others)}. Nothing in it was executed, and "
            "nothing is converted"
        )


Renaming = Callable[[str, str, Mapping[str, Any]], Iterator[tuple[str, "Tensor"]]]


def _renamed(modules: Mapping[str, Any], tensors_of: Renaming) -> dict[str, Tensor]:
    """The encoder's tensors in one of Haiku's two-level mappings, under torchvision's names."""
    found: dict[str, Tensor] = {}
    for name, arrays in modules.items():
        match = _MODULE.match(name)
        if match:
            found.update(tensors_of(_torchvision_name(match), name[match.end() :], arrays))
        elif name.partition("/")[0] not in _HEADS:
            raise ValueError(f"{name} is a module that no ResNet of BYOL has")
    return found


def _torchvision_name(match: re.Match[str]) -> str:
    """
    >>> _torchvision_name(_MODULE.match("res_net200/~/block_group_1/~/block_23/~/batchnorm_2"))
    'layer2.23.bn3'
    >>> _torchvision_name(_MODULE.match("res_net50/~/block_group_3/~/block_0/~/shortcut_conv"))
    'layer4.0.downsample.0'
    """
    if match["stem"]:
        return f"{_NAMES[match['stem']]}1"
    block = f"layer{int(match['group']) + 1}.{int(match['block'])}"
    if match["shortcut"]:
        return f"{block}.downsample.{0 if match['shortcut'] == 'conv' else 1}"
    return f"{block}.{_NAMES[match['kind']]}{int(match['number']) + 1}"


def _parameter(name: str, rest: str, arrays: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The kernel of a convolution, [h, w, in, out] -> [out, in, h, w]; scale and offset of a batch normalisation."""
    if rest:
        raise ValueError(f"{name} has parameters under {rest}")
    for key, array in arrays.items():
        values = _values(array)
        yield f"{name}.{_PARAMETERS[key]}", _tensor(values.transpose(3, 2, 0, 1) if key == "w" else values.reshape(-1))


def _statistic(name: str, rest: str, arrays: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """A running average [1, 1, 1, c] -> [c], and how often it was updated."""
    kind = {"/~/mean_ema": "running_mean", "/~/var_ema": "running_var"}[rest]
    yield f"{name}.{kind}", _tensor(_values(arrays["average"]).reshape(-1))
    yield f"{name}.num_batches_tracked", _tensor(_values(arrays["counter"]).reshape(())).long()


def _values(array: object) -> np.ndarray:
    if not isinstance(array, Array):
        raise TypeError(f"a {type(array).__name__} stands where an array is needed")
    return array.values


def _tensor(values: np.ndarray) -> Tensor:
    tensor: Tensor = require("torch", "converting a checkpoint").tensor(values).contiguous()
    return tensor


def _arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What `resnets.resnet_same` takes: blocks of each stage, their kind, and the width in multiples of 64 channels."""
    blocks = [len({key.split(".")[1] for key in tensors if key.startswith(f"layer{stage}.")}) for stage in range(1, 5)]
    block = "bottleneck" if "layer1.0.conv3.weight" in tensors else "basic"
    return {"blocks": blocks, "width": tensors["conv1.weight"].shape[0] // 64, "block": block}
