"""Labels and ids in a file of their own."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import FileFormatError, InputError
from .arrays import read_vector
from .content import COLUMN_NAMES, check_content
from .tables import column_values, is_scalar, parquet_schema, read_parquet_columns

_SUFFIXES = (".npy", ".txt", ".csv", ".parquet")
_WITH_COLUMNS = (".csv", ".parquet")


def read_column(spec: str | os.PathLike[str], name: str) -> np.ndarray:
    """One value a sample, [n], from an .npy, a .txt (one a line), a .csv or a .parquet.

    Of a table, the column after the colon (labels.csv:breed) is taken; else the one named label, labels or y (id or
    ids); else the only one, in a .csv the first one. A .csv in which no title is found has no header. Text becomes
    integers where every value is written as an integer; nothing else is converted.

    Args:
        spec: a path, or PATH:COLUMN.
        name: "labels" or "ids".

    Raises:
        InputError: no such file, suffix or column.
        FileFormatError: the file is not what its name says, or is pickled.
    """
    path, column = _split(os.fspath(spec))
    if not path.exists():
        raise InputError(f"{name}: {path} does not exist")
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(f"{name}: {path} has the suffix {suffix!r}, but one of {', '.join(_SUFFIXES)} is needed")
    if suffix == ".txt":
        return _from_text(_text(path).removesuffix("\n").split("\n"))
    if suffix == ".csv":
        return _from_csv(path, column, name)
    check_content(path, known=_SUFFIXES)
    return read_vector(path) if suffix == ".npy" else _from_parquet(path, column, name)


def _split(spec: str) -> tuple[Path, str | None]:
    before, colon, column = spec.rpartition(":")
    if colon and Path(before).suffix.lower() in _WITH_COLUMNS:
        return Path(before), column
    return Path(spec), None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error


def _from_text(values: list[str]) -> np.ndarray:
    """Strings, or integers where each is written just as the integer is (so 007 stays a string)."""
    try:
        numbers = [int(value) for value in values]
        if [str(number) for number in numbers] == values:
            return np.array(numbers, dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    return np.array(values, dtype=str)


def _from_csv(path: Path, column: str | None, name: str) -> np.ndarray:
    try:
        rows = [row for row in csv.reader(io.StringIO(_text(path))) if row]
    except csv.Error as error:
        raise FileFormatError(f"{path} cannot be read as comma-separated values: {error}") from error
    titles = rows[0] if rows else []
    wanted = COLUMN_NAMES[name] if column is None else (column,)
    position = next((titles.index(title) for title in wanted if title in titles), None)
    if position is None and column is not None:
        raise InputError(f"{path} has no column {column!r}; it has {', '.join(titles)}")
    body = rows if position is None else rows[1:]
    position = position or 0
    for number, row in enumerate(body):
        if len(row) <= position:
            raise FileFormatError(f"{path}: row {number} is {row}, but {position + 1} columns are needed")
    return _from_text([row[position] for row in body])


def _from_parquet(path: Path, column: str | None, name: str) -> np.ndarray:
    schema = parquet_schema(path)
    scalars = [field.name for field in schema if is_scalar(field.type)]
    named = [title for title in COLUMN_NAMES[name] if title in scalars]
    choices = [column] if column is not None else named or scalars
    if len(choices) != 1 or choices[0] not in scalars:
        wanted = (
            f"no scalar column {column!r}" if column is not None else f"{len(choices)} columns that may be the {name}"
        )
        raise InputError(f"{path} has {wanted}; it has {', '.join(schema.names)}: choose one, {path.name}:COLUMN")
    table: pa.Table = read_parquet_columns(path, choices)
    return column_values(table.column(choices[0]))
