"""Engines: what runs an encoder's module, all with the same h but for rounding."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .._optional import require
from ..encoders import Encoder
from ..errors import InputError, KaratError
from .compute import Compute, onnx_provider, openvino

if TYPE_CHECKING:
    from torch import Tensor, nn

_PURPOSE = "extract"
_OPENVINO_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
# An engine is held against the module itself on so many images; beyond this relative difference of h it is refused.
# bfloat16 differs by up to 0.03 in networks of random weights, a graph that was traced wrongly by far more.
_COMPARED, _TOLERANCE = 8, 0.1


class Run(Protocol):
    """Begin to compute the h of a batch; what is returned waits for it: what the module returned, on the CPU."""

    def __call__(self, images: Tensor, /) -> Callable[[], Any]: ...


@contextmanager
def engine(encoder: Encoder, compute: Compute, *, rows: int) -> Iterator[Run]:
    """The encoder's module in evaluation mode, run by an engine. Afterwards the module is as it was.

    Engines are made for the first batch that they see.

    Args:
        encoder: whose module.
        compute: device, engine, precision, threads.
        rows: of the largest batch.

    Raises:
        InputError: the engine cannot take the module, the module fails, or its parts lie on several devices.
        MissingDependencyError: the engine's library is not installed.
    """
    with settled(encoder.module, compute), ExitStack() as stack:
        yield _Lazy(encoder, compute, rows, stack)


class _Lazy:
    """An engine that is made when the first batch is there."""

    def __init__(self, encoder: Encoder, compute: Compute, rows: int, stack: ExitStack) -> None:
        self._encoder, self._compute, self._rows, self._stack = encoder, compute, rows, stack
        self._run: Run | None = None

    def __call__(self, images: Tensor) -> Callable[[], Any]:
        with explained(self._encoder, images):
            if self._run is None:
                self._run = self._made(images)
            return self._run(images)

    def _made(self, images: Tensor) -> Run:
        module, compute = self._encoder.module, self._compute
        plain = _Torch(module, compute)
        if compute.engine == "torch":
            return plain
        expected = _Torch(module, compute, precision="float32")(images[:_COMPARED])()
        _tensor(expected, self._encoder)
        example = _padded(images, self._rows)
        with _conversion(compute.engine), _frozen(compute):
            match compute.engine:
                case "compile":
                    run: Run = _Torch(require("torch", _PURPOSE).compile(module, dynamic=False), compute)
                case "openvino":
                    run = _OpenVino(module, compute, example)
                case "onnx":
                    run = _Onnx(module, compute, example, self._stack)
            run = _Padded(run, self._rows)
            found = run(images[:_COMPARED])()
        _refuse_difference(expected, found, compute.engine)
        return run


class _Torch:
    """The module itself (or compiled), under autocast: weights and h stay float32."""

    def __init__(self, module: nn.Module, compute: Compute, *, precision: str | None = None) -> None:
        self._torch = require("torch", _PURPOSE)
        self._module, self._device = module, compute.device
        self._precision = getattr(self._torch, precision or compute.precision)
        self._copies = self._torch.cuda.Stream(compute.device) if compute.device.type == "cuda" else None

    def __call__(self, images: Tensor) -> Callable[[], Any]:
        exact = self._precision == self._torch.float32
        cast = nullcontext() if exact else self._torch.autocast(self._device.type, self._precision)
        given = self._moved(images)  # not in inference mode, in which copies are of another kind: compiled code minds
        with self._torch.inference_mode(), cast:
            h = self._module(given)
            return self._fetched(h.float()) if isinstance(h, self._torch.Tensor) else lambda: h

    def _moved(self, images: Tensor) -> Tensor:
        """The images on the device, always laid out alike; on a GPU copied while it still computes the batch before."""
        if images.ndim == 4:
            images = images.contiguous(memory_format=self._torch.channels_last)
        if self._copies is None:
            return images.to(self._device)
        cuda = self._torch.cuda
        with cuda.stream(self._copies):
            moved = images.to(self._device, non_blocking=True)
        cuda.current_stream(self._device).wait_stream(self._copies)
        moved.record_stream(cuda.current_stream(self._device))
        return moved

    def _fetched(self, h: Tensor) -> Callable[[], Tensor]:
        if self._copies is None:
            return lambda: h.cpu()
        host = h.to("cpu", non_blocking=True)
        done = self._torch.cuda.current_stream(self._device).record_event()

        def wait() -> Tensor:
            done.synchronize()
            return host

        return wait


class _Padded:
    """Batches filled up to one size, the only one that an engine is made for."""

    def __init__(self, run: Run, rows: int) -> None:
        self._run, self._rows = run, rows

    def __call__(self, images: Tensor) -> Callable[[], Any]:
        wait = self._run(_padded(images, self._rows))
        return lambda: wait()[: len(images)]


class _OpenVino:
    """The module converted for openvino."""

    def __init__(self, module: nn.Module, compute: Compute, example: Tensor) -> None:
        self._torch, self._openvino = require("torch", _PURPOSE), openvino()
        model = self._openvino.convert_model(_exported(module, example))
        settings = {
            "INFERENCE_PRECISION_HINT": _OPENVINO_TYPES[compute.precision],
            "INFERENCE_NUM_THREADS": compute.threads,
            "PERFORMANCE_HINT": "LATENCY",  # all threads on one batch
        }
        self._request = self._openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def __call__(self, images: Tensor) -> Callable[[], Tensor]:
        array = images.contiguous().numpy()
        self._request.set_input_tensor(self._openvino.Tensor(array, shared_memory=True))
        self._request.infer()
        h = self._torch.from_numpy(np.array(self._request.get_output_tensor().data, np.float32))
        return lambda: h


class _Onnx:
    """The module exported to ONNX, run by onnxruntime."""

    def __init__(self, module: nn.Module, compute: Compute, example: Tensor, stack: ExitStack) -> None:
        self._torch, runtime = require("torch", _PURPOSE), require("onnxruntime", "engine 'onnx'")
        require("onnxscript", "engine 'onnx'")
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "encoder.onnx"
        self._torch.onnx.export(_exported(module, example.to(compute.device)), (), path, dynamo=True, verbose=False)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = compute.threads or 0
        options.log_severity_level = 3  # errors
        self._session = runtime.InferenceSession(path, options, providers=[onnx_provider(compute.device)])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, images: Tensor) -> Callable[[], Tensor]:
        (h,) = self._session.run(None, {self._input: images.contiguous().numpy()})
        return lambda: self._torch.from_numpy(h)


def _exported(module: nn.Module, example: Tensor) -> Any:
    """The module as a graph for batches like `example`."""
    torch = require("torch", _PURPOSE)
    with torch.no_grad():
        return torch.export.export(module, (example,))


def _padded(images: Tensor, rows: int) -> Tensor:
    """The images, the last one again and again up to so many rows."""
    filling = images[-1:].expand(rows - len(images), *images.shape[1:])
    filled: Tensor = require("torch", _PURPOSE).cat([images, filling]) if len(filling) else images
    return filled


@contextmanager
def _frozen(compute: Compute) -> Iterator[None]:
    """What is compiled inside takes weights as constants, so that normalisation is folded into convolutions."""
    if compute.engine != "compile" or compute.device.type != "cpu":
        yield
        return
    # As an option of torch.compile it comes too late: the tracer looks here.
    with require("torch._inductor.config", _PURPOSE).patch(freezing=True):
        yield


@contextmanager
def settled(module: nn.Module, compute: Compute) -> Iterator[None]:
    """The module in evaluation mode on the device, torch exact and with so many threads; afterwards all as before."""
    torch = require("torch", _PURPOSE)
    homes = {tensor.device for tensor in (*module.parameters(), *module.buffers())} or {compute.device}
    if len(homes) > 1:
        raise InputError(f"the encoder lies on several devices ({', '.join(sorted(map(str, homes)))}): move it to one")
    modes = {part: part.training for part in module.modules()}
    weights = [(parameter, parameter.data) for parameter in module.parameters()]
    threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    try:
        module.eval().to(compute.device)
        if compute.engine in ("torch", "compile"):
            module.to(memory_format=torch.channels_last)
        torch.set_num_threads(compute.threads or threads)
        torch.set_float32_matmul_precision("highest")
        with exact:
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(products)
        for part, training in modes.items():
            part.training = training
        module.to(homes.pop())
        for parameter, before in weights:
            parameter.data = before


@contextmanager
def explained(encoder: Encoder, images: Tensor) -> Iterator[None]:
    """Turn whatever a module raises into one sentence."""
    try:
        yield
    except KaratError:
        raise
    except Exception as error:  # assertions of the model, shapes, memory
        torch = require("torch", _PURPOSE)
        hint = ": use a smaller batch_size" if isinstance(error, torch.cuda.OutOfMemoryError) else ""
        raise InputError(
            f"encoder {encoder.name!r} failed on images {list(images.shape)}: {_first_line(error)}{hint}"
        ) from error


@contextmanager
def _conversion(name: str) -> Iterator[None]:
    """Keep converters quiet, and say so where one cannot take the module."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    except KaratError:
        raise
    except Exception as error:
        raise InputError(
            f"engine {name!r} cannot take this encoder ({type(error).__name__}: {_first_line(error)}): "
            "use engine 'torch'"
        ) from error
    finally:
        logging.disable(logging.NOTSET)


def _refuse_difference(expected: Tensor, found: Tensor, name: str) -> None:
    same = found.shape == expected.shape
    difference = float((found - expected).norm() / expected.norm()) if same else float("inf")
    if difference > _TOLERANCE:
        raise InputError(
            f"engine {name!r} gives another h than this encoder itself "
            f"(shape {list(found.shape)} and {list(expected.shape)}, relative difference {difference:.2g}), "
            "as where control flow depends on the images: use engine 'torch'"
        )


def _tensor(value: Any, encoder: Encoder) -> None:
    if not isinstance(value, require("torch", _PURPOSE).Tensor):
        raise InputError(f"encoder {encoder.name!r} returned a {type(value).__name__}, but a tensor is needed")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
