"""From images to the h of whole shards: decode, transform, run the engine, check."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._optional import require
from ..errors import InputError
from ..stats.threads import thread_count
from ..store.folder import Skipped
from .batches import Batch, Decoder, decoded
from .engines import engine
from .meter import Meter
from .plan import Plan
from .skipping import Tolerance
from .work import Work

_MOST_WORKERS = 16
_Waiting = tuple[Batch, Callable[[], Any]]


@dataclass(frozen=True)
class ComputedShard:
    """A shard: h float32 [m, dim], the numbers of the images that its rows show, and the images that gave no row."""

    number: int
    h: np.ndarray
    images: np.ndarray
    skipped: tuple[Skipped, ...]


def computed(work: Work, shards: Sequence[int], meter: Meter, tolerance: Tolerance) -> Iterator[ComputedShard]:
    """Some shards, one after the other; the same whatever the others are and whoever computes them.

    Raises:
        InputError: too many images that cannot be decoded, or an encoder that fails.
    """
    for number, group in _grouped(_results(work, shards, meter), work.plan):
        batches = [batch for batch, _ in group]
        skipped = tuple(entry for batch in batches for entry in batch.skipped)
        tolerance.add(skipped)
        h = np.concatenate([np.empty((0, work.encoder.dim), np.float32), *(h for _, h in group)])  # [m, dim]
        yield ComputedShard(number, h, np.concatenate([batch.images for batch in batches]), skipped)


def _grouped(
    results: Iterator[tuple[Batch, np.ndarray]], plan: Plan
) -> Iterator[tuple[int, list[tuple[Batch, np.ndarray]]]]:
    """The results of each shard together."""
    group: list[tuple[Batch, np.ndarray]] = []
    for batch, h in results:
        group.append((batch, h))
        if len(group) == len(plan.batches(batch.shard)):
            yield batch.shard, group
            group = []


def _results(work: Work, shards: Sequence[int], meter: Meter) -> Iterator[tuple[Batch, np.ndarray]]:
    """Batches and their h, in order. A GPU computes one while the one before is fetched."""
    plan, compute = work.plan, work.compute
    torch = require("torch", "extract")
    memory_format = torch.channels_last if compute.engine in ("torch", "compile") else torch.contiguous_format
    decoder = Decoder(work.source, work.encoder.transform, work.views, work.seed, memory_format)
    jobs = [(shard, images) for shard in shards for images in plan.batches(shard)]
    on_gpu = compute.device.type == "cuda"
    pending: deque[_Waiting] = deque()
    with (
        closing(decoded(decoder, jobs, workers=_workers(work), pin=on_gpu)) as batches,
        engine(work.encoder, compute, rows=plan.batch_rows) as run,
    ):
        for batch in meter.waiting(batches):
            pending.append((batch, run(batch.tensor) if batch.tensor is not None else _nothing))
            if len(pending) > on_gpu:
                yield _finished(work, *pending.popleft(), meter)
        while pending:
            yield _finished(work, *pending.popleft(), meter)


def _workers(work: Work) -> int:
    """Processes that decode, where nothing else was asked for: enough to keep the device busy."""
    if work.workers is not None:
        return work.workers
    if work.compute.device.type == "cpu":
        return 1
    cuda = require("torch", "extract").cuda
    return max(1, min(_MOST_WORKERS, thread_count() // max(1, cuda.device_count())))


def _nothing() -> None:
    """What comes of a batch without images."""


def _finished(work: Work, batch: Batch, wait: Callable[[], Any], meter: Meter) -> tuple[Batch, np.ndarray]:
    h = np.empty((0, work.encoder.dim), np.float32) if batch.tensor is None else _checked(wait(), work, batch)
    meter.add(len(batch.images) + len(batch.skipped))
    return batch, h


def _checked(h: Any, work: Work, batch: Batch) -> np.ndarray:
    """h as float32, [m, dim] and finite."""
    name, rows = work.encoder.name, len(batch.images) * work.plan.rows_per_image
    shape = list(h.shape) if isinstance(h, require("torch", "extract").Tensor) else f"a {type(h).__name__}"
    if shape != [rows, work.encoder.dim]:
        raise InputError(
            f"encoder {name!r} returned {shape} for {rows} images, "
            f"but [{rows}, {work.encoder.dim}] is needed: one vector an image, as long as its dim"
        )
    block: np.ndarray = h.numpy()
    bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
    if len(bad):
        names = ", ".join(str(work.source.ids[batch.images[row // work.plan.rows_per_image]]) for row in bad[:5])
        hint = "" if work.compute.precision == "float32" else f", or {work.compute.precision} is too narrow for it"
        raise InputError(
            f"encoder {name!r} returned NaN or infinity for {len(bad)} of {rows} images, first {names}: "
            f"its weights or its transform are wrong{hint}"
        )
    return block
