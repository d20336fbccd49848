"""Writing embeddings folders shard by shard, in any order and from several processes, so that a killed run can go on.

manifest.json is written first, incomplete, with everything that determines the rows. A finished shard is its two files
and then its mark, part-NNNNN.json. When all marks are there they move into the manifest, which is complete then.
Each step is atomic: a folder that was gone on with has the bytes of one that was never interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .._files import one_writer, refuse_existing, remove_temporaries, write_bytes, writing
from ..errors import FileFormatError, InputError, OutputError, OutputExistsError
from .folder import MANIFEST, Manifest, Shard, Skipped, mark_path, plain_json, read_mark, read_shard
from .writing import STAGE, narrowed, refuse_foreign, replace_folder, write_shard


class ShardWriter:
    """Write an .emb folder of a known number of shards, each at any time and from any process.

    One process holds the folder (`held`), and finishes it. Others may `write` while it does.

    Args:
        path: the folder, NAME.emb.
        dim: d, the number of features.
        dtype: stored type: float16, bfloat16, float32 or float64.
        shard_rows: rows in a shard, at most.
        count: number of shards.
        provenance: where the rows come from, as plain JSON: all that determines their bytes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dim: int,
        dtype: np.dtype,
        shard_rows: int,
        count: int,
        provenance: Mapping[str, Any],
    ) -> None:
        self.path = Path(path)
        self.folder = self.path  # where it is written: inside the old one where that is replaced
        self._count = count
        self._manifest = Manifest(False, dim, dtype.name, shard_rows, json.loads(plain_json(provenance)), ())

    @contextmanager
    def held(self, *, resume: bool = False, overwrite: bool = False) -> Iterator[None]:
        """Hold the folder, new or gone on with. After an error what is finished stays; where nothing is, nothing does.

        Args:
            resume: go on with what is there, if it was begun with the same settings.
            overwrite: replace an embeddings folder that is there, when the new one is complete; till then it stays.

        Raises:
            OutputExistsError: the folder exists, and is neither to be gone on with nor replaced.
            OutputError: it cannot be written, or another process writes there.
            InputError: it was begun with other settings.
        """
        self._refuse(resume=resume, overwrite=overwrite)
        is_new = not self.path.exists()
        with writing(self.path):
            self.path.mkdir(exist_ok=resume or overwrite)
        with one_writer(self.path):
            try:
                self._begin(resume=resume, replaces=overwrite and not is_new)
                yield
            finally:
                if not self.complete and not self.finished():
                    self._abandon(is_new=is_new)

    def finished(self) -> dict[int, Shard]:
        """The shards that are marked as finished."""
        marks = {number: read_mark(mark_path(self.folder, number)) for number in range(self._count)}
        return {number: mark for number, mark in marks.items() if mark is not None}

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return _is_complete(self.folder)

    def write(self, number: int, h: np.ndarray, table: pa.Table, skipped: tuple[Skipped, ...] = ()) -> None:
        """Write a shard and mark it finished.

        Args:
            number: which, from 0.
            h: [m, dim], m at least 0.
            table: the columns of these rows, row first.
            skipped: images that gave no row.
        """
        stored = narrowed(h, np.dtype(self._manifest.dtype))
        mark = write_shard(self.folder, number, stored, table, skipped)
        write_bytes(mark_path(self.folder, number), plain_json(asdict(mark)))

    def finish(self) -> None:
        """Move the marks of all shards into the manifest, which is complete from then on.

        Raises:
            OutputError: a shard is missing.
        """
        marks = self.finished()
        missing = [number for number in range(self._count) if number not in marks]
        if missing:
            raise OutputError(f"{self.path} lacks shard {missing[0]} of {self._count}: go on with it (--resume)")
        self._write_manifest(complete=True, shards=tuple(marks[number] for number in range(self._count)))
        self._settle()

    def _refuse(self, *, resume: bool, overwrite: bool) -> None:
        refuse_foreign(self.path)
        if self.path.exists() and not (resume or overwrite) and not _is_complete(self.path):
            raise OutputExistsError(
                f"{self.path} exists already, incomplete, and was left alone: go on with it (--resume), "
                "overwrite it (--overwrite), or choose another output"
            )
        refuse_existing(self.path, overwrite=resume or overwrite)

    def _begin(self, *, resume: bool, replaces: bool) -> None:
        stage = self.path / STAGE
        with writing(self.path):
            if replaces:
                shutil.rmtree(stage, ignore_errors=True)
                stage.mkdir()
            if (stage / MANIFEST).exists() or replaces:
                self.folder = stage
            remove_temporaries(self.folder)
        if not (self.folder / MANIFEST).exists():
            self._write_manifest(complete=False, shards=())
            return
        begun = Manifest.read(self.folder)
        self._refuse_changes(begun)
        if begun.complete:
            self._settle()
        else:
            self._forget_damaged()

    def _refuse_changes(self, begun: Manifest) -> None:
        was, now = _settings(begun), _settings(self._manifest)
        differences = [
            f"{name} was {was.get(name)!r}, now it is {now.get(name)!r}"
            for name in sorted(was.keys() | now.keys())
            if was.get(name) != now.get(name)
        ]
        if differences:
            raise InputError(
                f"{self.path} was begun with other settings, so it cannot be gone on with: {'; '.join(differences)}. "
                "Give the same again, or start anew (--overwrite)"
            )

    def _forget_damaged(self) -> None:
        """Remove the marks of shards whose files are not what the mark says."""
        for number, mark in self.finished().items():
            try:
                if mark.rows:
                    read_shard(self.folder, number, mark, self._manifest)
            except FileFormatError:
                mark_path(self.folder, number).unlink()

    def _settle(self) -> None:
        """What remains when the manifest is complete: to drop the marks, and to take the place of an older folder."""
        for number in range(self._count):
            mark_path(self.folder, number).unlink(missing_ok=True)
        if self.folder != self.path:
            replace_folder(self.path, self.folder)
            self.folder = self.path

    def _abandon(self, *, is_new: bool) -> None:
        """Leave no trace of a folder of which nothing was finished."""
        if self.folder != self.path:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif is_new:
            shutil.rmtree(self.path, ignore_errors=True)

    def _write_manifest(self, *, complete: bool, shards: tuple[Shard, ...]) -> None:
        began = self._manifest
        Manifest(complete, began.d, began.dtype, began.shard_rows, began.provenance, shards).write(self.folder)


def _is_complete(path: Path) -> bool:
    try:
        return Manifest.read(path).complete
    except FileFormatError:
        return False


def _settings(manifest: Manifest) -> dict[str, Any]:
    """What must be the same when a folder is gone on with, flat."""
    described = {"d": manifest.d, "dtype": manifest.dtype, "shard_rows": manifest.shard_rows}
    for name, value in manifest.provenance.items():
        described |= (
            {f"{name}.{key}": entry for key, entry in value.items()} if isinstance(value, dict) else {name: value}
        )
    return described
