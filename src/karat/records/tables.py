"""Parquet tables with one row a sample and their record in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .._files import atomic_path, writing
from ..errors import FileFormatError, InputError
from .known import Record, WithColumns
from .plain import from_dict, to_dict

KEY = b"karat"


class Columns(Mapping[str, np.ndarray]):
    """The columns of a Parquet file, each read when it is first asked for. A null number reads as NaN."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = open_table(path).schema_arrow.names
        self._read: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            try:
                self._read[name] = to_numpy(open_table(self.path).read(columns=[name]).column(0))
            except (OSError, pa.ArrowException) as error:
                raise FileFormatError(f"{self.path}: the column {name!r} is damaged ({error})") from error
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names  # nothing is read

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class TableWriter:
    """Write a table block by block; it appears under its name, whole, when the block ends well.

    Args:
        path: where; what was there is replaced only then.
        whole: columns that are known from the first row to the last; they have the type of all their values, where
            that of another column is decided by its first block.

    Raises:
        InputError: a column that no table can hold.
    """

    def __init__(self, path: Path, whole: Mapping[str, np.ndarray] | None = None) -> None:
        self.path = path
        self._types = {name: _type_of(values, name) for name, values in (whole or {}).items()}
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        self._temporary = self._stack.enter_context(atomic_path(self.path))
        return self

    def append(self, columns: Mapping[str, np.ndarray]) -> None:
        """Add rows as one row group; every call has the same columns.

        Raises:
            OutputError: the disk is full.
            InputError: a column that no table can hold.
        """
        table = pa.table({name: to_arrow(values, name, self._types.get(name)) for name, values in columns.items()})
        with writing(self.path):
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._temporary, table.schema, compression="zstd")
                self._stack.callback(self._writer.close)
            self._writer.write_table(table.cast(self._writer.schema))

    def finish(self, record: Record) -> None:
        """Add the record to the file's metadata; the last call."""
        if self._writer is None:
            raise InputError("a table without rows cannot be written")
        with writing(self.path):
            self._writer.add_key_value_metadata({KEY: json.dumps(to_dict(record), allow_nan=False)})
            self._writer.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def write_table(path: Path, record: WithColumns) -> None:
    """Write the columns of a record, and the record in the metadata, atomically."""
    with TableWriter(path) as writer:
        writer.append(record.columns)
        writer.finish(record)


def read_record(path: Path) -> Record:
    """The record in a table's metadata, with the table as its columns.

    Raises:
        FileFormatError: missing, no Parquet file, or without a record of karat.
    """
    metadata = open_table(path).metadata.metadata or {}
    if KEY not in metadata:
        raise FileFormatError(f"{path} holds no record of karat: make it with karat score or karat probe")
    try:
        content = json.loads(metadata[KEY])
    except ValueError as error:
        raise FileFormatError(f"{path}: the record in its metadata is damaged ({error})") from error
    return from_dict(content, Columns(path))


def open_table(path: Path) -> pq.ParquetFile:
    """A Parquet file, its footer read.

    Raises:
        FileFormatError: missing, unreadable, empty, truncated, or no Parquet file.
    """
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise FileFormatError(f"{path} does not exist") from error
    except (OSError, pa.ArrowException) as error:
        raise FileFormatError(f"{path} is no readable Parquet file ({error})") from error


def to_arrow(values: np.ndarray, name: str, kind: pa.DataType | None = None) -> pa.Array:
    """A column: one value a sample, or a vector a sample as a fixed-size list; NaN becomes null.

    Raises:
        InputError: of a type, or of mixed types, that no table can hold.
    """
    if values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])
    try:
        if values.dtype.kind == "U":
            return pa.array(values.tolist(), pa.string())
        return pa.array(values, kind, from_pandas=True)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
        raise InputError(f"the column {name!r} holds values that no table can hold ({error})") from error


def _type_of(values: np.ndarray, name: str) -> pa.DataType:
    """The type of a column: of objects, it depends on all of them."""
    return to_arrow(values if values.dtype == object else values[:1], name).type


def to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """A column as NumPy has it: [n], or [n, k] from a fixed-size list; null numbers are NaN."""
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    if pa.types.is_string(column.type) and column.null_count == 0:
        return np.asarray(column.to_pylist(), np.str_)
    return column.to_numpy()
