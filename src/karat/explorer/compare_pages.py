"""The page that compares this run with another on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Query as Parameter
from fastapi.responses import HTMLResponse

from .compared import Compared, compared, others_of
from .explored import Explored
from .rendering import explored, page, query_string
from .samples import Row
from .scatter_figure import scatter_figure

router = APIRouter()

# Samples of each kind of move.
SHOWN = 12
ENDS = {
    "rose": "Rose most",
    "fell": "Fell most",
    "gained": "Gained: right in the other run only",
    "lost": "Lost: right in this run only",
}


@router.get("/compare")
def compare(
    request: Request,
    other: Annotated[str | None, Parameter(max_length=300)] = None,
    by: Annotated[str | None, Parameter(max_length=200)] = None,
) -> HTMLResponse:
    """This run beside another: what moved in rank, and what their probes gained and lost."""
    seen = explored(request)
    others = others_of(seen.run)
    pair = compared(seen.run, other, by or None) if other else None
    return page(
        request,
        "compare.html.j2",
        others=others,
        other=other,
        pair=pair,
        figure=None if pair is None else scatter_figure(pair),
        sheets=[] if pair is None else _sheets(seen, pair),
        pictures=seen.pictures.available,
    )


def _sheets(seen: Explored, pair: Compared) -> list[dict[str, Any]]:
    """The samples that moved most, by the way they moved."""
    ends = pair.ends(SHOWN)
    known = seen.samples.rows([pair.ids[int(row)].as_py() for rows, _ in ends.values() for row in rows])
    return [
        {"title": ENDS[end], "end": end, "n": n, "tiles": [_tile(pair, int(row), known) for row in rows]}
        for end, (rows, n) in ends.items()
    ]


def _tile(pair: Compared, row: int, known: Mapping[str, Row]) -> dict[str, Any]:
    id = pair.ids[row].as_py()
    values: Mapping[str, Any] = known[id].values if id in known else {}
    return {
        "id": id,
        "href": f"/sample?{query_string({'id': id})}",
        "label": values.get("label"),
        "correct": values.get("correct"),
        "prediction": values.get("prediction"),
        "moved": tuple(
            f"{100 * share:.0f}%" if share == share else "-" for share in (pair.before[row], pair.after[row])
        ),
    }
