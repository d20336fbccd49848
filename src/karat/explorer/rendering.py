"""From data to pages: one set of templates, where nothing of a run is ever markup."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..reporting import formats
from .explored import Explored

NAVIGATION = {"/samples": "Samples", "/features": "Features", "/compare": "Compare", "/selection": "Selection"}
# Pages that belong to an entry of the navigation.
_UNDER = {"/sample": "/samples", "/feature": "/features"}
_LARGEST_FORM = 1 << 20


def explored(request: Request) -> Explored:
    """What the application looks at."""
    found: Explored = request.app.state.explored
    return found


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A whole page: a template that extends page.html.j2."""
    seen = explored(request)
    path = request.url.path
    frame = {
        "run": seen.run,
        "problems": seen.problems,
        "navigation": NAVIGATION,
        "here": _UNDER.get(path, path),
        "status": status,
    }
    return HTMLResponse(templates().get_template(template).render(frame | context), status)


def fragment(template: str, **context: Any) -> HTMLResponse:
    """A part of a page, which a script puts in its place."""
    return HTMLResponse(templates().get_template(template).render(context))


@cache
def templates() -> Environment:
    """The templates, which escape everything that is not their own."""
    environment = Environment(
        loader=PackageLoader(str(__package__)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formats.number, "decimal": formats.decimal, "share": formats.share, "count": formats.count,
        "signed": formats.signed, "sentence": formats.sentence, "tick": "{:.4g}".format, "bound": _bound,
    }  # fmt: skip
    environment.globals["query_string"] = query_string
    return environment


def query_string(*params: Mapping[str, Any]) -> str:
    """Parameters as they stand behind the ? of an address, those of None left out; later ones replace earlier ones.

    >>> query_string({"id": "a&b", "tag": None}, {"at": 3})
    'id=a%26b&at=3'
    """
    merged = {name: value for some in params for name, value in some.items()}
    return urlencode({name: value for name, value in merged.items() if value is not None})


def _bound(value: float | None) -> str:
    """The bound of a range as a field holds it, to the last digit.

    >>> _bound(3.0), _bound(0.1), _bound(None)
    ('3', '0.1', '')
    """
    return "" if value is None else repr(value).removesuffix(".0")


async def form(request: Request) -> dict[str, list[str]]:
    """The fields of a posted form, each with all its values.

    Raises:
        HTTPException: it is too large, or no form.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The form is too large.")
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A form is needed.")
    try:
        return parse_qs(body.decode(), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The form cannot be read.") from error
