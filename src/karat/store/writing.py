"""Writing embeddings folders.

A shard is written under a temporary name, synced, renamed, and only then marked done in the manifest. Nothing stored
tells a time, a host or an absolute path, and nothing depends on the blocks that rows come in: equal rows, columns and
provenance give equal bytes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .._array import FLOATS, as_block, as_rows
from .._files import atomic_path, digest_file, one_writer, refuse_existing, writing
from ..embeddings import Embeddings
from ..errors import InputError, InputTypeError, OutputExistsError
from .folder import MANIFEST, Manifest, Shard, Skipped, plain_json, shard_paths

STAGE = ".new"  # where the successor of a folder grows, in it
_LOCK = ".lock"
_FIRST = ("id", "path", "label")

Columns = Mapping[str, Sequence[Any] | np.ndarray | pa.Array]


class EmbeddingsWriter:
    """Write embeddings to an .emb folder, block by block; one shard is held in memory.

    The folder is complete when the `with` block ends well. When it ends with an error, the finished shards stay, and
    `load` refuses the folder as incomplete; where no shard was finished, nothing stays.

    Args:
        path: the folder, NAME.emb.
        dim: d, the number of features.
        dtype: stored type: float16, bfloat16, float32 or float64.
        provenance: where the rows come from, as plain JSON.
        shard_rows: rows in a shard.
        overwrite: replace an embeddings folder that is there, when the new one is complete; till then the old one stays
            (and may be read from).

    Raises:
        OutputExistsError: the folder exists, or (with `overwrite`) it is no embeddings folder.
        OutputError: it cannot be written, or another process writes there.
        InputError: blocks or columns that do not fit, values beyond the range of `dtype`, or no rows at all.
        InputTypeError: columns or provenance that cannot be stored.

    >>> import tempfile
    >>> from karat.store import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with EmbeddingsWriter(f"{folder}/eye.emb", dim=3) as writer:
    ...         writer.append(np.eye(3), {"id": ["a", "b", "c"]})
    ...     load(f"{folder}/eye.emb")
    Embeddings(n=3, d=3, dtype=float32, ids)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dim: int,
        dtype: str | np.dtype = "float32",
        provenance: Mapping[str, Any] | None = None,
        shard_rows: int = 16384,
        overwrite: bool = False,
    ) -> None:
        if dim < 1 or shard_rows < 1:
            raise InputError(f"dim is {dim} and shard_rows is {shard_rows}, but both must be at least 1")
        if np.dtype(dtype) not in FLOATS:
            raise InputError(f"dtype is {dtype}, but one of {', '.join(kind.name for kind in FLOATS)} is needed")
        self._path = self._folder = Path(path)  # what is asked for, and where it is written
        self._provenance = dict(provenance or {})
        plain_json(self._provenance)
        self._overwrite = overwrite
        self._shards: list[Shard] = []
        self._h = np.empty((shard_rows, dim), dtype)  # the shard in the making
        self._filled = 0
        self._tables: list[pa.Table] = []
        self._schema: pa.Schema | None = None
        self._lock = ExitStack()

    def __enter__(self) -> Self:
        refuse_existing(self._path, overwrite=self._overwrite)
        refuse_foreign(self._path)
        replaces = self._path.exists()
        with writing(self._path):
            self._path.mkdir(exist_ok=self._overwrite)
        with ExitStack() as entering:
            entering.enter_context(one_writer(self._path))
            if replaces:
                self._folder = self._path / STAGE
                with writing(self._path):
                    shutil.rmtree(self._folder, ignore_errors=True)
                    self._folder.mkdir()
            self._mark(complete=False)
            self._lock = entering.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            try:
                if kind is None:
                    self._finish()
            finally:
                if self._folder != self._path:
                    shutil.rmtree(self._folder, ignore_errors=True)
                elif not self._shards:
                    shutil.rmtree(self._path, ignore_errors=True)

    def append(self, h: Any, columns: Columns | None = None) -> None:
        """Add rows.

        Args:
            h: [m, dim], real.
            columns: name -> [m] values: id, path, label and any others (not row, which is counted); the same names and
                types in every call.
        """
        rows = as_rows(h)
        m, d = rows.shape
        if d != self._h.shape[1]:
            raise InputError(f"h has shape {[m, d]}, but {self._h.shape[1]} features are needed")
        table = self._as_table(columns or {}, m)
        taken = 0
        while taken < m:
            count = min(m - taken, len(self._h) - self._filled)
            self._copy(as_block(rows[taken : taken + count]))
            self._tables.append(table.slice(taken, count))
            taken += count
            if self._filled == len(self._h):
                self._write_shard()

    def _as_table(self, columns: Columns, m: int) -> pa.Table:
        """The columns of m rows, in a fixed order, after the number of each row."""
        start = sum(shard.rows for shard in self._shards) + self._filled
        arrays = {"row": pa.array(np.arange(start, start + m))}
        for name in sorted(columns, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)):
            if name in ("row", "h"):
                raise InputError(f"there is a column {name!r}, but row and h are taken: rename it or leave it out")
            arrays[name] = _as_column(columns[name], name)
            if len(arrays[name]) != m:
                raise InputError(f"column {name!r} has {len(arrays[name])} entries, but there are {m} rows in h")
        table = pa.table(arrays)
        if self._schema not in (None, table.schema):
            raise InputError(
                f"the columns are {_described(table.schema)}, but in earlier rows {_described(self._schema)}: "
                "names and types must stay the same"
            )
        self._schema = table.schema
        return table

    def _copy(self, block: np.ndarray) -> None:
        end = self._filled + len(block)
        self._h[self._filled : end] = narrowed(block, self._h.dtype)
        self._filled = end

    def _write_shard(self) -> None:
        """Write the rows that were collected, then mark them done."""
        table = pa.concat_tables(self._tables)
        self._shards.append(write_shard(self._folder, len(self._shards), self._h[: self._filled], table))
        self._filled, self._tables = 0, []
        self._mark(complete=False)

    def _finish(self) -> None:
        if self._filled:
            self._write_shard()
        if not self._shards:
            raise InputError(f"no rows were given, so {self._path} was not written")
        self._mark(complete=True)
        if self._folder != self._path:
            replace_folder(self._path, self._folder)

    def _mark(self, *, complete: bool) -> None:
        shard_rows, d = self._h.shape
        manifest = Manifest(complete, d, self._h.dtype.name, shard_rows, self._provenance, tuple(self._shards))
        manifest.write(self._folder)


def save(embeddings: Embeddings, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write embeddings to an .emb folder, in their own type (integers and booleans as float64).

    Raises:
        OutputExistsError: the folder exists.
        OutputError: it cannot be written.
    """
    columns = {"id": embeddings.ids, "label": embeddings.labels, **embeddings.extra}
    present = {name: values for name, values in columns.items() if values is not None}
    dtype = as_block(embeddings.h[:1]).dtype
    with EmbeddingsWriter(
        path, dim=embeddings.d, dtype=dtype, provenance=embeddings.provenance, overwrite=overwrite
    ) as writer:
        writer.append(embeddings.h, present)


def narrowed(block: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """h in the type that it is stored in.

    Raises:
        InputError: values beyond its range.
    """
    try:
        with np.errstate(over="raise"):
            return block.astype(dtype, copy=False)
    except FloatingPointError as error:
        raise InputError(f"h has values beyond the range of {dtype}: choose a wider dtype") from error


def write_shard(folder: Path, number: int, h: np.ndarray, table: pa.Table, skipped: tuple[Skipped, ...] = ()) -> Shard:
    """Write the two files of a shard, each atomically; returns its done-mark."""
    if not len(h):
        return Shard(0, "", "", skipped)
    npy, parquet = shard_paths(folder, number)
    with atomic_path(npy) as temporary:
        with open(temporary, "wb") as file:
            np.save(file, h, allow_pickle=False)
        npy_digest = digest_file(temporary)
    with atomic_path(parquet) as temporary:
        # One chunk, so that the pages do not depend on the blocks that the rows came in.
        pq.write_table(table.combine_chunks(), temporary)
        parquet_digest = digest_file(temporary)
    return Shard(len(h), npy_digest, parquet_digest, skipped)


def replace_folder(path: Path, stage: Path) -> None:
    """Put the complete folder `stage` in the place of the one that holds it: its manifest goes first and comes last.

    Where it was interrupted it can be called again.
    """
    with writing(path):
        manifest = Manifest.read(stage)
        (path / MANIFEST).unlink(missing_ok=True)
        new = {
            file.name
            for number, shard in enumerate(manifest.shards)
            if shard.rows
            for file in shard_paths(stage, number)
        }
        for old in path.glob("part-*"):
            if old.suffix in (".npy", ".parquet", ".json") and old.name not in new:
                old.unlink()
        for name in sorted(new):
            if (stage / name).exists():  # else it was moved before the interruption
                os.replace(stage / name, path / name)
        os.replace(stage / MANIFEST, path / MANIFEST)
        shutil.rmtree(stage, ignore_errors=True)


def _as_column(values: Sequence[Any] | np.ndarray | pa.Array, name: str) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    try:
        return pa.array(values)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InputTypeError(
            f"column {name!r} cannot be stored: its values must be of one plain type ({error})"
        ) from error


def _described(schema: pa.Schema) -> str:
    return "[" + ", ".join(f"{field.name} {field.type}" for field in schema) + "]"


def refuse_foreign(path: Path) -> None:
    """Refuse to write into anything that is no embeddings folder.

    Raises:
        OutputExistsError: it is a file, or a folder that holds something else.
    """
    if path.exists() and not _is_ours(path):
        raise OutputExistsError(f"{path} is no embeddings folder, so it was left alone: choose another output")


def _is_ours(path: Path) -> bool:
    """Whether it is an embeddings folder, or what an early kill leaves of one."""
    if not path.is_dir():
        return False
    if (path / MANIFEST).exists() or (path / STAGE / MANIFEST).exists():
        return True
    return all(entry.name in (_LOCK, STAGE) or entry.name.startswith(f".{MANIFEST}.") for entry in path.iterdir())
