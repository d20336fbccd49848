"""What is known of each sample: the columns of the scores, of the probe and of the calibration, joined by id."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from threading import RLock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .. import runs
from ..errors import FileFormatError
from ..records import Calibration, ProbeResult, Scores
from .embedded import embedded
from .opened import OpenedRun
from .table import ENCODED, Kind, Table

# What another record says of a sample: kind of record -> its columns.
_SAID: dict[type[ProbeResult | Calibration], tuple[str, ...]] = {
    Calibration: ("p_wrong",),
    ProbeResult: ("label", "correct", "prediction"),
}
_FIRST = ("label", "correct", "prediction")  # after the scores
_MISSING = {"number": pa.float64(), "flag": pa.bool_(), "text": pa.string()}


@dataclass(frozen=True)
class Column:
    """A column that samples have.

    Attributes:
        name: what a query calls it.
        kind: "number", "flag" (true or false) or "text".
        title: the name as one reads it.
        low, high: the range of its finite numbers; None where there is none, or it is no number.
        distinct: how many values label and prediction have; None for other columns.
    """

    name: str
    kind: Kind
    title: str
    low: float | None = None
    high: float | None = None
    distinct: int | None = None


class Known:
    """What is known of each sample of a run.

    Its scores say which samples there are; else its probe; else its embeddings; else images.json.

    Attributes:
        n: how many samples.
        problems: sentences; they grow when a column turns out to be damaged.
        kinds: column -> kind: scores, label, correct, prediction, further columns, id.
    """

    def __init__(self, run: OpenedRun) -> None:
        self.problems: list[str] = []
        self._lock = RLock()
        self._kept: dict[str, pa.ChunkedArray] = {}
        self._places: dict[str, pa.ChunkedArray] = {}
        self._rows: dict[str, pa.ChunkedArray] = {}
        self._base = _base(run, self.problems)
        self.n = self._base.rows
        self._tables: dict[str, list[Table]] = {name: [self._base] for name in self._base.schema.names}
        for kind, said in _SAID.items():
            tables = [table for name in run.of_kind(kind) if (table := run.table(name)) not in (None, self._base)]
            for name in said:
                having = [table for table in tables if table is not None and table.kind(name)]
                self._tables.setdefault(name, having)
        self.kinds = self._ordered(run)

    @property
    def ids(self) -> pa.ChunkedArray:
        """The samples' ids, as text."""
        return self.values("id")

    def values(self, name: str) -> pa.ChunkedArray:
        """A column, one value a sample; where it cannot be read, nothing but nulls (and a sentence in `problems`)."""
        with self._lock:
            if name not in self._kept:
                try:
                    self._kept[name] = self._read(name)
                except FileFormatError as error:
                    self.problems.append(f"{error}.")
                    self._kept[name] = pa.chunked_array([pa.nulls(self.n, _MISSING[self.kinds[name]])])
            return self._kept[name]

    def is_encoded(self, name: str) -> bool:
        """Whether each different text of a column is kept once."""
        return bool(pa.types.is_dictionary(self.values(name).type))

    def places(self, name: str) -> pa.ChunkedArray:
        """The place of each text of an encoded column among all of them, int32; whole numbers are ordered as such."""
        with self._lock:
            if name not in self._places:
                self._places[name] = _places(self.values(name))
            return self._places[name]

    def holds(self, text: str) -> pa.ChunkedArray:
        """Whether the id, label, prediction or another text of a sample contains a text, bool [n].

        Upper and lower case are the same. Paths are not searched: they say what ids say.
        """
        found = pc.match_substring(self.ids, text, ignore_case=True)
        for name, kind in self.kinds.items():
            if kind == "text" and name not in ("id", "path"):
                found = pc.or_(found, _holds(self.values(name), text))
        return found

    def column(self, name: str) -> Column:
        """A column's name, kind and range."""
        kind = self.kinds[name]
        low, high = self._bounds(name) if kind == "number" else (None, None)
        distinct = len(pc.unique(self.values(name)).drop_null()) if name in ENCODED else None
        return Column(name, kind, name.replace("_", " "), low, high, distinct)

    def _ordered(self, run: OpenedRun) -> dict[str, Kind]:
        record = run.records.get(run.scores or "")
        scores = record.names if isinstance(record, Scores) else ()
        further = [name for name in self._tables if name not in (*scores, *_FIRST, "id")]
        kinds = {name: tables[0].kind(name) for name, tables in self._tables.items() if tables}
        order = (*scores, *_FIRST, *further, "id")
        return {name: kind for name in order if (kind := kinds.get(name)) is not None}

    def _read(self, name: str) -> pa.ChunkedArray:
        tables = self._tables[name]
        if tables[0] is self._base:
            return self._base.column(name)
        for table in tables:
            rows = self._rows_in(table)
            if rows is None:
                return table.column(name)
            if rows.null_count < self.n:
                return table.column(name).take(rows)
        raise FileFormatError(f"no record that has {name!r} knows any of these samples")

    def _rows_in(self, table: Table) -> pa.ChunkedArray | None:
        """The row of each sample in another table, null where it is not there; None: all are the same."""
        ids, theirs = self.ids, table.column("id")
        if ids.equals(theirs):
            table.share("id", ids)
            return None
        if table.name not in self._rows:
            self._rows[table.name] = pc.index_in(ids, value_set=theirs)
        return self._rows[table.name]

    def _bounds(self, name: str) -> tuple[float, float] | tuple[None, None]:
        found = None
        for table in self._tables[name][:1]:
            try:
                found = table.bounds(name)
            except FileFormatError:
                self.values(name)  # says so
        return found or (None, None)


def _base(run: OpenedRun, problems: list[str]) -> Table:
    """The table that says which samples there are."""
    for name in filter(None, (run.scores, *run.of_kind(ProbeResult))):
        table = run.table(name)
        if table is not None and _has_ids(table, problems):
            return table
    for folder in embedded(run.path):
        try:
            return Table.of_columns(folder.path.name, folder.columns().drop_columns("row"))
        except FileFormatError as error:
            problems.append(f"{error}.")
    try:
        images = runs.read_images(run.path)
    except FileFormatError as error:
        problems.append(f"{error}.")
        images = None
    ids = [] if images is None else list(images.paths)
    if not ids:
        problems.append("No samples are known yet: the run holds no scores, probe, embeddings or images.")
    return Table.of_columns("images.json", pa.table({"id": pa.array(ids, pa.string())}))


def _has_ids(table: Table, problems: list[str]) -> bool:
    try:
        table.column("id")
    except FileFormatError as error:
        problems.append(f"{error}.")
        return False
    return True


def _holds(column: pa.ChunkedArray, text: str) -> pa.ChunkedArray:
    """Whether each value contains a text, bool [n]; of a dictionary-encoded column each is looked at once."""
    if not pa.types.is_dictionary(column.type):
        return pc.match_substring(column, text, ignore_case=True).fill_null(False)
    parts = [
        pc.match_substring(part.dictionary, text, ignore_case=True).take(part.indices).fill_null(False)
        for part in column.chunks
    ]
    return pa.chunked_array(parts, pa.bool_())


def _places(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Of a dictionary-encoded column: the place of each value among the sorted ones, null where it is missing."""
    if column.num_chunks != 1:  # no rows
        return pa.chunked_array([pa.nulls(len(column), pa.int32())])
    values = column.chunk(0).dictionary
    with suppress(pa.ArrowInvalid):  # not all of them are whole numbers
        values = values.cast(pa.int64())
    places = np.empty(len(values), np.int32)
    places[pc.sort_indices(values).to_numpy()] = np.arange(len(values))
    return pa.chunked_array([pa.array(places).take(column.chunk(0).indices)])
