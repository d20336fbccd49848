"""Contact sheets of an explanation: the worst and the best samples, and what its features see."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..extraction.meter import Meter
from ..images import ImageSource
from ..images.decoding import encode_png
from .chosen import Chosen
from .drawing import Drawing
from .features import FeaturePage
from .pictures import Tile, contact_sheet, overlay, text_of_length

_ACROSS = 6
_LONGEST = 60


def samples_sheet(tiles: Sequence[Tile], *, title: str) -> bytes:
    """Samples in the order given, as the bytes of a PNG."""
    rows = [tiles[start : start + _ACROSS] for start in range(0, len(tiles), _ACROSS)]
    return encode_png(contact_sheet(rows, title=title))


def features_sheet(
    drawing: Drawing, source: ImageSource, pages: Sequence[FeaturePage], source_rows: np.ndarray
) -> bytes:
    """A row a feature: the images that activate it most, beside its own maps on them; the bytes of a PNG.

    Args:
        drawing: draws the maps.
        source: the images.
        pages: the features.
        source_rows: the row in the source of each row of the scores.
    """
    rows = np.concatenate([source_rows[page.rows] for page in pages])
    wanted = np.concatenate([np.full((len(page.rows), 1), page.feature) for page in pages])
    drawn = drawing.each_map(Chosen.of(source, rows), wanted, Meter(None, total=len(rows)))
    pictures = [
        (pixels, overlay(pixels, maps[0]))
        for batch in drawn
        for pixels, maps in zip(batch.pixels, batch.maps, strict=True)
    ]
    captions = [
        (text_of_length(str(name), _LONGEST), f"h = {value:.3g}")
        for page in pages
        for name, value in zip(page.ids, page.values, strict=True)
    ]
    tiles = [Tile(both, lines) for both, lines in zip(pictures, captions, strict=True)]
    ends = np.cumsum([0, *(len(page.rows) for page in pages)])
    lines = [tiles[start:stop] for start, stop in pairwise(ends.tolist())]
    sheet = contact_sheet(
        lines, title="Features and the images that activate them most", headings=list(map(_heading, pages))
    )
    return encode_png(sheet)


def _heading(page: FeaturePage) -> str:
    alike = f", redundant with {', '.join(map(str, page.redundant_with[:5]))}" if page.redundant_with else ""
    kind = "in D" if page.discriminative else "not in D"
    return f"feature {page.feature}: highly active in {page.share:.2%} of the reference, {kind}{alike}"
