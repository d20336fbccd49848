"""The samples at both ends of a score, with their pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._optional import require
from ..errors import InputError
from ..images import ImageSource
from .samples import RIGHT, UNKNOWN, Samples, names

PLACES = 24
# Pictures are shown at up to 96 px: smaller ones are kept as they are, larger ones get twice that for dense screens.
SHOWN, STORED = 96, 192
_LONGEST = 80

Json = dict[str, Any]
# The pictures of some ids, their longest side at most so many pixels.
Pictures = Callable[[list[str], int], dict[str, Json]]


def sheets(samples: Samples, chosen: Mapping[str, np.ndarray], pictures: Mapping[str, Json]) -> list[Json]:
    """Contact sheets: for each end of the score the chosen samples, each with its picture, label and verdict."""
    return [
        {"end": end, "tiles": [_tile(samples, row, pictures) for row in rows], **_verdict_counts(samples, rows)}
        for end, rows in chosen.items()
        if len(rows)
    ]


def choose(samples: Samples, *, places: int = PLACES, seed: int = 0) -> dict[str, np.ndarray]:
    """The rows to show: "by_rule" (Q-Score 0 by rule, in no order), "lowest" first, and "highest" first.

    Those of 0 by rule are drawn at random, and samples of equal score come in random order, so that no order in the
    file shows through.
    """
    generator = np.random.default_rng(seed)
    by_rule = np.flatnonzero(samples.by_rule)
    rest = np.flatnonzero(~samples.by_rule)
    rest = generator.permutation(rest)
    rising = rest[np.argsort(samples.values[rest], kind="stable")]
    each = min(places, len(rising) // 2) if len(rising) > 1 else len(rising)
    return {
        "by_rule": generator.permutation(by_rule)[:places],
        "lowest": rising[:each],
        "highest": rising[::-1][: min(each, len(rising) - each)],
    }


def pictures_of(
    ids: list[str], source: ImageSource, paths: Mapping[str, str] | None = None, *, stored: int = STORED
) -> dict[str, Json]:
    """The pictures of some ids, as data URIs. An image that is missing or damaged says so in its place.

    Args:
        ids: the samples.
        source: the images.
        paths: id -> path in the source; None: the source has the same ids.
        stored: the longest side of what is kept of a larger picture, in pixels.
    """
    path_of = {name: name if paths is None else paths.get(name, "") for name in ids}
    wanted = set(path_of.values())
    known = names(source.ids if paths is None else source.paths)
    row_of = {path: row for row, path in enumerate(known) if path in wanted}
    return {name: _picture(source, row_of.get(path), stored) for name, path in path_of.items()}


def _picture(source: ImageSource, row: int | None, stored: int) -> Json:
    if row is None:
        return {"missing": "no such image"}
    try:
        pixels = source.read(row)
    except InputError:
        return {"missing": "unreadable image"}
    return {"src": _data_uri(pixels, stored)}


def _data_uri(pixels: np.ndarray, stored: int) -> str:
    """uint8 [h, w, 3] -> a PNG where it is small, else a JPEG."""
    image = require("PIL.Image", "pictures in a report").fromarray(pixels)
    small = max(image.size) <= SHOWN
    image.thumbnail((stored, stored))
    kind = "png" if small else "jpeg"
    file = io.BytesIO()
    image.save(file, format=kind, optimize=True, **({} if small else {"quality": 85}))
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _tile(samples: Samples, row: int, pictures: Mapping[str, Json]) -> Json:
    name = str(samples.ids[row])
    prediction = samples.predictions[row]
    return {
        "id": shortened(name),
        "label": None if samples.labels is None else _label(samples.labels[row]),
        "score": float(samples.values[row]),
        "verdict": {RIGHT: "right", UNKNOWN: None}.get(int(samples.verdict[row]), "wrong"),
        "prediction": None if prediction is None else shortened(prediction),
        "picture": pictures.get(name),
    }


def _label(label: Any) -> str | None:
    missing = label is None or label == "" or label != label
    return None if missing else shortened(label)


def _verdict_counts(samples: Samples, rows: np.ndarray) -> Json:
    verdict = samples.verdict[rows]
    return {"judged": int((verdict != UNKNOWN).sum()), "right": int((verdict == RIGHT).sum())}


def shortened(value: Any) -> str:
    """Text of at most 80 characters; of longer text both ends."""
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:50]} … {text[-27:]}"
