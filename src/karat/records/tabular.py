"""What a record with a table can do: become the table of another library, or a file for another program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import polars as pl
    import pyarrow as pa

    from .known import WithColumns


class Tabular:
    """A record whose columns are a table with one row a sample."""

    def to_arrow(self) -> pa.Table:
        """The table for Arrow, with the record in its metadata; NaN is null, a vector a sample a fixed-size list.

        Heatmaps, which are a matrix a sample, are left out.

        Raises:
            InputError: a column holds values that no table can hold.
            FileFormatError: the table is missing, or damaged on disk.
        """
        from .files import table_of

        return table_of(_record(self))

    def to_pandas(self) -> pd.DataFrame:
        """The table for pandas, one row a sample; the id is a column.

        Raises:
            MissingDependencyError: pandas is not installed.
            InputError: a column holds values that no table can hold.
            FileFormatError: the table is missing, or damaged on disk.
        """
        from .files import dataframe_of

        return dataframe_of(_record(self))

    def to_polars(self) -> pl.DataFrame:
        """The table for polars, one row a sample; NaN is null.

        Raises:
            MissingDependencyError: polars is not installed.
            InputError: a column holds values that no table can hold.
            FileFormatError: the table is missing, or damaged on disk.
        """
        from .files import polars_of

        return polars_of(_record(self))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a Parquet file, with the record in its metadata; what was there is replaced.

        Raises:
            OutputError: nothing could be written; what was there is untouched.
        """
        from .files import write_parquet

        write_parquet(Path(path), _record(self))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a CSV file with a header; what was there is replaced.

        A missing value is an empty field; the numbers of a vector are columns of their own, `logits_0`, `logits_1` ...
        Text that a spreadsheet would take for a formula, because it begins with = + - @ or a control character and is
        no number, gets an apostrophe before it, and a warning says how many cells that are. Parquet and Arrow keep the
        text as it is.

        Raises:
            OutputError: nothing could be written; what was there is untouched.
        """
        from .files import write_csv

        write_csv(Path(path), _record(self))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table in the format that its name ends in; what was there is replaced.

        `.parquet` and `.arrow` (Arrow IPC, which is Feather too) hold the record in their metadata; `.csv` is for
        spreadsheets (see `to_csv`); `.txt` is the ids alone, one a line.

        Raises:
            InputError: another ending.
            OutputError: nothing could be written; what was there is untouched.
        """
        from .files import write

        write(Path(path), _record(self))


def _record(table: Tabular) -> WithColumns:
    """Only records inherit this."""
    return cast("WithColumns", table)
