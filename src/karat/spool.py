"""Activations kept until the pass is over and D is known, in memory or in a file; and kept for good where asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ._files import refuse_existing, scratch_folder, writing
from .stats.activations import Activations
from .stats.reference import Reference

_ARRAYS = tuple(f.name for f in fields(Activations) if f.name not in ("counts", "zeros", "negatives"))


class MemorySpool:
    """Activations in a list."""

    def __init__(self) -> None:
        self._parts: list[Activations] = []

    def append(self, found: Activations) -> None:
        self._parts.append(found)

    def clear(self) -> None:
        self._parts.clear()

    def __iter__(self) -> Iterator[Activations]:
        return iter(self._parts)


class DiskSpool:
    """Activations in one file: the arrays of a chunk one after the other, then the next chunk. Counts are not kept.

    Args:
        file: where; it is removed with the folder that holds it.
        output: what errors name, which the user asked for.
    """

    def __init__(self, file: Path, output: Path) -> None:
        self._output = output
        self._file: BinaryIO = open(file, "w+b")  # noqa: SIM115 (closed with the folder that holds it)
        self._chunks = 0

    def append(self, found: Activations) -> None:
        with writing(self._output):
            for name in _ARRAYS:
                np.save(self._file, getattr(found, name), allow_pickle=False)
            np.save(self._file, np.array([found.zeros, found.negatives]), allow_pickle=False)
        self._chunks += 1

    def clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._chunks = 0

    def __iter__(self) -> Iterator[Activations]:
        with writing(self._output):
            self._file.flush()
        self._file.seek(0)
        for _ in range(self._chunks):
            arrays = {name: np.load(self._file, allow_pickle=False) for name in _ARRAYS}
            zeros, negatives = np.load(self._file, allow_pickle=False).tolist()
            yield Activations(**arrays, counts=np.zeros(0, np.int64), zeros=zeros, negatives=negatives)

    def close(self) -> None:
        with suppress(OSError):  # on a full disk what is buffered cannot be written, and need not be
            self._file.close()


class ActivationFiles:
    """activations/part-*.npz (indptr int64, col int32, value float32; a file a chunk) and features.parquet in a folder.

    They are written beside, and take their place when they and the scores are complete.
    """

    def __init__(self, folder: Path, *, overwrite: bool) -> None:
        self._final, self._features = folder / "activations", folder / "features.parquet"
        for path in (self._final, self._features):
            refuse_existing(path, overwrite=overwrite)
        self._stack = ExitStack()
        self._parts = 0

    def __enter__(self) -> Self:
        self._scratch = self._stack.enter_context(scratch_folder(self._final))
        (self._scratch / "activations").mkdir()
        return self

    def append(self, found: Activations) -> None:
        """Write one chunk."""
        with writing(self._final), open(self._scratch / "activations" / f"part-{self._parts:05d}.npz", "wb") as file:
            np.savez(file, indptr=found.indptr, col=found.column, value=found.value.astype(np.float32))
        self._parts += 1

    def finish(self, reference: Reference) -> None:
        """Write features.parquet: column, share and in_D of each feature or half."""
        share = reference.share
        table = {"column": np.arange(len(share), dtype=np.int32), "share": share, "in_D": reference.discriminative}
        with writing(self._features):
            pq.write_table(pa.table(table), self._scratch / "features.parquet")

    def place(self) -> None:
        """Put both where they belong; the last call."""
        with writing(self._final):
            if self._final.exists():
                self._final.rename(self._scratch / "replaced")
            (self._scratch / "activations").rename(self._final)
            (self._scratch / "features.parquet").replace(self._features)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
