"""Embeddings folders (NAME.emb): shards of rows as .npy beside .parquet, and a manifest that says which are done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from .._files import write_bytes
from ..embeddings import Shards
from ..errors import FileFormatError, InputTypeError
from .arrays import read_npy
from .content import Contents
from .tables import decoding, named_columns, read_parquet_columns

SCHEMA = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Skipped:
    """An image that gave no row, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Shard:
    """The done-mark of a shard: its rows, the xxh3-128 of its two files, and what was skipped. No rows: no files."""

    rows: int
    npy: str
    parquet: str
    skipped: tuple[Skipped, ...] = ()

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The mark that `asdict` made plain."""
        return cls(**{**fields, "skipped": tuple(Skipped(**entry) for entry in fields.get("skipped", ()))})


@dataclass(frozen=True)
class Manifest:
    """What an embeddings folder holds.

    Attributes:
        complete: whether all rows have been written.
        d, dtype: of the matrix.
        shard_rows: rows of every shard but the last, at most.
        provenance: where the rows come from.
        shards: the finished ones, in order.
    """

    complete: bool
    d: int
    dtype: str
    shard_rows: int
    provenance: Mapping[str, Any]
    shards: tuple[Shard, ...]

    @property
    def n(self) -> int:
        """Rows in the finished shards."""
        return sum(shard.rows for shard in self.shards)

    def write(self, folder: Path) -> None:
        """Write it into the folder, atomically."""
        write_bytes(folder / MANIFEST, plain_json({"schema": SCHEMA, "n": self.n, **asdict(self)}))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The manifest of a folder.

        Raises:
            FileFormatError: there is none, or it is damaged, or of another schema.
        """
        path = folder / MANIFEST
        if not path.exists():
            raise FileFormatError(f"{folder} is a directory without {MANIFEST}, so it is no embeddings folder (.emb)")
        try:
            fields = json.loads(path.read_bytes())
            schema, n = fields.pop("schema"), fields.pop("n")
            if schema != SCHEMA:
                raise FileFormatError(f"{path} has schema {schema}, but this karat reads {SCHEMA}: update karat")
            manifest = cls(**{**fields, "shards": tuple(map(Shard.from_dict, fields["shards"]))})
            if manifest.n != n:
                raise ValueError(f"n is {n}, but the shards have {manifest.n} rows")
        except FileFormatError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileFormatError(f"{path} is damaged: {error}") from error
        return manifest


@dataclass(frozen=True)
class MappedFile:
    """An .npy that is mapped only while its rows are read, so that any number of shards keeps few files open."""

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        return read_npy(self.path).h[rows]


def shard_paths(folder: Path, number: int) -> tuple[Path, Path]:
    """The two files of a shard: its rows of the matrix and their columns."""
    return folder / f"part-{number:05d}.npy", folder / f"part-{number:05d}.parquet"


def mark_path(folder: Path, number: int) -> Path:
    """Where a finished shard is marked while the folder is incomplete and has several writers."""
    return folder / f"part-{number:05d}.json"


def read_mark(path: Path) -> Shard | None:
    """The mark of a finished shard; None where there is none, or it is damaged."""
    try:
        return Shard.from_dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return None


def plain_json(value: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys.

    Raises:
        InputTypeError: it holds something that is no plain JSON.
    """
    try:
        return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"provenance must be plain JSON (text, numbers, lists, dictionaries): {error}") from error


def read_folder(path: Path) -> Contents:
    """The matrix (shard by shard, as its rows are read) and the columns of an embeddings folder.

    Raises:
        FileFormatError: incomplete, or its files are not what the manifest says.
    """
    manifest = Manifest.read(path)
    if not manifest.complete:
        done = [mark for file in path.glob("part-*.json") if (mark := read_mark(file)) is not None] or manifest.shards
        raise FileFormatError(
            f"{path} is incomplete: writing it was interrupted after {len(done)} shards "
            f"({sum(shard.rows for shard in done)} rows): repeat the same karat extract with --resume, or write it anew"
        )
    rows, tables = [], []
    for number, shard in enumerate(manifest.shards):
        if shard.rows:
            matrix, table = read_shard(path, number, shard, manifest)
            rows.append(matrix)
            tables.append(table)
    with decoding(path):
        columns = named_columns(pa.concat_tables(tables))
    skipped = [entry for shard in manifest.shards for entry in shard.skipped]
    return Contents(Shards(rows), **columns, provenance=with_skipped(manifest.provenance, skipped))


def with_skipped(provenance: Mapping[str, Any], skipped: Sequence[Skipped]) -> Mapping[str, Any]:
    """The provenance, with what was skipped where anything was."""
    return {**provenance, "skipped": [asdict(entry) for entry in skipped]} if skipped else provenance


def read_shard(folder: Path, number: int, shard: Shard, manifest: Manifest) -> tuple[MappedFile, pa.Table]:
    """Rows and columns of a shard that has some.

    Raises:
        FileFormatError: they are missing, damaged, or not what the manifest says.
    """
    npy, parquet = shard_paths(folder, number)
    for file in (npy, parquet):
        if not file.exists():
            raise FileFormatError(f"{file} is missing, but the manifest of {folder.name} lists it")
    matrix, table = _checked(npy, shard.rows, manifest), read_parquet_columns(parquet)
    if table.num_rows != shard.rows:
        raise FileFormatError(f"{parquet} has {table.num_rows} rows, but the manifest says {shard.rows}")
    return matrix, table


def _checked(path: Path, rows: int, manifest: Manifest) -> MappedFile:
    h = read_npy(path).h
    if h.shape != (rows, manifest.d) or h.dtype.name != manifest.dtype:
        raise FileFormatError(
            f"{path} holds {list(h.shape)} {h.dtype}, but the manifest says {[rows, manifest.d]} {manifest.dtype}"
        )
    return MappedFile(path, (rows, manifest.d), h.dtype)
