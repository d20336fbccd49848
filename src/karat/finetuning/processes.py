"""accelerate's view of device, precision and processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from ..errors import InputError
from ..extraction.compute import Compute

_DEVICE = "ACCELERATE_TORCH_DEVICE"
_PRECISIONS = {"float32": "no", "bfloat16": "bf16"}


def accelerator_of(compute: Compute, *, accumulate: int) -> Accelerator:
    """This process among those that torchrun (or accelerate launch) started, or alone.

    Args:
        compute: device and precision; with several processes each has a GPU of its own, where GPUs were asked for.
        accumulate: micro-batches in a step.

    Raises:
        InputError: another training in these same processes had another device or precision.
    """
    alone = int(os.environ.get("WORLD_SIZE", "1")) < 2
    if alone:  # accelerate keeps the settings of the first training in a process for all later ones
        AcceleratorState._reset_state(reset_partial_state=True)
    with _environment(_DEVICE, str(compute.device) if alone else None):
        try:
            return Accelerator(
                cpu=compute.device.type == "cpu",
                mixed_precision=_PRECISIONS[compute.precision],
                gradient_accumulation_steps=accumulate,
            )
        except ValueError as error:
            raise InputError(
                "device or precision are other than in an earlier training of these processes: start them anew"
            ) from error


@contextmanager
def exact(compute: Compute) -> Iterator[None]:
    """Torch with so many threads, and no shortcuts that change the numbers from run to run; afterwards as before."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(compute.threads or threads)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """An environment variable, for as long as it takes."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if before is not None:
            os.environ[name] = before
        elif value is not None:
            os.environ.pop(name, None)
