"""The pages of features: how often each is active, and what activates it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi import Query as Parameter
from fastapi.responses import HTMLResponse

from ..records import Scores
from .explored import Explored
from .features import Feature
from .rendering import explored, page, query_string
from .samples import Row
from .share_figure import KINDS, Kind, kinds_of, share_figure

router = APIRouter()

# Features on a page of the table, and pictures beside each.
BLOCK, STRIP = 50, 12
# Samples on the page of a feature; fewer, where each needs a heatmap.
SHOWN, MAPPED = 60, 24


@dataclass(frozen=True)
class Listing:
    """Which features are listed, in which order: the state of the page.

    Attributes:
        kind: only those of this kind; None: all.
        sort: by "share" or "number".
        descending: the largest first.
    """

    kind: Kind | None
    sort: Literal["share", "number"]
    descending: bool

    @classmethod
    def of(cls, kind: str, sort: Literal["share", "number"], order: str | None) -> Listing:
        """The listing of an address; by default shares fall, and numbers rise."""
        only = next((name for name in KINDS if name == kind), None)
        return cls(only, sort, (sort == "share") if order is None else order == "desc")

    @property
    def params(self) -> dict[str, str | None]:
        usual = (self.sort == "share") == self.descending
        return {
            "kind": self.kind or "all",
            "sort": None if self.sort == "share" else self.sort,
            "order": None if usual else "desc" if self.descending else "asc",
        }

    def sorted_by(self, sort: Literal["share", "number"]) -> dict[str, str | None]:
        """The parameters of the page when the heading of a column is followed: turned round, or by that column."""
        if sort == self.sort:
            return Listing(self.kind, sort, not self.descending).params
        return Listing.of(self.kind or "all", sort, None).params

    def rising(self, sort: str) -> str:
        """What a column's heading says of the order."""
        return "none" if sort != self.sort else "descending" if self.descending else "ascending"

    def chosen(self, features: Sequence[Feature], kinds: Sequence[Kind]) -> list[Feature]:
        """The features, in order; equal shares by rising number."""
        members = [one for one, kind in zip(features, kinds, strict=True) if self.kind in (None, kind)]
        if self.sort == "number":
            return sorted(members, key=lambda one: one.column, reverse=self.descending)
        return sorted(members, key=lambda one: (-one.share if self.descending else one.share, one.column))


@router.get("/features")
def features(
    request: Request,
    kind: Literal["all", "discriminative", "generic", "rare", "dead"] = "discriminative",
    sort: Literal["share", "number"] = "share",
    order: Literal["asc", "desc"] | None = None,
    at: Annotated[int, Parameter(ge=0)] = 0,
) -> HTMLResponse:
    """All features: their activation shares, and a table of them with the samples that each is activated by most."""
    seen = explored(request)
    table = seen.features.table
    kinds = kinds_of(table)
    listing = Listing.of(kind, sort, order)
    chosen = listing.chosen(table, kinds)
    first = min(at, max(0, len(chosen) - 1)) // BLOCK * BLOCK
    kind_of = dict(zip((one.column for one in table), kinds, strict=True))
    shown = chosen[first : first + BLOCK]
    tops = seen.features.tops([one.column for one in shown], limit=STRIP)
    return page(
        request,
        "features.html.j2",
        table=table,
        figure=share_figure(table) if table else None,
        listing=listing,
        counts=Counter(kinds),
        kinds=KINDS,
        found=len(chosen),
        first=first,
        block=BLOCK,
        rows=[
            {"feature": one, "kind": kind_of[one.column], "name": name_of(seen, one.column), "top": tops[one.column]}
            for one in shown
        ],
        pictures=seen.pictures.available,
    )


@router.get("/feature")
def feature(
    request: Request, number: Annotated[int, Parameter(ge=0)], maps: Literal["yes"] | None = None
) -> HTMLResponse:
    """One feature, with the samples that it is activated by most; as heatmaps where an encoder can draw them."""
    seen = explored(request)
    table = seen.features.table
    one = next((one for one in table if one.column == number), None)
    if one is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no feature {number} in this run.")
    by_rank = {other.rank: other.column for other in table}
    mapped = maps is not None and seen.heatmaps.of_features
    top = seen.features.samples_of(number, limit=MAPPED if mapped else SHOWN)
    known = seen.samples.rows([id for id, _ in top])
    tiles = [_tile(seen, number, known.get(id), id, value) for id, value in top]
    return page(
        request,
        "feature.html.j2",
        feature=one,
        name=name_of(seen, number),
        kind=kinds_of(table)[table.index(one)],
        kinds=KINDS,
        figure=share_figure(table, one),
        total=len(table),
        before=by_rank.get(one.rank - 1),
        after=by_rank.get(one.rank + 1),
        tiles=tiles,
        labels=Counter(tile["label"] for tile in tiles if tile["label"] is not None).most_common(5),
        mapped=mapped,
        can_draw=seen.heatmaps.of_features,
        pictures=seen.pictures.available,
    )


def _tile(seen: Explored, number: int, row: Row | None, id: str, value: float) -> dict[str, Any]:
    values: Mapping[str, Any] = {} if row is None else row.values
    looks = {"feature": number} if seen.heatmaps.of_features else {}
    return {
        "id": id,
        "value": value,
        "href": f"/sample?{query_string({'id': id}, looks)}",
        "label": values.get("label"),
        "correct": values.get("correct"),
        "prediction": values.get("prediction"),
    }


def name_of(seen: Explored, number: int) -> str:
    """What a feature is called: its number, or of a half the feature's number and the half's sign."""
    scores = seen.run.records.get(seen.run.scores or "")
    if not isinstance(scores, Scores) or not scores.health.halves:
        return str(number)
    return f"{number % scores.health.d}{'+' if number < scores.health.d else '−'}"
