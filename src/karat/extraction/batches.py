"""Batches of transformed images, decoded ahead of the encoder by other processes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._optional import require
from ..errors import InputError, KaratError
from ..images import ImageSource
from ..images.views import augmented
from ..store.folder import Skipped

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_PURPOSE = "extract"


@dataclass(frozen=True)
class Batch:
    """Some images of a shard, transformed.

    Attributes:
        shard: number of the shard.
        images: int64 [m], the numbers of those that could be decoded.
        tensor: their rows, one or more an image; None where there is none.
        skipped: those that could not be decoded.
    """

    shard: int
    images: np.ndarray
    tensor: Tensor | None
    skipped: tuple[Skipped, ...]

    def pin_memory(self) -> Batch:
        """The same in page-locked memory (the data loader calls this)."""
        return self if self.tensor is None else replace(self, tensor=self.tensor.pin_memory())


@dataclass(frozen=True)
class Decoder:
    """What makes a batch of a shard's number and image numbers; it works in any process.

    Attributes:
        source: the images.
        transform: of the encoder.
        views, seed: augmented rows an image; None: the image itself.
        memory_format: how the batch lies in memory: torch.channels_last for the engines that are faster with it.
    """

    source: ImageSource
    transform: Callable[[np.ndarray], Tensor]
    views: int | None
    seed: int
    memory_format: torch.memory_format

    def __getitem__(self, job: tuple[int, range]) -> Batch | KaratError:
        """The batch, or what is wrong: an error that is raised in another process would lose its kind."""
        shard, images = job
        try:
            return self._batch(shard, images)
        except KaratError as error:
            return error

    def _batch(self, shard: int, images: range) -> Batch:
        tensors: list[Any] = []
        decoded, skipped = [], []
        for i in images:
            try:
                image = self.source.read(i)
            except InputError as error:
                skipped.append(Skipped(str(self.source.ids[i]), str(error)))
                continue
            decoded.append(i)
            tensors += [self._transformed(view, i) for view in self._views(image, i)]
        numbers = np.array(decoded, np.int64)
        return Batch(shard, numbers, self._stack(tensors) if tensors else None, tuple(skipped))

    def _views(self, image: np.ndarray, i: int) -> Iterator[np.ndarray]:
        if self.views is None:
            yield image
            return
        for view in range(self.views):
            yield augmented(image, seed=self.seed, row=i, view=view)

    def _transformed(self, image: np.ndarray, i: int) -> Any:
        try:
            return self.transform(image)
        except KaratError:
            raise
        except Exception as error:
            shape = list(image.shape)
            raise InputError(
                f"the encoder's transform failed on image {self.source.ids[i]} {shape}: {type(error).__name__}: {error}"
            ) from error

    def _stack(self, tensors: list[Any]) -> Tensor:
        torch = require("torch", _PURPOSE)
        kinds = {f"{t.dtype} {list(t.shape)}" if isinstance(t, torch.Tensor) else type(t).__name__ for t in tensors}
        if len(kinds) > 1 or not isinstance(tensors[0], torch.Tensor):
            seen = "; ".join(sorted(kinds))
            raise InputError(f"the encoder's transform must give tensors of one shape and type, but it gave {seen}")
        batch: Tensor = torch.stack(tensors)
        return batch.contiguous(memory_format=self.memory_format) if batch.ndim == 4 else batch


def decoded(decoder: Decoder, jobs: Sequence[tuple[int, range]], *, workers: int, pin: bool) -> Generator[Batch]:
    """The batches of some (shard, images), in order; up to two a worker are made ahead.

    Args:
        decoder: makes them.
        jobs: which.
        workers: processes; 0: in this one, in between.
        pin: in page-locked memory, from which a GPU copies while it works.

    Raises:
        InputError: images that cannot be stacked, a transform that fails, or a process that was killed.
    """
    torch = require("torch", _PURPOSE)
    processes = min(workers, len(jobs)) if len(jobs) > 1 else 0  # of a single batch nothing can be ahead
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on more processes than processors, and on forking beside threads
        loader = torch.utils.data.DataLoader(
            decoder,
            batch_size=None,
            sampler=jobs,
            num_workers=processes,
            pin_memory=pin,
            generator=torch.Generator(),  # else a seed is drawn from the caller's
            # A forked process sees the images, and functions that cannot be sent, where they are.
            multiprocessing_context="fork" if processes and sys.platform == "linux" else None,
        )
        batches = iter(loader)
    while True:
        try:
            batch = next(batches, None)
        except RuntimeError as error:
            if not processes:
                raise
            raise InputError(
                f"a process that decodes images ended: {error}. Where memory (or shared memory, /dev/shm) is short, "
                "use fewer workers, none (workers=0), or a smaller batch_size"
            ) from error
        if batch is None:
            return
        if isinstance(batch, KaratError):
            raise batch
        yield batch
