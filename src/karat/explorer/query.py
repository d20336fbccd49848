"""Which samples, in which order: the state of a page, as it stands in its address."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ..errors import InputError

_LOW, _HIGH = "min.", "max."
_LONGEST = 1000
Range = tuple[str, float | None, float | None]


@dataclass(frozen=True)
class Query:
    """Which samples, in which order.

    Attributes:
        sort: the column that they are ordered by; "q_score" is the first score of a run that has none.
        descending: the largest first. Missing values come last either way, equal ones in the order of the table.
        ranges: (column of numbers, low, high), both ends included; None: no bound. Missing values are in no range.
        label: samples of this label only.
        correct: samples that the probe gets right, or wrong; None: all.
        text: samples whose id, or another text of which, contains it; upper and lower case are the same.
        tag: samples of this tagged set.
    """

    sort: str = "q_score"
    descending: bool = False
    ranges: tuple[Range, ...] = ()
    label: str | None = None
    correct: bool | None = None
    text: str = ""
    tag: str | None = None

    def __post_init__(self) -> None:
        """Put the ranges in the order of their columns: equal queries are equal.

        Raises:
            InputError: a bound that is no number, a range that ends before it begins, two of one column.
        """
        bounded = sorted(part for part in self.ranges if part[1:] != (None, None))
        for column, low, high in bounded:
            for prefix, bound in ((_LOW, low), (_HIGH, high)):
                if bound is not None and not math.isfinite(bound):
                    raise InputError(f"{prefix}{column} is {bound}, but a finite number is needed")
            if low is not None and high is not None and low > high:
                raise InputError(f"{_LOW}{column} is {low}, but {_HIGH}{column} is {high}, which is less")
        if len({column for column, *_ in bounded}) < len(bounded):
            raise InputError("there are two ranges of one column, but one is needed")
        object.__setattr__(self, "ranges", tuple(bounded))

    @classmethod
    def from_params(cls, params: Mapping[str, str]) -> Self:
        """The query of an address: sort, order=desc, min.COLUMN, max.COLUMN, label, correct=yes|no, text, tag.

        Other parameters are left alone: they belong to the page. An empty one says nothing, as forms send it. Whether
        there is such a column is for `Samples` to say.

        Raises:
            InputError: a value that cannot be meant; the parameter is named.

        >>> Query.from_params({"sort": "n_active", "min.q_score": "0.5", "correct": "no", "page": "3"})
        ... # doctest: +NORMALIZE_WHITESPACE
        Query(sort='n_active', descending=False, ranges=(('q_score', 0.5, None),), label=None, correct=False, text='',
              tag=None)
        """
        given = {name: _text(name, value) for name, value in params.items() if value and _is_own(name)}
        columns = {name.removeprefix(prefix) for name in given for prefix in (_LOW, _HIGH) if name.startswith(prefix)}
        bounds = {name: _number(name, value) for name, value in given.items() if name.startswith((_LOW, _HIGH))}
        return cls(
            sort=given.get("sort", cls.sort),
            descending=_choice(given, "order", {"asc": False, "desc": True}) or False,
            ranges=tuple((name, bounds.get(_LOW + name), bounds.get(_HIGH + name)) for name in columns),
            label=given.get("label"),
            correct=_choice(given, "correct", {"yes": True, "no": False}),
            text=given.get("text", ""),
            tag=given.get("tag"),
        )

    def to_params(self) -> dict[str, str]:
        """The parameters of an address, without those that say what is so anyway; `from_params` reads them.

        >>> Query(descending=True, ranges=(("q_score", None, 1.0),)).to_params()
        {'order': 'desc', 'max.q_score': '1.0'}
        """
        params = {} if self.sort == type(self).sort else {"sort": self.sort}
        if self.descending:
            params["order"] = "desc"
        for column, low, high in self.ranges:
            for prefix, bound in ((_LOW, low), (_HIGH, high)):
                if bound is not None:
                    params[prefix + column] = repr(float(bound))
        if self.correct is not None:
            params["correct"] = "yes" if self.correct else "no"
        texts = {"label": self.label, "text": self.text, "tag": self.tag}
        return {**params, **{name: value for name, value in texts.items() if value}}


def _is_own(name: str) -> bool:
    return name in ("sort", "order", "label", "correct", "text", "tag") or name.startswith((_LOW, _HIGH))


def _text(name: str, value: str) -> str:
    if len(value) > _LONGEST:
        raise InputError(f"{name} has {len(value)} characters, more than the {_LONGEST} allowed")
    if value.encode(errors="ignore").decode() != value:
        raise InputError(f"{name} is no text that can be searched for")
    return value


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise InputError(f"{name} is {value!r}, but a number is needed") from error


def _choice(given: Mapping[str, str], name: str, values: Mapping[str, bool]) -> bool | None:
    if name not in given:
        return None
    if given[name] not in values:
        raise InputError(f"{name} is {given[name]!r}, but {' or '.join(values)} is needed")
    return values[given[name]]
