"""The page of all samples: sorted, filtered, with a histogram, as a gallery of any length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Query as Parameter
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from .histogram_figure import HistogramFigure, figure_of
from .query import Query
from .rendering import explored, fragment, page, query_string
from .samples import Column, Row, Samples

router = APIRouter()

# Samples of one request for more of the gallery.
BLOCK = 60
_LABELS_OFFERED = 50
# What a tile says besides a number.
_TOLD = ("label", "correct", "prediction")
_SHORTEST, _LONGEST = 1, 240


@dataclass(frozen=True)
class View:
    """What the page of samples shows, as its address says.

    Attributes:
        samples: of the run.
        query: which samples, in which order.
        shown: name of the column in the histogram; None: there is no column of numbers.
    """

    samples: Samples
    query: Query
    shown: str | None

    @classmethod
    def of(cls, samples: Samples, params: Mapping[str, str]) -> View:
        """The view of an address.

        Raises:
            InputError: a parameter that cannot be meant.
        """
        query = Query.from_params(params)
        known = [column.name for column in samples.columns]
        numbers = [column.name for column in samples.columns if column.kind == "number"]
        if query.sort not in known and not params.get("sort"):
            query = replace(query, sort=(numbers or known or [query.sort])[0])
        made = cls(samples, query, params.get("shown"))
        return made if made.shown in numbers else replace(made, shown=made.usual)

    @property
    def usual(self) -> str | None:
        """The column in the histogram where none is asked for: that of the order, if it has numbers, else the first."""
        numbers = [column.name for column in self.samples.columns if column.kind == "number"]
        return self.query.sort if self.query.sort in numbers else next(iter(numbers), None)

    @property
    def params(self) -> dict[str, str]:
        """Its parameters, without those that say what is so anyway."""
        extra = {} if self.shown is None or self.shown == self.usual else {"shown": self.shown}
        return self.query.to_params() | extra

    @property
    def tile_column(self) -> str | None:
        """The column that tiles show a number of."""
        return self.query.sort if self.query.sort == self.usual else self.shown

    def column(self, name: str) -> Column | None:
        return next((column for column in self.samples.columns if column.name == name), None)

    @cached_property
    def verdicts(self) -> dict[str, int] | None:
        """How many samples are found of all, those that the probe gets right, and wrong; None without a probe."""
        if self.column("correct") is None:
            return None
        found = {"yes": True, "no": False}
        return {name: self.samples.count(replace(self.query, correct=value)) for name, value in found.items()}

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The range that the histogram's column is held to."""
        return next(((low, high) for name, low, high in self.query.ranges if name == self.shown), (None, None))

    @property
    def other_ranges(self) -> dict[str, float]:
        """The ranges of other columns, as parameters."""
        ranges = [(name, low, high) for name, low, high in self.query.ranges if name != self.shown]
        ends = {
            f"{end}.{name}": value for name, *both in ranges for end, value in zip(("min", "max"), both, strict=True)
        }
        return {name: value for name, value in ends.items() if value is not None}

    @property
    def filters(self) -> list[tuple[str, dict[str, str]]]:
        """What narrows the samples down: in words, and the parameters of the page without it."""
        query, without = self.query, []
        for name, low, high in query.ranges:
            rest = tuple(held for held in query.ranges if held[0] != name)
            without.append((_range_in_words(name, low, high), replace(query, ranges=rest)))
        if query.label is not None:
            without.append((f"label {query.label}", replace(query, label=None)))
        if query.correct is not None:
            without.append((f"probe {'right' if query.correct else 'wrong'}", replace(query, correct=None)))
        if query.text:
            without.append((f"text “{query.text}”", replace(query, text="")))
        if query.tag is not None:
            without.append((f"tag {query.tag}", replace(query, tag=None)))
        return [(words, replace(self, query=rest).params) for words, rest in without]

    @property
    def unfiltered(self) -> dict[str, str]:
        """The parameters of the page with the same order, of all samples."""
        return replace(self, query=Query(sort=self.query.sort, descending=self.query.descending)).params

    def figure(self) -> HistogramFigure | None:
        """The histogram of the column that is shown; None where it has no finite number."""
        column = None if self.shown is None else self.column(self.shown)
        if column is None or column.low is None:
            return None
        histogram, wrong = self.samples.histogram(self.query, column.name), None
        if histogram.correct is not None:  # what is not right may not be judged
            missed = replace(self.query, correct=False)
            wrong = self.samples.histogram(missed, column.name).counts * (self.query.correct is not True)
        return figure_of(histogram, wrong, *self.bounds)

    def tiles(self, offset: int, limit: int) -> list[dict[str, Any]]:
        shown = [name for name in (*_TOLD, self.tile_column) if name is not None and self.column(name) is not None]
        rows = self.samples.page(self.query, offset=offset, limit=limit, columns=list(dict.fromkeys(shown)))
        return [self._tile(row, offset + place) for place, row in enumerate(rows)]

    def _tile(self, row: Row, at: int) -> dict[str, Any]:
        value = None if self.tile_column is None else row.values.get(self.tile_column)
        return {
            "at": at,
            "id": row.id,
            "href": f"/sample?{query_string({'id': row.id}, self.params, {'at': at or None})}",
            "value": value if value is not None and math.isfinite(value) else None,
            **{name: row.values.get(name) for name in _TOLD},
        }


def _range_in_words(name: str, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{name} at least {low:.4g}" if low is not None else f"{name} at most {high:.4g}"
    return f"{name} {low:.4g} to {high:.4g}"


@router.get("/samples")
def samples(request: Request, at: Annotated[int, Parameter(ge=0)] = 0) -> Response:
    """All samples. What a form says beyond what is so anyway is taken out of the address."""
    seen = explored(request)
    view = View.of(seen.samples, request.query_params)
    found = view.samples.count(view.query)
    state = view.params | ({"at": str(at)} if at else {})
    if state != dict(request.query_params):
        return RedirectResponse(f"/samples?{query_string(state)}" if state else "/samples", HTTPStatus.SEE_OTHER)
    first = min(at, max(0, found - 1)) // BLOCK * BLOCK
    return page(
        request,
        "samples.html.j2",
        view=view,
        found=found,
        at=at,
        first=first,
        block=BLOCK,
        tiles=view.tiles(first, BLOCK) if found else [],
        figure=view.figure(),
        pictures=seen.pictures.available,
        tags=seen.selection.tags(),
    )


@router.get("/samples/rows")
def rows(
    request: Request,
    offset: Annotated[int, Parameter(ge=0)],
    limit: Annotated[int, Parameter(ge=_SHORTEST, le=_LONGEST)] = BLOCK,
) -> HTMLResponse:
    """More of the gallery, for its script."""
    seen = explored(request)
    view = View.of(seen.samples, request.query_params)
    found = view.samples.count(view.query)
    return fragment(
        "tiles.html.j2", view=view, found=found, tiles=view.tiles(offset, limit), pictures=seen.pictures.available
    )


@router.get("/labels")
def labels(request: Request, prefix: Annotated[str, Parameter(max_length=200)] = "") -> list[str]:
    """Labels that begin with what is being typed, the most frequent first."""
    return [label for label, _ in explored(request).samples.labels(prefix, limit=_LABELS_OFFERED)]
