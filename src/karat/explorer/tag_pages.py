"""Tagging: the only requests that change anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from .explored import Explored
from .rendering import explored, form
from .samples_pages import View

router = APIRouter()
# A form with nothing but the state of its page.
_OWN = ("name", "id", "all", "next")

Form = Mapping[str, list[str]]


@router.post("/tag")
async def tag(request: Request) -> RedirectResponse:
    """Give a tag (name) to samples: to those named (id, any number of times), or (all) to all that a query finds."""
    return await _changed(request, _tag)


@router.post("/untag")
async def untag(request: Request) -> RedirectResponse:
    """Take a tag from samples, or (all) from all that have it."""
    return await _changed(request, _untag)


async def _changed(request: Request, change: Callable[[Explored, Form], Any]) -> RedirectResponse:
    """Change a tag, then go back to the page that asked for it."""
    given = await form(request)
    await run_in_threadpool(change, explored(request), given)
    return RedirectResponse(_inside(given.get("next", ["/selection"])[0]), HTTPStatus.SEE_OTHER)


def _tag(seen: Explored, given: Form) -> None:
    if "all" in given:
        params = {name: values[0] for name, values in given.items() if name not in _OWN and values[0]}
        ids = seen.samples.ids(View.of(seen.samples, params).query)
    else:
        ids = _known(seen, given)
    seen.selection.tag(_name(given), ids)


def _untag(seen: Explored, given: Form) -> None:
    seen.selection.untag(_name(given), None if "all" in given else given.get("id", []))


def _name(given: Form) -> str:
    return given.get("name", [""])[0].strip()


def _known(seen: Explored, given: Form) -> list[str]:
    """The ids that were named.

    Raises:
        HTTPException: none, or one that the run does not have.
    """
    ids = given.get("id", [])
    if not ids:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "No sample was chosen.")
    if any(seen.samples.row(id) is None for id in ids):
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such sample in this run.")
    return ids


def _inside(address: str) -> str:
    """An address as one of the explorer's own, whatever was asked for.

    >>> _inside("/sample?id=a%2Fb"), _inside("https://example.com/x?y"), _inside("//example.com"), _inside("/\\\\a")
    ('/sample?id=a%2Fb', '/x?y', '/', '/%5Ca')
    """
    parts = urlsplit(address)
    path = "/" + quote(parts.path.lstrip("/"), safe="/%")
    return urlunsplit(("", "", path, quote(parts.query, safe="=&%+"), ""))
