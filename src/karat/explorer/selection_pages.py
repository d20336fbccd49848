"""The pages of tagged sets: seeing, renaming, removing and exporting them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Query as Parameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from .explored import Explored
from .exporting import FORMATS, export
from .query import Query
from .rendering import explored, form, page, query_string
from .samples import Row

router = APIRouter()

# Samples of a set on a page.
BLOCK = 60


@router.get("/selection")
def selection(request: Request, tag: str | None = None, at: Annotated[int, Parameter(ge=0)] = 0) -> HTMLResponse:
    """All tagged sets, or the samples of one."""
    seen = explored(request)
    tags = seen.selection.tags()
    if tag is None:
        return page(request, "selection.html.j2", tags=tags, files=seen.pictures.available)
    if tag not in tags:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such tag.")
    query = Query(tag=tag)
    found = seen.samples.count(query)
    first = min(at, max(0, found - 1)) // BLOCK * BLOCK
    return page(
        request,
        "tagged.html.j2",
        tag=tag,
        found=found,
        elsewhere=tags[tag] - found,
        first=first,
        block=BLOCK,
        tiles=[_tile(row) for row in seen.samples.page(query, offset=first, limit=BLOCK)],
        formats=FORMATS,
        pictures=seen.pictures.available,
    )


def _tile(row: Row) -> dict[str, Any]:
    told = {name: row.values.get(name) for name in ("label", "correct", "prediction")}
    return {"id": row.id, "href": f"/sample?{query_string({'id': row.id})}", **told}


@router.post("/selection/rename")
async def rename(request: Request) -> RedirectResponse:
    """Give the samples of a tag (name) another one (new) instead; one that there is already takes them up."""
    given = await form(request)
    new = await run_in_threadpool(_rename, explored(request), given)
    return RedirectResponse(f"/selection?{query_string({'tag': new})}", HTTPStatus.SEE_OTHER)


def _rename(seen: Explored, given: Mapping[str, list[str]]) -> str:
    name, new = given.get("name", [""])[0], given.get("new", [""])[0].strip()
    ids = seen.selection.ids(name)
    if not ids:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such tag.")
    seen.selection.tag(new, ids)  # first, so that nothing is lost when the other fails
    if new != name:
        seen.selection.untag(name)
    return new


@router.get("/export")
def exported(request: Request, tag: str, format: str) -> Response:
    """A tagged set as a file."""
    made = export(explored(request), tag, format)
    headers = {"Content-Disposition": f'attachment; filename="{made.name}"', "Cache-Control": "no-store"}
    return Response(made.content, media_type=made.kind, headers=headers)
