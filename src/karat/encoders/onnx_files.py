"""Encoders in ONNX files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .._optional import require
from ..errors import FileFormatError, InputError
from .checkpoint import sha256_of
from .encoder import Encoder, Preprocessing
from .foreign import checked_encoder, first_line

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def from_onnx(path: str | os.PathLike[str]) -> Encoder:
    """An ONNX file, run by onnxruntime on the CPU in float32.

    Its input is [n, 3, s, s]; its output, the only one or the one called "h", is h [n, d]. Under "karat", its metadata
    may hold JSON: {"input": {"size": ..., "mean": [...], "std": [...]}} with what else `Preprocessing` takes. Without
    them, images get ImageNet's mean and std at the size of the input, which must then be fixed; `Encoder.h` says so.

    Args:
        path: the file; weights in files beside it are found by onnxruntime.

    Raises:
        InputError: there is no such file, or its input or output are others.
        FileFormatError: it cannot be read as ONNX.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is no file: an ONNX file is needed")
    runtime, torch = (require(library, "an ONNX file") for library in ("onnxruntime", "torch"))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own, one for each kind
        raise FileFormatError(f"{path} cannot be read as ONNX: {first_line(error)}") from error
    source, target = _input(session, path), _output(session, path)
    described = _description(session, path)
    from .wrapped import OnnxFeatures

    batch = source.shape[0] if isinstance(source.shape[0], int) else None
    return checked_encoder(
        OnnxFeatures(session, source=source.name, target=target.name, batch=batch),
        _assumed(source, path) if described is None else _preprocessing(described, path),
        name=path.stem,
        h=f"output {target.name!r} of the graph" + ("" if described else " (ImageNet's mean and std are assumed)"),
        sha256=sha256_of(path),
    )


def _input(session: Any, path: Path) -> Any:
    inputs = session.get_inputs()
    fits = (
        len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) == 4 and inputs[0].shape[1] == 3
    )
    if not fits:
        raise InputError(f"{path} takes {_described(inputs)}, but one input, float32 [n, 3, s, s], is needed")
    return inputs[0]


def _output(session: Any, path: Path) -> Any:
    outputs = session.get_outputs()
    named = [output for output in outputs if output.name == "h"] or outputs
    if len(named) != 1 or len(named[0].shape) != 2:
        raise InputError(
            f"{path} gives {_described(outputs)}, but one output [n, d], or one called 'h', is needed: pool over space "
            "in the graph, and leave out the classifier"
        )
    return named[0]


def _described(values: Iterable[Any]) -> str:
    return ", ".join(f"{value.name} {value.type} {list(value.shape)}" for value in values)


def _description(session: Any, path: Path) -> dict[str, Any] | None:
    """What the metadata say of the input, if they say anything."""
    text = session.get_modelmeta().custom_metadata_map.get("karat")
    if text is None:
        return None
    try:
        return dict(json.loads(text)["input"])
    except (ValueError, LookupError, TypeError) as error:
        raise FileFormatError(f"{path}: its metadata under 'karat' are no JSON with an 'input'") from error


def _preprocessing(described: dict[str, Any], path: Path) -> Preprocessing:
    given: dict[str, Any] = {key: tuple(it) if isinstance(it, list) else it for key, it in described.items()}
    try:
        return Preprocessing(**given)
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"{path}: its metadata under 'karat' do not describe the input: {error}") from error


def _assumed(source: Any, path: Path) -> Preprocessing:
    height, width = source.shape[2:]
    if not isinstance(height, int) or height != width:
        raise InputError(
            f"{path} takes images of {[height, width]}, but a fixed square, or the size of the input in its metadata "
            "under 'karat', is needed"
        )
    return Preprocessing(height, *_IMAGENET)
