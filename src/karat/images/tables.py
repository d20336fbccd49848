"""Images in a Parquet file: a column of image bytes, read batch by batch, or a column of paths."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import FileFormatError, InputError
from ..store.content import COLUMN_NAMES, check_content
from ..store.tables import column_values, decoding, is_scalar, parquet_schema, read_parquet_columns
from .decoding import first_line
from .files import base_name, refuse_large
from .lists import PATH_COLUMNS, ids_among, open_rows, title_among
from .source import ImageSource, row_numbers

IMAGE_COLUMNS = ("image", "img")
_BATCH_ROWS = 16  # a page is decompressed at once anyway; more rows would only take more memory
_BUFFER_BYTES = 1 << 20
_NO_VALUES = pa.nulls(0, pa.binary())  # pa.array would import pandas


class _Rows(threading.local):
    """How far a thread has read: the batch at hand, and those that follow it in its row group."""

    start: int = -1
    values: pa.Array = _NO_VALUES
    following: Iterator[pa.Array] = iter(())


@dataclass(frozen=True, eq=False)
class ImageColumn:
    """Random access to a column of bytes, in memory that does not grow with its rows.

    Each thread reads forward with a reader of its own and skips to the row that is asked for; only for a row behind the
    reader or in another row group does it begin that row group again. So rows are best asked for in rising order.

    Attributes:
        path: the Parquet file.
        column: the column, or the field of a struct: "image.bytes".
        starts: first row of each row group, and the number of rows.
    """

    path: Path
    column: str
    starts: np.ndarray
    _rows: _Rows = field(default_factory=_Rows, init=False, repr=False)

    def __reduce__(self) -> tuple[type[ImageColumn], tuple[Path, str, np.ndarray]]:
        return ImageColumn, (self.path, self.column, self.starts)

    def __getitem__(self, row: int) -> bytes | None:
        rows = self._rows
        group = int(np.searchsorted(self.starts, row, side="right")) - 1
        if not self.starts[group] <= rows.start <= row:
            rows.start, rows.values = int(self.starts[group]), _NO_VALUES
            rows.following = self._batches(group)
        while row >= rows.start + len(rows.values):
            values = next(rows.following, _NO_VALUES)
            if not len(values):
                raise ValueError(f"row {row} cannot be reached")
            rows.start, rows.values = rows.start + len(rows.values), values
        value: bytes | None = rows.values[row - rows.start].as_py()
        return value

    def _batches(self, group: int) -> Iterator[pa.Array]:
        with pq.ParquetFile(self.path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            batches = file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[self.column], use_threads=False)
            for batch in batches:
                values = batch.column(0)
                yield pc.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values


@dataclass(frozen=True, eq=False)
class Table(ImageSource):
    """Rows of a Parquet file, each with the bytes of an image file."""

    column: ImageColumn = field(repr=False)

    def encoded(self, i: int) -> bytes:
        name = str(self.ids[i])
        try:
            data = self.column[int(i)]
        except (pa.ArrowException, OSError, ValueError) as error:
            why = first_line(error).replace(str(self.column.path), self.name)
            raise InputError(f"image {name} cannot be read: {self.name} is damaged or changed: {why}") from error
        if data is None:
            raise InputError(f"image {name} cannot be read: its row holds no bytes")
        refuse_large(len(data), name)
        return data

    def _extent(self) -> bytes:
        with decoding(self.column.path), pq.ParquetFile(self.column.path) as file:
            return repr(file.metadata.to_dict()).encode()


def open_parquet(path: Path) -> ImageSource:
    """A Parquet file with a column of image bytes, or else one of paths; see `open_images`.

    Raises:
        InputError: no such column, or several; no rows; an id twice.
        FileFormatError: it is no Parquet file, or damaged.
    """
    check_content(path, known=(".parquet",))
    schema = parquet_schema(path)
    known = {*PATH_COLUMNS, *COLUMN_NAMES["ids"], *COLUMN_NAMES["labels"]}
    titles = [column.name for column in schema if column.name in known and is_scalar(column.type)]
    if len(set(schema.names)) < len(schema.names):
        raise FileFormatError(f"{path} has two columns of one name, but each needs a name of its own")
    table = read_parquet_columns(path, titles)
    columns = {title: table.column(title).to_pylist() for title in titles}
    label = title_among(titles, COLUMN_NAMES["labels"])
    labels = None if label is None else labels_in(table.column(label))
    column = _bytes_column(path, schema)
    if column is None:
        return open_rows(path, columns, labels=labels)
    with decoding(path), pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    n = sum(sizes)
    if n == 0:
        raise InputError(f"{path} has no rows, but at least one image is needed")
    rows = row_numbers(n)
    ids, title = ids_among(path, columns), title_among(titles, PATH_COLUMNS)
    return Table(
        name=base_name(path),
        ids=rows if ids is None else ids,
        paths=rows if title is None else np.array([str(value or "") for value in columns[title]]),
        labels=labels,
        column=ImageColumn(path, column, np.cumsum([0, *sizes])),
    )


def _bytes_column(path: Path, schema: pa.Schema) -> str | None:
    """The column of image bytes, as Parquet names it: the only one, or the one named image or img."""
    columns = {column.name: _bytes_path(column) for column in schema}
    found = {name: inside for name, inside in columns.items() if inside is not None}
    chosen = title_among(found, IMAGE_COLUMNS) if len(found) > 1 else next(iter(found), None)
    if found and chosen is None:
        raise InputError(
            f"{path} has {len(found)} columns of bytes ({', '.join(found)}), but none of them is named "
            f"{' or '.join(IMAGE_COLUMNS)}: rename the one that holds the images"
        )
    return None if chosen is None else found[chosen]


def _bytes_path(column: pa.Field) -> str | None:
    """Where the bytes of images are in a column of bytes, or of structs with a field of that name; None: nowhere."""
    kind, inside = column.type, column.name
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind, inside = kind.field("bytes").type, f"{column.name}.bytes"
    return inside if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None


def labels_in(column: pa.ChunkedArray) -> np.ndarray | None:
    """A column of labels as an array, text without a value being ""; None where no row has one."""
    if column.null_count == len(column):
        return None
    values = column.to_pylist()
    return np.array([value or "" for value in values]) if str in map(type, values) else column_values(column)
