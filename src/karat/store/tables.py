"""Tables: Parquet and Arrow files, in which one column of lists is the matrix and scalar columns travel along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..embeddings import Streamed
from ..errors import FileFormatError, InputError, KaratError
from .content import Contents, pick

_BATCH_ROWS = 1024
_NOT_CARRIED = ("row", "h")
_LISTS = (pa.types.is_fixed_size_list, pa.types.is_list, pa.types.is_large_list)
_SCALARS = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_temporal,
    pa.types.is_dictionary,
)


@dataclass(frozen=True)
class _Table:
    """An open file of columns.

    Attributes:
        schema: its columns.
        sizes: rows of each chunk (row group or record batch).
        read: some columns, whole.
        arrays_from: (column, chunk) -> the arrays of a column, piece by piece from that chunk on.
    """

    schema: pa.Schema
    sizes: list[int]
    read: Callable[[list[str]], pa.Table]
    arrays_from: Callable[[str, int], Iterator[pa.Array]]


def read_parquet(path: Path, key: str | None = None) -> Contents:
    """A list column of a Parquet file, decoded as its rows are read, and its scalar columns."""
    with decoding(path):
        return _contents(path, _open_parquet(path), key)


def read_arrow(path: Path, key: str | None = None) -> Contents:
    """A list column of an Arrow file or stream, mapped into memory where not compressed, and its scalar columns."""
    with decoding(path):
        return _contents(path, _open_arrow(path), key)


def read_parquet_columns(path: Path, names: list[str] | None = None) -> pa.Table:
    """Some (or all) columns of a Parquet file."""
    with decoding(path), pq.ParquetFile(path) as file:
        return file.read(columns=names)


def parquet_schema(path: Path) -> pa.Schema:
    """The columns of a Parquet file and their types."""
    with decoding(path):
        return pq.read_schema(path)


def column_values(column: pa.ChunkedArray) -> np.ndarray:
    """A column as an array; a null is NaN among floats and None among the rest."""
    if column.null_count and not pa.types.is_floating(column.type):
        return np.array([*column.to_pylist(), None], dtype=object)[:-1]
    return column.to_numpy()


def named_columns(table: pa.Table) -> dict[str, Any]:
    """ids, labels and extra, as `Embeddings` takes them."""
    columns = {name: column_values(table.column(name)) for name in table.column_names if name not in _NOT_CARRIED}
    return {"ids": columns.pop("id", None), "labels": columns.pop("label", None), "extra": columns}


def is_scalar(kind: pa.DataType) -> bool:
    """Whether the values of this type are single numbers, strings, truth values or times."""
    return any(check(kind) for check in _SCALARS)


def _open_parquet(path: Path) -> _Table:
    file = pq.ParquetFile(path, memory_map=True)
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]

    def arrays_from(column: str, number: int) -> Iterator[pa.Array]:
        groups = list(range(number, len(sizes)))
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=[column]):
            yield batch.column(column)

    return _Table(file.schema_arrow, sizes, lambda names: file.read(columns=names), arrays_from)


def _open_arrow(path: Path) -> _Table:
    source = pa.memory_map(str(path))
    with open(path, "rb") as file:
        is_stream = file.read(4) == b"\xff\xff\xff\xff"
    if is_stream:
        stream = pa.ipc.open_stream(source)
        schema, batches = stream.schema, list(stream)
        count, get = len(batches), batches.__getitem__
    else:
        reader = pa.ipc.open_file(source)
        schema, count, get = reader.schema, reader.num_record_batches, reader.get_batch

    def batch(number: int) -> pa.RecordBatch:
        read = get(number)
        read.validate()  # else a damaged length ends the process
        return read

    def read(names: list[str]) -> pa.Table:
        return pa.Table.from_batches([batch(i).select(names) for i in range(count)], schema=_part(schema, names))

    def arrays_from(column: str, number: int) -> Iterator[pa.Array]:
        for i in range(number, count):
            yield batch(i).column(column)

    return _Table(schema, [batch(i).num_rows for i in range(count)], read, arrays_from)


def _contents(path: Path, table: _Table, key: str | None) -> Contents:
    fields = {field.name: field.type for field in table.schema}
    if len(fields) < len(table.schema):
        raise FileFormatError(f"{path} has two columns of one name, but each needs a name of its own")
    vectors = {name: (0, 0) for name, kind in fields.items() if _is_vector(kind)}
    column = pick(path, vectors, key, {name: str(kind) for name, kind in fields.items()})
    if column not in vectors:
        raise InputError(f"{path}: column {column!r} is {fields[column]}, but a list of numbers a row is needed")
    scalars = [name for name, kind in fields.items() if name != column and is_scalar(kind)]
    h = _matrix(path, table, column, fields[column])
    return Contents(h, **named_columns(table.read(scalars)), provenance={"source": path.name, "column": column})


def _matrix(path: Path, table: _Table, column: str, kind: pa.DataType) -> Streamed | np.ndarray:
    """The rows of a list column [n, d]; the first block is decoded and checked here."""
    starts = [0, *accumulate(table.sizes)]
    n = starts.pop()
    dtype = np.dtype(kind.value_type.to_pandas_dtype())
    d = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
    if n == 0:
        return np.empty((0, d), dtype)
    if d == 0:
        first = next(array for array in table.arrays_from(column, 0) if len(array))
        _refuse_rows(path, column, first.is_null(), 0, "null")
        d = len(first[0])

    def blocks_from(number: int) -> Iterator[np.ndarray]:
        start = starts[number]
        with decoding(path):
            for array in table.arrays_from(column, number):
                yield _block(path, column, array, d, start)
                start += len(array)
        if start < n:
            raise FileFormatError(f"{path} is truncated or damaged: it promises {n} rows, but row {start} is missing")

    rows = Streamed((n, d), dtype, starts=starts, blocks_from=blocks_from)
    rows[:1]
    return rows


def _block(path: Path, column: str, array: pa.Array, d: int, start: int) -> np.ndarray:
    """Lists as rows: [m] lists of d -> [m, d], without a copy where Arrow allows it."""
    if array.null_count:
        _refuse_rows(path, column, array.is_null(), start, "null")
    if not pa.types.is_fixed_size_list(array.type):
        other = pc.not_equal(pc.list_value_length(array), d)
        _refuse_rows(path, column, other, start, f"of another length than row 0, which has {d} numbers")
    values = array.flatten()
    if values.null_count:
        holes = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)) // d
        mask = np.isin(np.arange(len(array)), holes)
        _refuse_rows(path, column, pa.array(mask), start, "incomplete (they hold nulls)")
    return values.to_numpy(zero_copy_only=False).reshape(len(array), d)


def _refuse_rows(path: Path, column: str, bad: pa.Array, start: int, what: str) -> None:
    rows = start + np.flatnonzero(bad.to_numpy(zero_copy_only=False))
    if len(rows):
        shown = ", ".join(map(str, rows[:5])) + (" ..." if len(rows) > 5 else "")
        raise FileFormatError(f"{path}: in column {column!r} these rows are {what}: {shown}; fix or remove them")


def _is_vector(kind: pa.DataType) -> bool:
    if not any(check(kind) for check in _LISTS):
        return False
    value = kind.value_type
    return pa.types.is_floating(value) or pa.types.is_integer(value) or pa.types.is_boolean(value)


def _part(schema: pa.Schema, names: list[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn what Arrow says about a file that it cannot decode into one sentence."""
    try:
        yield
    except (KaratError, FileNotFoundError, PermissionError):
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        detail = (str(error).splitlines() or ["no reason given"])[0]
        raise FileFormatError(f"{path} is truncated or damaged: {detail}") from error
