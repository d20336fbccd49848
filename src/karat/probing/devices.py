"""Where a probe is trained: NumPy on the processor, torch on a GPU; the same formulas for both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from .._optional import require
from ..errors import InputError
from ..stats.threads import thread_count

# A training set that takes no more than this, as float32, is kept in the processor's memory.
ROOM = 4 << 30
# Multiplications in one look at the training set, up to which neither threads nor a GPU gain anything.
SMALL = 10**9
# One of these exists where a GPU's driver is loaded; to ask torch would cost seconds of import.
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Device:
    """A place to compute.

    Attributes:
        name: "cpu", "cuda", "cuda:1" ...
        xp: NumPy or torch; what both call by the same name is used.
        threads: of matrix products on the processor.
    """

    name: str
    xp: Any
    threads: int

    def put(self, values: np.ndarray) -> Any:
        """An array on the device."""
        return values if self.xp is np else self.xp.tensor(values, device=self.name)

    def zeros(self, *shape: int) -> Any:
        """float32 zeros on the device."""
        return self.put(np.zeros(shape, np.float32))

    def fetch(self, values: Any) -> np.ndarray:
        """An array of the device, for NumPy."""
        return values if self.xp is np else values.cpu().numpy()

    def room(self) -> int:
        """How many bytes of training data may stay here."""
        return int(self.xp.cuda.mem_get_info(self.name)[0]) // 2 if self.name.startswith("cuda") else ROOM

    @contextmanager
    def working(self) -> Iterator[None]:
        """With the threads it was given; what overflows is found in the results."""
        with threadpool_limits(self.threads, "blas"), np.errstate(all="ignore"):
            yield

    @property
    def workers(self) -> int:
        """How many may compute side by side: a thread each on the processor, and one on what is parallel by itself."""
        return self.threads if self.xp is np else 1

    def share(self, items: Iterable[Item], workers: Sequence[Callable[[Item], None]]) -> None:
        """Item i is work for worker i modulo their number. They work side by side, one item each at a time.

        Threads of a matrix product wait busily for the next one, as long as the rest of the work takes: these do not.
        """
        if len(workers) == 1:
            for item in items:
                workers[0](item)
            return
        waiting, quiet = iter(items), partial(np.seterr, all="ignore")
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(len(workers), initializer=quiet) as pool:
            while group := list(islice(waiting, len(workers))):
                jobs = [pool.submit(work, item) for work, item in zip(workers, group, strict=False)]
                for job in jobs:
                    job.result()

    def record(self) -> dict[str, Any]:
        """What may change the last digits."""
        return {"device": self.name, "threads": self.threads}


def open_device(name: str, threads: int | None, *, work: int) -> Device:
    """The device of this name.

    Args:
        name: "auto" (a GPU for a problem that is not small, where there is one), "cpu", or a name that torch knows.
        threads: on the processor (default: KARAT_NUM_THREADS, else all; one for a small problem).
        work: multiplications in one look at the training set.

    Raises:
        InputError: a device that cannot be used.
        MissingDependencyError: a GPU is asked for, and torch is not installed.
    """
    # A small problem gains nothing from more threads, and on a busy machine it waits for them forty times as long.
    count = 1 if threads is None and work < SMALL else thread_count(threads)
    if name == "cpu" or (name == "auto" and not (work >= SMALL and _has_gpu())):
        return Device("cpu", np, count)
    torch = require("torch", f"device {name!r}")
    found = "cuda" if name == "auto" else name
    try:
        torch.zeros(1, device=torch.device(found)).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return Device(found, torch, count)


def _has_gpu() -> bool:
    """Whether torch, where it is installed, sees a GPU."""
    if not any(Path(driver).exists() for driver in _DRIVERS):
        return False
    try:
        return bool(require("torch", "a GPU").cuda.is_available())
    except ImportError:
        return False
