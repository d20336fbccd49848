"""A table of a run, its columns read when they are first asked for, as numbers, flags and texts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import FileFormatError

Kind = Literal["number", "flag", "text"]
# Few values, many samples: each value is kept once. So are those of any column that takes fewer bytes a value.
ENCODED = ("label", "prediction")
_BYTES = 4
# These are names, whatever type they have in the file.
_TEXTS = ("id", *ENCODED)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one length.

    Attributes:
        name: what messages call it.
        schema: the columns as they are stored.
        rows: how many there are.
        read: reads one column as it is stored.
        metadata: the footer of a Parquet file.
    """

    name: str
    schema: pa.Schema
    rows: int
    read: Callable[[str], pa.ChunkedArray]
    metadata: pq.FileMetaData | None = None
    _kept: dict[str, pa.ChunkedArray] = field(default_factory=dict, repr=False)
    _lock: RLock = field(default_factory=RLock, repr=False)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """A Parquet file, its footer read. It stays open: if it is replaced, what was there is read on.

        Raises:
            FileFormatError: missing, unreadable, or no Parquet file.
        """
        try:
            file = pq.ParquetFile(path)
            file = pq.ParquetFile(path, metadata=file.metadata, read_dictionary=_encoded_in(file))
        except (OSError, pa.ArrowException) as error:
            raise FileFormatError(f"{path.name} is no readable Parquet file ({error})") from error
        metadata = file.metadata
        read = lambda name: file.read(columns=[name]).column(0)  # noqa: E731 (a method of the open file)
        return cls(path.name, file.schema_arrow, metadata.num_rows, read, metadata)

    @classmethod
    def of_columns(cls, name: str, columns: pa.Table) -> Self:
        """A table in memory."""
        return cls(name, columns.schema, columns.num_rows, columns.column)

    def kind(self, name: str) -> Kind | None:
        """Of a column; None: it is not there, or holds what can be neither shown nor sorted (vectors)."""
        if name not in self.schema.names:
            return None
        kind = self.schema.field(name).type
        if pa.types.is_nested(kind) and not pa.types.is_dictionary(kind):
            return None
        if name in _TEXTS:
            return "text"
        if pa.types.is_boolean(kind):
            return "flag"
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return "number"
        return None if _is_bytes(kind) else "text"

    def column(self, name: str) -> pa.ChunkedArray:
        """A column by its kind: missing numbers are null, labels and predictions dictionary-encoded text.

        Raises:
            FileFormatError: it cannot be read.
        """
        with self._lock:
            if name not in self._kept:
                try:
                    self._kept[name] = self._as_kind(name, self.read(name))
                except (OSError, pa.ArrowException) as error:
                    raise FileFormatError(f"{self.name}: the column {name!r} is damaged ({error})") from error
            return self._kept[name]

    def share(self, name: str, values: pa.ChunkedArray) -> None:
        """Keep the same values of another table in the place of a column's own: once in memory, not twice."""
        with self._lock:
            self._kept[name] = values

    def bounds(self, name: str) -> tuple[float, float] | None:
        """The smallest and largest finite number of a column, from the file's footer where it says; None: none.

        Raises:
            FileFormatError: the column cannot be read.
        """
        stored = self._stored_bounds(name)
        if stored is not None and all(map(math.isfinite, stored)):
            return stored[0] + 0.0, stored[1] + 0.0
        values = self.column(name)
        if pa.types.is_floating(values.type):
            values = values.filter(pc.is_finite(values))
        found = pc.min_max(values)
        low, high = found["min"].as_py(), found["max"].as_py()
        return None if low is None else (float(low) + 0.0, float(high) + 0.0)  # no -0.0

    def row_of(self, id: str) -> int | None:
        """The first row of an id.

        Raises:
            FileFormatError: the ids cannot be read.
        """
        return place_of(id, self.column("id"))

    def _stored_bounds(self, name: str) -> tuple[float, float] | None:
        if self.metadata is None or self.metadata.num_row_groups == 0:
            return None
        leaves = [self.metadata.schema.column(leaf).path for leaf in range(self.metadata.num_columns)]
        leaf = leaves.index(name)
        groups = [self.metadata.row_group(number).column(leaf) for number in range(self.metadata.num_row_groups)]
        found = [group.statistics for group in groups]
        if any(one is None or not one.has_min_max for one in found):
            return None
        return float(min(one.min for one in found)), float(max(one.max for one in found))

    def _as_kind(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        kind = self.kind(name)
        if kind == "number":
            return _numbers(column)
        if kind == "flag":
            return column
        encoded = name in ENCODED or pa.types.is_dictionary(column.type)
        if name == "id":
            return _texts(column).fill_null("")
        return _encoded(column) if encoded else _texts(column)


def place_of(text: str, column: pa.ChunkedArray) -> int | None:
    """The first row that holds a text; None where there is none."""
    if text.encode(errors="ignore").decode() != text:
        return None  # no table can hold it
    row = int(pc.index(column, text).as_py())
    return None if row < 0 else row


def _encoded_in(file: pq.ParquetFile) -> list[str]:
    """The columns of text that a file holds as numbers of a dictionary."""
    texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type) and field.name != "id"]
    size = dict.fromkeys(texts, 0)
    for group in map(file.metadata.row_group, range(file.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema in size:
                size[column.path_in_schema] += column.total_uncompressed_size
    return [name for name in texts if name in ENCODED or size[name] < _BYTES * file.metadata.num_rows]


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as DuckDB has them, NaN as null."""
    if pa.types.is_float16(column.type) or pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if not pa.types.is_floating(column.type):
        return column
    missing = pc.is_nan(column)
    return pc.if_else(missing, None, column) if pc.any(missing).as_py() else column


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = column if pa.types.is_string(column.type) else column.cast(pa.string())
    texts.validate(full=True)  # bytes that are no text are found here, not in the midst of a page
    return texts


def _encoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as numbers of a dictionary whose entries differ; the empty text is a missing one."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.dictionary(pa.int32(), pa.string())).unify_dictionaries()
    else:
        column = _texts(column).dictionary_encode()
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # no rows, or (in other versions of Arrow) one chunk
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], pa.string()).dictionary_encode()
    whole.dictionary.validate(full=True)
    empty = pc.index(whole.dictionary, "").as_py()
    codes = whole.indices
    if empty >= 0:
        codes = pc.if_else(pc.equal(codes, empty), None, codes)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(codes, whole.dictionary)])
