"""Lists of image files: a text file, or the columns of a table."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError, InputError
from ..store.content import COLUMN_NAMES
from .files import Files, base_name
from .source import as_ids, as_labels

PATH_COLUMNS = ("path", "file", "file_name", "filename", "image_path")

Columns = Mapping[str, Sequence[Any]]


def open_text(path: Path) -> Files:
    """The image files that a text file names, one a line; see `open_images`.

    Raises:
        InputError: it names no file, or one twice.
        FileFormatError: it is not UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not UTF-8 text (byte {error.start}): a path a line is needed") from error
    return open_rows(path, {"path": [line for line in lines if line.strip()]}, labels=None)


def open_csv(path: Path) -> Files:
    """The image files that a column of a .csv names; see `open_images`.

    Raises:
        InputError: no column of paths, no rows, or one file or id twice.
        FileFormatError: it cannot be read as comma-separated values.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            titles, *rows = [row for row in csv.reader(file, strict=True) if row] or [[]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} cannot be read as comma-separated values in UTF-8: {error}") from error
    for number, row in enumerate(rows):
        if len(row) != len(titles):
            raise FileFormatError(f"{path}: row {number} has {len(row)} values, but there are {len(titles)} columns")
    columns = {title: [row[place] or None for row in rows] for place, title in enumerate(titles)}
    if len(columns) < len(titles):
        raise FileFormatError(f"{path} has two columns of one name, but each needs a name of its own")
    label = title_among(titles, COLUMN_NAMES["labels"])
    return open_rows(path, columns, labels=None if label is None else as_labels(columns[label]))


def open_rows(path: Path, columns: Columns, *, labels: np.ndarray | None) -> Files:
    """The image files that the rows of a table name, with their ids where it has them.

    Paths are relative to the table's folder, or, where one leads out of it, to the folder that all files share.

    Raises:
        InputError: no column of paths, no rows, an empty entry, or one file or id twice.
    """
    title = title_among(columns, PATH_COLUMNS)
    if title is None:
        raise InputError(
            f"{path} has the columns {', '.join(columns) or '(none)'}, but one of paths ({', '.join(PATH_COLUMNS)}) "
            "or, in a Parquet file, one of image bytes is needed"
        )
    paths = columns[title]
    if not paths:
        raise InputError(f"{path} names no image: a path a line, or a row, is needed")
    _refuse_empty(path, title, paths)
    folder = os.path.abspath(path.parent)
    files = [os.path.normpath(os.path.join(folder, str(name))) for name in paths]
    if any(not file.startswith(os.path.join(folder, "")) for file in files):
        folder = os.path.commonpath([os.path.dirname(file) for file in files])
    inside = [Path(os.path.relpath(file, folder)).as_posix() for file in files]
    return Files.below(Path(folder), inside, name=base_name(path), labels=labels, ids=ids_among(path, columns))


def title_among(titles: Collection[str], names: Sequence[str]) -> str | None:
    """The first of some names that is the title of a column."""
    return next((name for name in names if name in titles), None)


def ids_among(path: Path, columns: Columns) -> np.ndarray | None:
    """The ids of a table's rows, where a column has them.

    Raises:
        InputError: an id that is there twice, or an empty one.
    """
    title = title_among(columns, COLUMN_NAMES["ids"])
    if title is None:
        return None
    _refuse_empty(path, title, columns[title])
    return as_ids([str(value) for value in columns[title]], f"{path}: column {title!r}")


def _refuse_empty(path: Path, title: str, values: Sequence[Any]) -> None:
    if None in values:
        raise InputError(f"{path}: row {values.index(None)} of column {title!r} is empty, but it is needed")
