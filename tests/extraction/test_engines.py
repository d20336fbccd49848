"""Engines and precisions: the same h within 1%, nothing replaced silently, refusals in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import karat
from karat.encoders import Encoder
from karat.errors import InputError, MissingDependencyError
from karat.extraction import choose, compute, extract
from tests.extraction.small import PIXELS, flat, tiny, to_tensor

NATIVE = not compute._CPU_FLAGS.isdisjoint(compute._cpu_flags())


class Attention(nn.Module):
    """A small transformer over patches: layer norm, attention, GELU; h is the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.block = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True, norm_first=True)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)  # [n, 3, 8, 8] -> [n, 4, 16]
        return self.block(torch.cat([self.token.expand(len(x), -1, -1), x], dim=1))[:, 0]


def attention() -> Encoder:
    torch.manual_seed(0)
    return replace(tiny(), module=Attention().train(), dim=16, name="attention")


ENCODERS = {"convolutions": tiny, "attention": attention}


def difference(found: Any, expected: Any) -> float:
    """||found - expected|| / ||expected||"""
    return float(np.linalg.norm(np.asarray(found) - expected) / np.linalg.norm(expected))


def cases() -> Iterator[Any]:
    """Encoder, engine, precision and the largest difference; what takes seconds to convert is slow."""
    bounds = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}
    native = pytest.mark.skipif(not NATIVE, reason="this processor has no bfloat16")
    for name in ENCODERS:
        for engine, precision in (
            ("torch", "bfloat16"),
            ("torch", "float16"),
            ("compile", "float32"),
            ("compile", "bfloat16"),
            ("openvino", "float32"),
            ("openvino", "bfloat16"),
            ("onnx", "float32"),
        ):
            quick = engine == "torch" or (name, engine) == ("convolutions", "openvino")
            marks = [] if quick else [pytest.mark.slow]
            marks += [native] if (engine, precision) == ("openvino", "bfloat16") else []
            yield pytest.param(name, engine, precision, bounds[precision], marks=marks)


@pytest.mark.parametrize(("name", "engine", "precision", "bound"), list(cases()))
def test_an_engine_gives_the_h_of_the_module(name: str, engine: Any, precision: Any, bound: float) -> None:
    encoder = ENCODERS[name]()
    expected = np.asarray(extract(encoder, PIXELS, precision="float32").h)
    settings: dict[str, Any] = {"engine": engine, "precision": precision, "batch_size": 10, "workers": 0}
    found = extract(encoder, PIXELS, **settings)  # the last batch is of 3
    assert difference(found.h, expected) < bound
    assert precision == "float32" or difference(found.h, expected) > 1e-5
    assert found.dtype == np.float32
    assert {key: found.provenance[key] for key in ("engine", "precision")} == {"engine": engine, "precision": precision}
    again = extract(encoder, PIXELS, **settings)
    assert (np.asarray(found.h) == np.asarray(again.h)).all()
    assert encoder.module.training


@pytest.mark.parametrize("engine", [pytest.param("onnx", marks=pytest.mark.slow), "openvino"])
def test_an_engine_takes_a_single_image(engine: Any) -> None:
    expected = np.asarray(extract(tiny(), PIXELS[:1], precision="float32").h)
    assert difference(extract(tiny(), PIXELS[:1], engine=engine, precision="float32").h, expected) < 1e-5


class Branching(nn.Module):
    """What it does depends on what it sees."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) if images.sum() > 0 else images.flatten(1) * 2


class TracedWrongly(nn.Module):
    """A number from outside the graph becomes a constant when it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images.flatten(1) * self.weight * self.calls


@pytest.mark.slow
def test_a_module_that_an_engine_cannot_take_is_told_in_one_sentence() -> None:
    with pytest.raises(
        InputError, match=r"engine 'onnx' cannot take this encoder \(\w+: .*\): use engine 'torch'"
    ) as told:
        extract(flat(module=Branching()), PIXELS, engine="onnx")
    assert "\n" not in str(told.value)


@pytest.mark.slow
def test_a_module_is_compiled_once_whatever_the_batches() -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    extract(tiny(), PIXELS, engine="compile", batch_size=10, workers=0)  # the last batch is of 3
    assert counters["stats"]["unique_graphs"] == 1


def test_an_engine_that_gives_another_h_is_refused() -> None:
    with pytest.raises(InputError, match="engine 'openvino' gives another h than this encoder itself"):
        extract(flat(module=TracedWrongly()), PIXELS, engine="openvino", precision="float32")


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_module_that_returns_no_tensor_is_refused_by_every_engine(engine: Any) -> None:
    class Two(nn.Flatten):
        def forward(self, images: Tensor) -> Any:
            return super().forward(images), images

    with pytest.raises(InputError, match="returned a tuple"):
        extract(flat(module=Two()), PIXELS, engine=engine)


def test_float16_that_overflows_is_told() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 192, bias=False))
    with pytest.raises(InputError, match=r"NaN or infinity for .* or float16 is too narrow for it"):
        extract(flat(module=module, transform=lambda image: to_tensor(image) * 1e6), PIXELS, precision="float16")


# what is chosen


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ({"avx512f"}, "float32"),
        ({"avx512f", "avx512_bf16"}, "bfloat16"),
        ({"amx_bf16"}, "bfloat16"),
        ({"asimd", "bf16"}, "bfloat16"),
        (set(), "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], precision: str
) -> None:
    monkeypatch.setattr(compute, "_cpu_flags", lambda: flags)
    assert choose(tiny(), device="cpu").precision == precision
    assert choose(tiny(), device="cpu", precision="float32").precision == "float32"
    assert choose(tiny(), device="cpu", precision="bfloat16").precision == "bfloat16"


def test_auto_is_float32_where_there_is_nothing_to_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "_cpu_flags", lambda: {"amx_bf16"})
    assert choose(flat(), device="cpu").precision == "float32"  # no weights
    assert choose(tiny(), device="cpu", engine="onnx").precision == "float32"


def test_what_is_chosen_reads_as_one_line() -> None:
    assert str(choose(tiny(), device="cpu", precision="float32", threads=1)) == "cpu, engine torch, float32, 1 thread"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"engine": "tensorrt"}, "engine is 'tensorrt', but one of torch, compile, openvino, onnx is needed"),
        ({"precision": "int8"}, "precision is 'int8', but one of auto, float32, bfloat16, float16 is needed"),
        ({"engine": "onnx", "precision": "bfloat16"}, "engine 'onnx' on cpu computes in float32, not in bfloat16"),
        (
            {"engine": "openvino", "precision": "float16"},
            "engine 'openvino' on cpu computes in float32 or bfloat16, not",
        ),
        ({"threads": 0}, "threads is 0, but a whole number of at least 1 is needed"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(compute, "_openvino_precisions", lambda: ("float32", "bfloat16"))
    with pytest.raises(InputError, match=words):
        choose(tiny(), device="cpu", **settings)


@pytest.mark.parametrize(("engine", "library"), [("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, engine: Any, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        MissingDependencyError, match=rf"engine '{engine}' needs {library}.*pip install 'karat\[fast\]'"
    ):
        choose(tiny(), device="cpu", engine=engine)


def test_openvino_reports_to_nobody() -> None:
    script = (
        "from karat.extraction.compute import openvino; openvino(); "
        "from openvino.tools.ovc import telemetry_utils; print(telemetry_utils.tm.__name__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(karat.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "openvino.tools.ovc.telemetry_stub\n"
