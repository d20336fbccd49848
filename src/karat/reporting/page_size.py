"""The size of a page: its pictures are made smaller, and at last left out, until they fit."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

from .._optional import require

# Of the whole file, in bytes; and of its pictures, so that text and figures have room beside them.
LIMIT, PICTURES = 5_000_000, 3_500_000
# How far sides are scaled, and the JPEG quality: the first that fits is taken.
_STEPS = ((0.75, 80), (0.6, 70), (0.45, 60), (0.33, 50))
LEFT_OUT = "left out: the page would be too large"

Json = dict[str, Any]


def fitted(page: Json, room: int = PICTURES) -> Json:
    """The page with pictures of at most `room` characters in all; a note says what was shrunk or left out."""
    sources = [picture["src"] for picture in _pictures(page)]
    if _total(sources) <= room:
        return page
    scale, smaller = 1.0, sources
    for scale, quality in _STEPS:
        smaller = [_smaller(source, scale, quality) for source in sources]
        if _total(smaller) <= room:
            break
    kept = _kept(smaller, room)
    notes = [f"Pictures are shown at {scale:.0%} of their size, so that the page stays under {LIMIT // 10**6} MB."]
    if kept < len(sources):
        notes.append(
            f"{len(sources) - kept:,} of {len(sources):,} pictures are left out, so that the page stays under "
            f"{LIMIT // 10**6} MB: the first {kept:,} are there."
        )
    replacements = iter([*smaller[:kept], *[None] * (len(smaller) - kept)])
    found: Json = _replaced(page, lambda picture: _with(picture, next(replacements)))
    return found | {"notes": [*page["notes"], *notes]}


def picture_size(page: Json) -> int:
    """How many characters the pictures of a page have."""
    return _total(picture["src"] for picture in _pictures(page))


def _pictures(value: Any) -> Iterator[Json]:
    """Every picture, in the order of the page."""
    if isinstance(value, dict):
        if "src" in value:
            yield value
        for item in value.values():
            yield from _pictures(item)
    elif isinstance(value, list):
        for item in value:
            yield from _pictures(item)


def _replaced(value: Any, change: Callable[[Json], Json]) -> Any:
    """A copy with every picture changed, in the same order."""
    if isinstance(value, dict):
        return change(value) if "src" in value else {key: _replaced(item, change) for key, item in value.items()}
    return [_replaced(item, change) for item in value] if isinstance(value, list) else value


def _with(picture: Json, source: str | None) -> Json:
    rest = {key: value for key, value in picture.items() if key != "src"}
    return {**rest, "src": source} if source is not None else {**rest, "missing": LEFT_OUT}


def _total(sources: Any) -> int:
    return sum(map(len, sources))


def _kept(sources: list[str], room: int) -> int:
    """How many of the first pictures fit."""
    for number, source in enumerate(sources):
        room -= len(source)
        if room < 0:
            return number
    return len(sources)


def _smaller(source: str, scale: float, quality: int) -> str:
    """A data URI as a smaller JPEG; itself where that is no smaller."""
    pil = require("PIL.Image", "pictures in a report")
    with pil.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        size = [max(1, round(scale * side)) for side in image.size]
        file = io.BytesIO()
        image.convert("RGB").resize(size, pil.Resampling.LANCZOS).save(file, "jpeg", optimize=True, quality=quality)
    found = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return min(source, found, key=len)
