"""The samples of a run: pages of any order and filter, histograms, labels. Arrow and DuckDB underneath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .._files import digest_bytes
from ..errors import InputError
from .bounded import Bounded
from .columns import Column, Known
from .conditions import PLACE, TAGGED, Key, Statement, check, check_number, statement_of
from .database import Database, numbers
from .histograms import Histogram, bin_of, edges_of, histogram_of
from .opened import OpenedRun
from .query import Query
from .selection import Selection
from .table import place_of

__all__ = ["Column", "Histogram", "Row", "Samples"]

# Up to here the first rows of an order are looked for alone; further down the whole order is made, and kept.
_SHALLOW = 1000
_ORDERS, _MASKS, _COUNTS = 64 << 20, 8 << 20, 1000  # bytes of kept orders and masks; kept counts


@dataclass(frozen=True)
class Row:
    """One sample.

    Attributes:
        row: its number in the table, from 0.
        id: as text.
        values: column -> a number, text, True or False; None where it is missing. Infinite numbers are as they are.
    """

    row: int
    id: str
    values: Mapping[str, Any]


class Samples:
    """The samples of a run. Any number of threads may ask at once.

    Args:
        run: see `open_run`.
        selection: the tagged sets that `Query.tag` names; None: there are none.
    """

    def __init__(self, run: OpenedRun, selection: Selection | None = None) -> None:
        self._known = Known(run)
        self._selection = selection
        self._database = Database(self._known.n)
        self._orders: Bounded[np.ndarray] = Bounded(_ORDERS)
        self._counts: Bounded[int] = Bounded(_COUNTS)
        self._masks: Bounded[pa.ChunkedArray] = Bounded(_MASKS)

    def __len__(self) -> int:
        return self._known.n

    @property
    def problems(self) -> list[str]:
        """Sentences; they grow when a part turns out to be damaged as it is read."""
        return list(self._known.problems)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """What can be sorted, filtered and shown: scores, label, correct, prediction, further columns, id."""
        return tuple(map(self._known.column, self._known.kinds))

    def count(self, query: Query) -> int:
        """How many samples a query finds.

        Raises:
            InputError: a column that there is not, or is of another kind.
        """
        query = self._checked(query)
        key = (replace(query, sort="", descending=False), self._tagged_digest(query.tag))
        found = self._counts.get(key)
        if found is None:
            made = statement_of(query, self._known.kinds)
            found = int(self._ask("SELECT count(*) AS n", made)["n"][0]) if made.where else len(self)
            self._counts.put(key, found, 1)
        return found

    def page(self, query: Query, *, offset: int, limit: int, columns: Sequence[str] | None = None) -> list[Row]:
        """Samples `offset` to `offset + limit` of a query's order.

        Args:
            query: which, in which order.
            offset, limit: at least 0.
            columns: what to read of them; None: all columns. The fewer, the faster the first page.

        Raises:
            InputError: a column that there is not, or is of another kind.
        """
        query, start = self._checked(query), max(offset, 0)
        rows = self._first(query, start + max(limit, 0))[start:]
        return self._at(rows, columns)

    def ids(self, query: Query, *, limit: int | None = None) -> list[str]:
        """The ids of what a query finds, in its order.

        Raises:
            InputError: a column that there is not, or is of another kind.
        """
        query = self._checked(query)
        rows = self._order(query) if limit is None else self._first(query, limit)
        found: list[str] = self._known.ids.take(numbers(rows)).to_pylist()
        return found

    def row(self, id: str) -> Row | None:
        """The sample of an id (the first of several); None where there is none."""
        number = place_of(id, self._known.ids)
        return None if number is None else self._at(np.array([number]), None)[0]

    def rows(self, ids: Sequence[str], *, columns: Sequence[str] | None = None) -> dict[str, Row]:
        """The samples of some ids, by id; without those that there are not.

        Args:
            ids: of the samples.
            columns: what to read of them; None: all columns.

        Raises:
            InputError: a column that there is not.
        """
        known = pc.is_in(self._known.ids, value_set=pa.array(list(ids), pa.string()))
        rows = np.flatnonzero(known.to_numpy(zero_copy_only=False))
        return {row.id: row for row in reversed(self._at(rows, columns))}  # of several of one id the first

    def neighbour_in_order(self, query: Query, id: str) -> tuple[str | None, str | None]:
        """The ids before and after a sample in a query's order; None at an end, both where it is not in it.

        Raises:
            InputError: a column that there is not, or is of another kind.
        """
        order, number = self._order(self._checked(query)), place_of(id, self._known.ids)
        found = [] if number is None else np.flatnonzero(order == number).tolist()
        if not found:
            return None, None
        place = found[0]
        ids = self._known.ids
        before = ids[int(order[place - 1])].as_py() if place > 0 else None
        after = ids[int(order[place + 1])].as_py() if place + 1 < len(order) else None
        return before, after

    def histogram(self, query: Query, column: str, *, bins: int = 40) -> Histogram:
        """Of the samples that the query finds when the range of this very column is taken from it.

        Raises:
            InputError: a column that there is not, or is of another kind.
        """
        query, kinds = self._checked(query), self._known.kinds
        check_number(column, kinds, "the histogram")
        made = statement_of(query, kinds, without=column)
        known = next(found for found in self.columns if found.name == column)
        edges = edges_of(known.low, known.high, bins)
        place, values = bin_of(made.named(column), edges)
        judged = "correct" in kinds
        right = f"count(*) FILTER ({made.named('correct')})" if judged else "0"
        made.bound = [*values, *made.bound]
        found = self._ask(f"SELECT {place} AS bin, count(*) AS n, {right} AS correct", made, "GROUP BY bin")
        return histogram_of(edges, found, judged=judged)

    def labels(self, prefix: str = "", *, limit: int = 50) -> list[tuple[str, int]]:
        """Labels that begin with `prefix` (upper and lower case are the same), and how many samples have each.

        The most frequent come first, equally frequent ones by name.
        """
        names, counts = self._label_counts
        if prefix:
            chosen = pc.starts_with(pc.utf8_lower(names), prefix.lower())
            names, counts = names.filter(chosen), counts.filter(chosen)
        found = list(zip(names[:limit].to_pylist(), counts[:limit].to_pylist(), strict=True))
        return found

    @cached_property
    def _label_counts(self) -> tuple[pa.Array, pa.Array]:
        """All labels and how often each occurs, the most frequent first."""
        none = pa.array([], pa.string()), pa.array([], pa.int64())
        if "label" not in self._known.kinds:
            return none
        counted = self._known.values("label").value_counts()  # (value, count) each
        names, counts = counted.field(0).cast(pa.string()), counted.field(1)
        table = pa.table({"label": names, "n": counts}).filter(pc.is_valid(names))
        table = table.sort_by([("n", "descending"), ("label", "ascending")]).combine_chunks()
        return tuple(
            pa.concat_arrays([*column.chunks, empty]) for column, empty in zip(table.columns, none, strict=True)
        )

    def _checked(self, query: Query) -> Query:
        """The query, its default order that of the first score where there is no q_score."""
        kinds = self._known.kinds
        if query.sort == Query.sort and query.sort not in kinds:
            query = replace(query, sort=next(iter(kinds)))
        check(query, kinds)
        return query

    def _first(self, query: Query, count: int) -> np.ndarray:
        """The first rows of an order."""
        key = (query, self._tagged_digest(query.tag))
        if count > _SHALLOW or self._orders.get(key) is not None:
            return self._order(query)[:count]
        return self._sorted(query, count)

    def _order(self, query: Query) -> np.ndarray:
        """All rows of an order, int32."""
        key = (query, self._tagged_digest(query.tag))
        found = self._orders.get(key)
        if found is None:
            found = self._sorted(query, None)
            self._orders.put(key, found, found.nbytes)
        return found

    def _sorted(self, query: Query, count: int | None) -> np.ndarray:
        made = statement_of(query, self._known.kinds)
        column = made.named((PLACE, query.sort) if self._known.is_encoded(query.sort) else query.sort)
        order = f"ORDER BY {column} {'DESC' if query.descending else 'ASC'} NULLS LAST, r"
        if count is not None:
            order += " LIMIT ?"
            made.bound.append(count)
        return self._ask("SELECT r", made, order)["r"]

    def _ask(self, select: str, made: Statement, end: str = "") -> dict[str, np.ndarray]:
        columns = {alias: self._values(key) for key, alias in made.names.items()}
        return self._database.ask(f"{select} {made} {end}", made.bound, columns)

    def _values(self, key: Key) -> pa.ChunkedArray:
        """A column, or what is made of it."""
        if isinstance(key, str):
            return self._known.values(key)
        kind, name = key
        if kind == PLACE:
            return self._known.places(name)
        state = (kind, name, self._tagged_digest(name) if kind == TAGGED else "")
        found = self._masks.get(state)
        if found is None:
            found = self._tagged(name) if kind == TAGGED else self._known.holds(name)
            self._masks.put(state, found, found.nbytes)
        return found

    def _tagged(self, tag: str) -> pa.Array:
        """Whether each sample is in a tagged set, bool [n]."""
        ids = [] if self._selection is None else self._selection.ids(tag)
        storable = [id for id in ids if id.encode(errors="ignore").decode() == id]  # others are in no table
        return pc.is_in(self._known.ids, value_set=pa.array(storable, pa.string()))

    def _tagged_digest(self, tag: str | None) -> str:
        """What tells one state of a tagged set from another."""
        if tag is None or self._selection is None:
            return ""
        return digest_bytes("\0".join(self._selection.ids(tag)).encode(errors="surrogatepass"))

    def _at(self, rows: np.ndarray, columns: Sequence[str] | None) -> list[Row]:
        """Some rows of the table."""
        wanted = tuple(self._known.kinds) if columns is None else tuple(columns)
        for name in wanted:
            if name not in self._known.kinds:
                raise InputError(f"columns names {name!r}, but there is no such column")
        places = numbers(rows)
        values = [self._known.values(name).take(places).to_pylist() for name in wanted]
        ids = self._known.ids.take(places).to_pylist()
        shown = zip(*values, strict=True) if values else [()] * len(rows)
        return [
            Row(int(row), id, dict(zip(wanted, entries, strict=True)))
            for row, id, entries in zip(rows.tolist(), ids, shown, strict=True)
        ]
