"""The explorer as a web application: its pages, its own files, and its errors as plain pages."""

from __future__ import annotations

import sys
from http import HTTPStatus
from importlib.resources import files
from typing import cast

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from ..errors import InputError, KaratError
from ..reporting import formats
from . import compare_pages, feature_pages, picture_pages, sample_pages, samples_pages, selection_pages, tag_pages
from .explored import Explored
from .rendering import page
from .safety import LOOPBACK, Safety

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def create_app(explored: Explored, *, token: str | None = None, hosts: frozenset[str] = LOOPBACK) -> Safety:
    """The application of a run, behind its `Safety`.

    Args:
        explored: what it shows.
        token: what a browser must show once; None: nothing.
        hosts: names that a Host header may have; see `allowed_hosts`.
    """
    app = FastAPI(openapi_url=None)
    app.state.explored = explored
    app.state.own_files = _own_files()
    app.add_api_route("/", _start)
    app.add_api_route("/static/{name}", _own_file)
    views = (samples_pages, sample_pages, feature_pages, compare_pages, selection_pages)
    for pages in (*views, picture_pages, tag_pages):
        app.include_router(pages.router)
    app.add_exception_handler(AnyHTTPException, _told)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(KaratError, _sentence)
    app.add_exception_handler(Exception, _unexpected)
    return Safety(app, hosts, token)


def _own_files() -> dict[str, bytes]:
    """Name -> content of all that /static/ serves: the explorer's own files and the style sheet of reports."""
    own = {file.name: file.read_bytes() for file in (files(__package__) / "static").iterdir()}
    return own | {"report.css": (files(str(formats.__package__)) / "templates" / "report.css").read_bytes()}


def _own_file(request: Request, name: str) -> Response:
    content = request.app.state.own_files.get(name)
    if content is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file.")
    kind = _TYPES[name[name.rindex(".") :]]
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=300"})


def _start() -> RedirectResponse:
    return RedirectResponse("/samples", HTTPStatus.SEE_OTHER)


def _told(request: Request, error: Exception) -> HTMLResponse:
    """An error that a page raised on purpose, or an address that is none."""
    told = cast(AnyHTTPException, error)
    phrase = HTTPStatus(told.status_code).phrase
    why = told.detail if told.detail != phrase else f"There is no such page ({phrase.lower()})."
    return page(request, "error.html.j2", status=told.status_code, why=why)


def _not_understood(request: Request, error: Exception) -> HTMLResponse:
    """A parameter of the address that is missing or of the wrong kind."""
    faults = [f"{fault['loc'][-1]}: {fault['msg'].lower()}" for fault in cast(RequestValidationError, error).errors()]
    return page(request, "error.html.j2", status=400, why=f"The address is not understood ({'; '.join(faults)}).")


def _sentence(request: Request, error: Exception) -> HTMLResponse:
    """An error of karat: one sentence."""
    status = 400 if isinstance(error, InputError) else 500
    return page(request, "error.html.j2", status=status, why=str(error))


def _unexpected(request: Request, error: Exception) -> HTMLResponse:
    """An error in karat: the terminal is told what it is, the page only that there is one."""
    print(f"karat: unexpected {type(error).__name__} at {request.url.path}: {error}", file=sys.stderr, flush=True)
    return page(request, "error.html.j2", status=500, why="Something went wrong; the terminal says what.")
