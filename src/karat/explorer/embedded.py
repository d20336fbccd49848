"""The embeddings of a run: which samples each folder holds, and their rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from ..embeddings import Shards
from ..errors import FileFormatError
from ..store.arrays import read_npy
from ..store.folder import Manifest, MappedFile, shard_paths
from .table import place_of

# Of several folders, the one whose samples are shown: those that were judged come before those trained on.
_FIRST = ("val.emb", "explained.emb")


@dataclass(frozen=True)
class Embedded:
    """An embeddings folder.

    Attributes:
        path: the folder.
        shards: the number of each shard that has rows, and its file of rows.
    """

    path: Path
    shards: tuple[tuple[int, MappedFile], ...]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Open a folder that is complete.

        Raises:
            FileFormatError: it is incomplete or damaged.
        """
        manifest = Manifest.read(path)
        if not manifest.complete or manifest.n == 0:
            raise FileFormatError(f"{path.name} is incomplete or empty")
        shards = []
        for number, shard in enumerate(manifest.shards):
            if shard.rows:
                file = shard_paths(path, number)[0]
                h = read_npy(file).h
                if h.shape != (shard.rows, manifest.d):
                    raise FileFormatError(f"{file.name} of {path.name} is not what the manifest says")
                shards.append((number, MappedFile(file, (shard.rows, manifest.d), h.dtype)))
        return cls(path, tuple(shards))

    @property
    def h(self) -> Shards:
        """The matrix [n, d], read where it is looked at."""
        return Shards([file for _, file in self.shards])

    def columns(self) -> pa.Table:
        """Ids, labels and other columns of all rows."""
        return pa.concat_tables([self._read(number) for number, _ in self.shards], promote_options="default")

    def row_of(self, id: str) -> int | None:
        """The row of a sample."""
        start = 0
        for number, file in self.shards:
            row = place_of(id, self._read(number, "id").column(0).cast(pa.string()))
            if row is not None:
                return start + row
            start += file.shape[0]
        return None

    def ids_at(self, rows: list[int]) -> list[str]:
        """The ids of some rows; only the shards that hold them are read."""
        found: dict[int, str] = {}
        start = 0
        for number, file in self.shards:
            inside = [row for row in rows if start <= row < start + file.shape[0]]
            if inside:
                ids = self._read(number, "id").column(0).cast(pa.string())
                found |= {row: ids[row - start].as_py() for row in inside}
            start += file.shape[0]
        return [found[row] for row in rows]

    def _read(self, number: int, *columns: str) -> pa.Table:
        file = shard_paths(self.path, number)[1]
        try:
            return pq.read_table(file, columns=list(columns) or None)
        except (OSError, pa.ArrowException) as error:
            raise FileFormatError(f"{file.name} of {self.path.name} is damaged ({error})") from error


def embedded(run: Path) -> Iterator[Embedded]:
    """The embeddings of a run that are complete and hold ids."""
    folders = sorted((run / "embeddings").glob("*.emb"))
    for folder in sorted(folders, key=lambda folder: _FIRST.index(folder.name) if folder.name in _FIRST else 2):
        try:
            found = Embedded.of(folder)
        except (FileFormatError, OSError):
            continue  # the run says so already
        if "id" in pq.read_schema(shard_paths(folder, found.shards[0][0])[1]).names:
            yield found
