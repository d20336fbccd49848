"""Pictures and heatmaps, by the id of a sample."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, HTTPException, Request
from fastapi import Query as Parameter
from fastapi.responses import Response

from .rendering import explored

router = APIRouter()

_KEPT = {"Cache-Control": "private, max-age=600"}


@router.get("/picture")
def picture(request: Request, id: str, side: Annotated[int | None, Parameter(ge=16, le=512)] = None) -> Response:
    """The picture of a sample as a JPEG, in a square of `side` pixels or whole."""
    pictures = explored(request).pictures
    content = pictures.full(id) if side is None else pictures.thumbnail(id, side)
    if content is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such picture.")
    return Response(content, media_type="image/jpeg", headers=_KEPT)


@router.get("/heatmap")
def heatmap(request: Request, id: str, feature: Annotated[int | None, Parameter(ge=0)] = None) -> Response:
    """The picture of a sample under the map of a feature, or of the sample as a whole, as a PNG."""
    content = explored(request).heatmaps.png(id, feature)
    if content is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such heatmap.")
    return Response(content, media_type="image/png", headers=_KEPT)
