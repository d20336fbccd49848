"""From a query to SQL. No name and no value of a user stands in it: columns are numbered, values bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from .query import Query
from .table import Kind

# What is made of columns: whether a sample is in a tagged set, or holds a text; a text's place among all of them.
TAGGED, HOLDS, PLACE = "tagged", "holds", "place"
Key = str | tuple[str, str]


@dataclass
class Statement:
    """Parts of a statement over the table `samples`, which has the columns r (the row) and c0, c1 ...

    Attributes:
        names: column, or (what is made of it, its name) -> what the statement calls it.
        where: conditions that all must hold.
        bound: the values of their question marks.
    """

    names: dict[Key, str] = field(default_factory=dict)
    where: list[str] = field(default_factory=list)
    bound: list[Any] = field(default_factory=list)

    def named(self, column: Key) -> str:
        """What the statement calls a column."""
        return self.names.setdefault(column, f"c{len(self.names)}")

    def add(self, condition: str, *values: Any) -> None:
        """One more condition."""
        self.where.append(condition)
        self.bound += values

    def __str__(self) -> str:
        return f"FROM samples WHERE {' AND '.join(self.where)}" if self.where else "FROM samples"


def statement_of(query: Query, kinds: Mapping[str, Kind], *, without: str | None = None) -> Statement:
    """The conditions of a query.

    Args:
        query: a checked one.
        kinds: column -> kind.
        without: leave out the range of this column.
    """
    made = Statement()
    for column, low, high in query.ranges:
        if column == without:
            continue
        for comparison, bound in ((">=", low), ("<=", high)):
            if bound is not None:
                made.add(f"{made.named(column)} {comparison} ?", bound)
    if query.label is not None:
        made.add(f"{made.named('label')} = ?", query.label)
    if query.correct is not None:
        made.add(f"{made.named('correct')} = ?", query.correct)
    if query.text:
        made.add(made.named((HOLDS, query.text)))
    if query.tag is not None:
        made.add(made.named((TAGGED, query.tag)))
    return made


def check(query: Query, kinds: Mapping[str, Kind]) -> None:
    """Refuse what these columns cannot answer.

    Raises:
        InputError: an unknown column, a range of one that holds no numbers, a label or verdict where there is none.
    """
    if query.sort not in kinds:
        raise InputError(f"sort is {query.sort!r}, but there is no such column: {_listed(kinds)}")
    for column, *_ in query.ranges:
        check_number(column, kinds, "min and max")
    if query.label is not None and "label" not in kinds:
        raise InputError(f"label is {query.label!r}, but these samples have no labels")
    if query.correct is not None and "correct" not in kinds:
        raise InputError("correct is given, but no probe has judged these samples")


def check_number(column: str, kinds: Mapping[str, Kind], parameter: str) -> None:
    """Refuse a column that holds no numbers.

    Raises:
        InputError: the parameter and the columns of numbers are named.
    """
    if kinds.get(column) != "number":
        numbers = {name: kind for name, kind in kinds.items() if kind == "number"}
        raise InputError(f"{parameter} of {column!r}: there is no such column of numbers: {_listed(numbers)}")


def _listed(names: Mapping[str, Kind]) -> str:
    return f"choose from {', '.join(names)}" if names else "there is none"
