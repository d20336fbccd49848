"""A run as the explorer sees it: what it holds, what is missing or damaged, and whether it is still being written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from .. import runs
from ..errors import FileFormatError
from ..records import Record, Scores, WithColumns
from ..store.folder import MANIFEST, Manifest
from .table import Table

_STATED = ("run.json", "scores.parquet", "images.json")


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A run that can be looked at.

    Attributes:
        path: its folder.
        title: its name.
        records: name -> record, in the order they were added.
        problems: sentences: what is missing or damaged.
        being_written: whether a part of it is incomplete: somebody writes there now, or was interrupted.
        state: what tells whether it has changed since.
    """

    path: Path
    title: str
    records: Mapping[str, Record]
    problems: tuple[str, ...]
    being_written: bool
    state: tuple[tuple[int, int], ...]
    _tables: dict[str, Table | None] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def has_changed(self) -> bool:
        """Whether its records, scores or images have been written since it was opened: open it again."""
        return _state(self.path) != self.state

    @property
    def scores(self) -> str | None:
        """The name of the scores record whose samples are shown: "scores", else the first that has a table."""
        names = sorted(self.of_kind(Scores), key=lambda name: name != "scores")  # a stable sort
        return next((name for name in names if self.table(name) is not None), None)

    def of_kind(self, kind: type[Record]) -> list[str]:
        """The names of the records of a kind."""
        return [name for name, record in self.records.items() if isinstance(record, kind)]

    def table(self, name: str) -> Table | None:
        """The table of a record, kept open; None where there is none that can be read."""
        with self._lock:
            if name not in self._tables:
                self._tables[name] = self._open_table(name)
            return self._tables[name]

    def _open_table(self, name: str) -> Table | None:
        path = runs.columns_path(self.path, name)
        if not isinstance(self.records.get(name), WithColumns) or not path.is_file():
            return None
        try:
            table = Table.of_file(path)
        except FileFormatError:
            return None
        return table if table.kind("id") == "text" else None


def open_run(folder: str | Path) -> OpenedRun:
    """Open a run; nothing that grows with the number of samples is read.

    A folder without run.json that holds embeddings or scores is a run that is not finished: what is there is shown.

    Raises:
        FileFormatError: no such folder, or no run of karat.
    """
    path = Path(folder)
    state = _state(path)
    records, damaged = _records(path)
    if "scores" not in records and (path / "scores.parquet").is_file():
        try:
            records = {"scores": runs.load_record(path / "scores.parquet"), **records}
            damaged.setdefault("scores", "run.json does not name it (yet); scores.parquet is shown as it is")
        except FileFormatError as error:
            damaged.setdefault("scores", str(error))
    unfinished = list(_unfinished(path))
    prefix = f"{path}{os.sep}"
    problems = [f"The part {part!r}: {why.replace(prefix, '')}." for part, why in damaged.items()]
    problems += [f"The table of {name!r} is missing or damaged." for name in _without_table(path, records, damaged)]
    problems += [f"{part} is incomplete: it is being written, or that was interrupted." for part in unfinished]
    if not records:
        problems.append("No record can be read: scores, features and verdicts are not shown.")
    title = path.resolve().name or str(path)
    return OpenedRun(path, title, records, tuple(problems), bool(unfinished) or not runs.is_run(path), state)


def _records(path: Path) -> tuple[dict[str, Record], dict[str, str]]:
    """The records, and what is damaged."""
    begun = (path / "scores.parquet").is_file() or any((path / "embeddings").glob(f"*.emb/{MANIFEST}"))
    try:
        run = runs.open_run(path, images=False)
    except FileFormatError as error:
        if not begun:
            raise
        return {}, {"run.json": str(error) if runs.is_run(path) else "there is none yet"}
    return dict(run.records), dict(run.damaged)


def _without_table(path: Path, records: Mapping[str, Record], damaged: Mapping[str, str]) -> Iterator[str]:
    for name, record in records.items():
        if isinstance(record, WithColumns) and name not in damaged:
            try:
                Table.of_file(runs.columns_path(path, name))
            except FileFormatError:
                yield name


def _unfinished(path: Path) -> Iterator[str]:
    """Parts of a run that somebody has begun and not ended."""
    for folder in sorted((path / "embeddings").glob("*.emb")):
        try:
            complete = Manifest.read(folder).complete
        except FileFormatError:
            complete = False
        if not complete:
            yield f"embeddings/{folder.name}"
    for file in sorted([*path.glob(".*.tmp"), *path.glob(".*.spill"), *path.glob("records/.*.tmp")]):
        yield file.name[1:].rsplit(".", 2)[0]


def _state(path: Path) -> tuple[tuple[int, int], ...]:
    """Size and time of the files that every writer replaces."""
    found = []
    for name in _STATED:
        try:
            status = (path / name).stat()
            found.append((status.st_size, status.st_mtime_ns))
        except OSError:
            found.append((-1, -1))
    return tuple(found)
