"""The table of a record for other libraries and programs: Arrow, pandas, polars; .parquet, .arrow, .csv, .txt."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from .._files import atomic_path, writing
from .._optional import require
from ..errors import InputError, KaratWarning
from .kinds import column_of
from .known import WithColumns
from .plain import to_dict
from .tables import KEY, to_arrow, write_table

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import polars as pl

# The formats by the endings of their names: those that hold values, and lists, which may be of ids alone.
TABLES = (".csv", ".parquet", ".arrow")
LISTS = (".csv", ".parquet", ".txt", ".arrow")
# What a spreadsheet may take for the beginning of a formula (OWASP, "CSV Injection"). Numbers begin so too.
FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")  # the wide ones are formulas to some
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def table_of(record: WithColumns) -> pa.Table:
    """A record's columns as an Arrow table, with the record in its metadata; see `Tabular.to_arrow`."""
    table = arrow_table(record.columns)
    return table.replace_schema_metadata({KEY: json.dumps(to_dict(record), allow_nan=False).encode()})


def arrow_table(columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Columns [n] or [n, k] as an Arrow table; those of matrices are left out.

    >>> arrow_table({"id": np.array(["a", "b"]), "q_score": np.array([0.5, np.nan])}).to_pydict()
    {'id': ['a', 'b'], 'q_score': [0.5, None]}
    """
    return pa.table({name: to_arrow(values, name) for name, values in columns.items() if values.ndim <= 2})


def dataframe_of(record: WithColumns) -> pd.DataFrame:
    """A record's columns for pandas."""
    require("pandas", "to_pandas")
    return table_of(record).replace_schema_metadata(None).to_pandas()


def polars_of(record: WithColumns) -> pl.DataFrame:
    """A record's columns for polars."""
    frame: pl.DataFrame = require("polars", "to_polars").from_arrow(table_of(record).replace_schema_metadata(None))
    return frame


def check_name(path: Path, what: str = "list", *, among: Sequence[str] = LISTS) -> None:
    """Refuse a name that says no format.

    Raises:
        InputError: another ending; the message says what it is no name for.
    """
    if path.suffix not in among:
        raise InputError(f"{path} is no name for the {what}: one of {', '.join(among)} is needed at its end")


def write(path: Path, record: WithColumns) -> None:
    """Write a record's table in the format that its name ends in; see `Tabular.write`."""
    check_name(path)
    _WRITERS[path.suffix](path, record)


def write_parquet(path: Path, record: WithColumns) -> None:
    """Write a record's table as Parquet, with the record in its metadata."""
    write_table(path, record)


def write_arrow(path: Path, record: WithColumns) -> None:
    """Write a record's table as an Arrow IPC file, with the record in its metadata."""
    table = table_of(record)
    with atomic_path(path) as temporary, writing(path), pa.ipc.new_file(str(temporary), table.schema) as writer:
        writer.write_table(table)


def write_csv(path: Path, record: WithColumns) -> None:
    """Write a record's table as CSV; see `Tabular.to_csv`."""
    table, guarded = spreadsheet(arrow_table(record.columns))
    if guarded:
        warnings.warn(f"{path}: {guarded_note(guarded)}", KaratWarning, stacklevel=3)
    with atomic_path(path) as temporary, writing(path):
        pacsv.write_csv(table, temporary)


def write_ids(path: Path, record: WithColumns) -> None:
    """Write a record's ids, one a line."""
    with atomic_path(path) as temporary, writing(path):
        temporary.write_bytes("".join(f"{name}\n" for name in column_of(record, "id").tolist()).encode())


_WRITERS: Mapping[str, Callable[[Path, WithColumns], None]] = {
    ".csv": write_csv,
    ".parquet": write_parquet,
    ".txt": write_ids,
    ".arrow": write_arrow,
}


def guarded_note(guarded: int) -> str:
    """What to say of cells that were changed."""
    cells = f"{guarded:,} cells begin" if guarded > 1 else "1 cell begins"
    return (
        f"{cells} as a formula would, and got an apostrophe before it, so that a spreadsheet does not run it: "
        "Parquet and Arrow keep the text as it is"
    )


def spreadsheet(table: pa.Table) -> tuple[pa.Table, int]:
    """A table as it can be opened in a spreadsheet: flat, and without text that would run as a formula.

    Returns:
        The table, and how many of its cells (and names of columns) were changed.

    >>> spreadsheet(pa.table({"id": ["=1+1", "-7", "a"]}))[0].column("id").to_pylist()
    ["'=1+1", '-7', 'a']
    """
    names, columns, guarded = [], [], 0
    for name, column in _flat(table):
        (safe_name,), in_name = _inert([name])
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            texts, changed = _inert(column.to_pylist())
            column, guarded = pa.array(texts, pa.string()) if changed else column, guarded + changed
        names.append(safe_name)
        columns.append(column)
        guarded += in_name
    return pa.table(columns, names=names), guarded


def _flat(table: pa.Table) -> Iterator[tuple[str, Any]]:
    """The columns; of vectors one column an entry."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_fixed_size_list(column.type):
            width = column.type.list_size
            entries = column.combine_chunks().flatten()
            yield from ((f"{name}_{place}", entries[place::width]) for place in range(width))
        else:
            yield name, column


def _inert(texts: list[Any]) -> tuple[list[Any], int]:
    """Texts with an apostrophe before those that a spreadsheet would run, and how many these are."""
    safe = [f"'{text}" if text and FORMULA.match(text) and not _NUMBER.fullmatch(text) else text for text in texts]
    return safe, sum(new is not old for new, old in zip(safe, texts, strict=True))
