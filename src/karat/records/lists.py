"""A selection as a list for people and labelling tools: .csv, .txt, or .parquet."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from .._files import write_bytes
from ..errors import InputError
from .labelling import Selection
from .tables import write_table

SUFFIXES = (".csv", ".parquet", ".txt")


def check_list(path: Path) -> None:
    """Refuse a name for a list that says no format.

    Raises:
        InputError: another suffix than .csv, .parquet or .txt.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} is no name for the list: one of {', '.join(SUFFIXES)} is needed at its end")


def write_list(path: Path, record: Selection) -> None:
    """Write the chosen samples, in order: all columns as .csv (with a header) or .parquet, the ids alone as .txt.

    Raises:
        InputError: another suffix.
        OutputError: nothing could be written; what was there is untouched.
    """
    check_list(path)
    if path.suffix == ".parquet":
        write_table(path, record)
    elif path.suffix == ".txt":
        write_bytes(path, "".join(f"{name}\n" for name in record.ids.tolist()).encode())
    else:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(record.columns)
        writer.writerows(zip(*(_texts(values) for values in record.columns.values()), strict=True))
        write_bytes(path, text.getvalue().encode())


def _texts(values: np.ndarray) -> list[str]:
    """NaN is an empty field."""
    return ["" if value != value else str(value) for value in values.tolist()]
