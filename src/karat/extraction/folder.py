"""Extraction into an embeddings folder, which may be interrupted, and shared by several processes."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from .. import store
from ..embeddings import Embeddings
from ..store.folder import Skipped
from ..store.shards import ShardWriter
from .computing import computed
from .meter import Meter, Progress
from .processes import Team
from .skipping import Tolerance
from .work import Work

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def in_folder(
    work: Work,
    out: str | os.PathLike[str],
    *,
    dtype: np.dtype,
    max_bad: float,
    resume: bool,
    overwrite: bool,
    group: ProcessGroup | None,
    progress: Progress | None,
) -> Embeddings:
    """What `extract` does where `out` is given; see there.

    The leader holds the folder and finishes it; each process writes every so manieth of the missing shards.
    """
    team = Team(group)
    writer = ShardWriter(
        out,
        dim=work.encoder.dim,
        dtype=dtype,
        shard_rows=work.plan.shard_rows,
        count=work.plan.shards,
        provenance=work.provenance(),
    )
    with ExitStack() as holding:

        def begin() -> tuple[Path, list[int]]:
            holding.enter_context(writer.held(resume=resume, overwrite=overwrite))
            finished = writer.finished()
            return writer.folder, [number for number in range(work.plan.shards) if number not in finished]

        def finish() -> None:
            Tolerance(len(work.source), max_bad).add(_skipped(writer))
            writer.finish()

        writer.folder, missing = team.led(begin)
        if not writer.complete:
            team.together(lambda: _write(work, writer, missing, team, Tolerance(len(work.source), max_bad), progress))
            team.led(finish)
        elif progress is not None:
            progress(len(work.source), len(work.source), 0.0)
    return store.load(writer.path)


def _write(
    work: Work, writer: ShardWriter, missing: list[int], team: Team, tolerance: Tolerance, progress: Progress | None
) -> None:
    """This process's part of the missing shards."""
    tolerance.add(_skipped(writer))
    mine = missing[team.rank :: team.size]
    left, part = (sum(len(work.plan.shard(number)) for number in numbers) for numbers in (missing, mine))
    total = len(work.source)
    meter = Meter(progress, total=total, done=total - left, share=part / left if left else 1.0)
    labels = work.source.labels
    kinds = {} if labels is None else {"label": pa.array(labels).type}  # of all: a shard may have none
    for shard in computed(work, mine, meter, tolerance):
        columns = work.columns(shard.images)
        table = pa.table({name: pa.array(values, kinds.get(name)) for name, values in columns.items()})
        writer.write(shard.number, shard.h, table, shard.skipped)


def _skipped(writer: ShardWriter) -> list[Skipped]:
    """The images that finished shards lack."""
    return [entry for shard in writer.finished().values() for entry in shard.skipped]
