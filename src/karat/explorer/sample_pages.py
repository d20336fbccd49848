"""The page of one sample: picture, scores, the features that fire on it, neighbours, the probe's verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Query as Parameter
from fastapi.responses import HTMLResponse

from ..catalog import ROWS
from .explored import Explored
from .neighbors import nearest
from .query import Query
from .rendering import explored, page
from .samples import Column, Row
from .samples_pages import View
from .verdicts import verdict

router = APIRouter()

_NEIGHBORS = 12
# Columns with a place of their own on the page.
_TOLD_APART = ("id", "label", "correct", "prediction")


@dataclass(frozen=True)
class Standing:
    """A number of a sample, and where it stands among all.

    Attributes:
        name, meaning: the column, and one line on it (empty where it is none of karat's scores).
        value: the number.
        below: share of the samples with a number, from 0 to 1, whose number is lower.
        direction: +1 where high is good, -1 where low is, 0 where neither is claimed.
    """

    name: str
    meaning: str
    value: float
    below: float
    direction: int


@router.get("/sample")
def sample(
    request: Request,
    id: str,
    feature: Annotated[int | None, Parameter(ge=0)] = None,
    map: Annotated[bool, Parameter()] = False,
) -> HTMLResponse:
    """One sample, in the order that the address names; with the heatmap of a feature, or (map) of the sample."""
    seen = explored(request)
    row = seen.samples.row(id)
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such sample in this run.")
    view = View.of(seen.samples, request.query_params)
    before, after = seen.samples.neighbour_in_order(view.query, id)
    active = seen.features.of_sample(id)
    return page(
        request,
        "sample.html.j2",
        row=row,
        view=view,
        before=before,
        after=after,
        verdict=verdict(seen.run, id),
        standings=_standings(seen, row),
        further=_further(seen, row),
        active=active,
        loudest=max((value for _, value, _ in active), default=0.0),
        neighbors=_neighbors(seen, id),
        tags=seen.selection.tags_of(id),
        all_tags=seen.selection.tags(),
        pictures=seen.pictures.available,
        heatmap=_heatmap(seen, id, feature, map),
        can_draw=seen.heatmaps.of_features,
        has_map=seen.heatmaps.has(id),
    )


def _standings(seen: Explored, row: Row) -> list[Standing]:
    """The numbers of a sample, in the order of the columns."""
    found = []
    for column in seen.samples.columns:
        value = row.values.get(column.name)
        if column.kind == "number" and value is not None and math.isfinite(value):
            known = ROWS.get(column.name)
            meaning, direction = ("", 0) if known is None else (known.meaning, known.direction)
            found.append(Standing(column.name, meaning, float(value), _below(seen, column, float(value)), direction))
    return found


def _below(seen: Explored, column: Column, value: float) -> float:
    """Share of the samples with a number in this column that have a lower one."""
    with_number = Query(sort=column.name, ranges=((column.name, column.low, column.high),))
    at_least = replace(with_number, ranges=((column.name, value, column.high),))
    n = seen.samples.count(with_number)
    return 0.0 if n == 0 else 1 - seen.samples.count(at_least) / n


def _further(seen: Explored, row: Row) -> list[tuple[str, Any]]:
    """What else is known of a sample: columns that are no numbers."""
    others = [column for column in seen.samples.columns if column.kind != "number" and column.name not in _TOLD_APART]
    return [(column.title, row.values.get(column.name)) for column in others if row.values.get(column.name) is not None]


def _neighbors(seen: Explored, id: str) -> list[dict[str, Any]]:
    """The nearest samples, each with its label and verdict where the run has its row."""
    found = []
    for name, similarity in nearest(seen.run, id, _NEIGHBORS):
        row = seen.samples.row(name)
        values = {} if row is None else row.values
        told = {key: values.get(key) for key in ("label", "correct", "prediction")}
        found.append({"id": name, "similarity": similarity, **told})
    return found


def _heatmap(seen: Explored, id: str, feature: int | None, whole: bool) -> dict[str, Any] | None:
    """Which heatmap is asked for and can be had."""
    if feature is not None and seen.heatmaps.of_features:
        return {"feature": feature, "title": f"Where feature {feature} looks"}
    if whole and seen.heatmaps.has(id):
        return {"feature": None, "title": "Where its discriminative features look"}
    return None
