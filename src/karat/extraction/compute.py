"""What computes h: a device, an engine and a precision that go together."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from .._optional import require
from ..encoders import Encoder
from ..errors import InputError
from ..stats.threads import thread_count

if TYPE_CHECKING:
    import torch

Engine = Literal["torch", "compile", "openvino", "onnx"]
Precision = Literal["float32", "bfloat16", "float16"]

_PURPOSE = "extract"
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and Arm
_OPENVINO_NAMES = {"float32": "FP32", "bfloat16": "BF16", "float16": "FP16"}


@dataclass(frozen=True)
class Compute:
    """How h is computed.

    Attributes:
        device: where.
        engine: "torch", "compile", "openvino" or "onnx".
        precision: "float32", "bfloat16" or "float16": of matrix products and convolutions; h itself is float32.
        threads: on a CPU; None on other devices.
    """

    device: torch.device
    engine: Engine
    precision: Precision
    threads: int | None

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' if self.threads != 1 else ''}" if self.threads else ""
        return f"{self.device}, engine {self.engine}, {self.precision}{threads}"


def choose(
    encoder: Encoder,
    *,
    device: str = "auto",
    engine: Engine = "torch",
    precision: Precision | Literal["auto"] = "auto",
    threads: int | None = None,
) -> Compute:
    """Settle what is left open, and refuse what does not go together. Nothing asked for is replaced by something else.

    precision="auto" is bfloat16 where the device has it in hardware and the encoder has float32 weights that it applies
    to (an ONNX file has its own precision), else float32.

    Raises:
        InputError: an unknown or missing device, or a combination that does not work.
        MissingDependencyError: the engine's library is not installed.
    """
    for name, value, known in (
        ("engine", engine, get_args(Engine)),
        ("precision", precision, ("auto", *get_args(Precision))),
    ):
        if value not in known:
            raise InputError(f"{name} is {value!r}, but one of {', '.join(known)} is needed")
    place = _device(device)
    possible = _possible(engine, place)
    if precision != "auto" and precision not in possible:
        raise InputError(
            f"engine {engine!r} on {place} computes in {' or '.join(possible)}, not in {precision}: "
            "choose one of these, or another engine"
        )
    if precision == "auto":
        precision = "bfloat16" if "bfloat16" in possible and _gains(encoder, place) else "float32"
    return Compute(place, engine, precision, thread_count(threads) if place.type == "cpu" else None)


def _device(name: str) -> torch.device:
    torch = require("torch", _PURPOSE)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device


def _possible(engine: Engine, device: torch.device) -> tuple[str, ...]:
    """The precisions of an engine on a device."""
    if engine in ("torch", "compile"):
        return get_args(Precision)
    if engine == "openvino":
        if device.type != "cpu":
            raise InputError(f"engine 'openvino' computes on the cpu, not on {device}: choose engine 'torch' there")
        return _openvino_precisions()
    if onnx_provider(device) not in require("onnxruntime", "engine 'onnx'").get_available_providers():
        raise InputError(
            f"engine 'onnx' cannot compute on {device}, since this onnxruntime lacks {onnx_provider(device)}: "
            "choose another engine or device"
        )
    return ("float32",)


def _openvino_precisions() -> tuple[str, ...]:
    names = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(precision for precision, name in _OPENVINO_NAMES.items() if name in names)


def openvino() -> Any:
    """The library openvino, kept from reporting over the network that it is used."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # it then takes its own stub
    return require("openvino", "engine 'openvino'")


def onnx_provider(device: torch.device) -> str:
    """What onnxruntime calls a device."""
    return f"{device.type.upper()}ExecutionProvider"


def _gains(encoder: Encoder, device: torch.device) -> bool:
    """Whether bfloat16 is in the hardware, and the encoder has weights that it applies to."""
    torch = require("torch", _PURPOSE)
    if not any(parameter.dtype == torch.float32 for parameter in encoder.module.parameters()):
        return False
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and not _CPU_FLAGS.isdisjoint(_cpu_flags())


def _cpu_flags() -> set[str]:
    """What the processor can do, as Linux names it; nothing where it is not told."""
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()
