"""The heatmaps of an explanation as plain values: what was drawn, how, and its contact sheets."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np

from .._optional import require
from ..errors import InputError
from ..images.decoding import decode
from ..records import Explanation
from .gallery import shortened

SHEETS = ("lowest", "highest", "features")
# A sheet is made smaller and coarser until it is under 400 kB (550 kB as text): three of them leave room on the page.
_WIDEST, _LARGEST_FILE = 1400, 400_000
_QUALITIES = (85, 70, 55)
_SMALLER = 0.8
_PLAIN = (
    "method", "exact", "height", "width", "epsilon", "d", "discriminative_features", "n", "n_mapped", "n_empty",
    "n_zero_maps",
)  # fmt: skip

Json = dict[str, Any]


def explanation_section(explanation: Explanation, folder: Path | None) -> Json:
    """Which heatmaps there are, of what, and the contact sheets that lie in the folder maps/ of a run.

    Returns:
        "encoder", "method", "layer" (None: the method has none), "exact", "height", "width", "epsilon", "d",
        "discriminative_features", "n", "n_mapped", "n_empty", "n_zero_maps", "warnings"; "sheets": each its "name"
        ("lowest", "highest", "features") and "src", "width", "height", or "missing": why.
    """
    return {
        **{name: getattr(explanation, name) for name in _PLAIN},
        "encoder": shortened(explanation.encoder),
        "layer": None if explanation.layer is None else shortened(explanation.layer),
        "warnings": list(explanation.warnings),
        "sheets": [{"name": name, **_sheet(folder, name)} for name in SHEETS],
    }


def _sheet(folder: Path | None, name: str) -> Json:
    if folder is None or not (folder / f"{name}.png").is_file():
        return {"missing": "no such contact sheet"}
    try:
        pixels = decode((folder / f"{name}.png").read_bytes(), name)
    except (OSError, InputError):
        return {"missing": "unreadable contact sheet"}
    return _embedded(pixels)


def _embedded(pixels: np.ndarray) -> Json:
    """uint8 [h, w, 3] -> a JPEG of modest size, as a data URI."""
    pil = require("PIL.Image", "pictures in a report")
    image = pil.fromarray(pixels)
    width = min(image.width, _WIDEST)
    while True:
        small = image.resize((width, max(1, round(image.height * width / image.width))), pil.Resampling.LANCZOS)
        for quality in _QUALITIES:
            file = io.BytesIO()
            small.save(file, format="jpeg", optimize=True, quality=quality)
            if file.tell() <= _LARGEST_FILE:
                encoded = base64.b64encode(file.getvalue()).decode()
                return {"src": f"data:image/jpeg;base64,{encoded}", "width": small.width, "height": small.height}
        width = round(_SMALLER * width)
