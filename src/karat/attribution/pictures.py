"""Pictures of heatmaps: overlays and contact sheets, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._optional import require

# "magma" at ten equal steps: lightness rises evenly with the value (Smith & van der Walt, CC0).
_MAGMA = (0x000004, 0x180F3D, 0x440F76, 0x721F81, 0x9E2F7F, 0xCD4071, 0xF1605D, 0xFD9668, 0xFECA8D, 0xFCFDBF)
# How much of the colour an overlay shows where the map is 0 and where it is 1.
_FAINT, _STRONG = 0.15, 0.85
_TILE, _GAP, _LINE, _FONT = 128, 6, 14, 11
_PAPER, _INK, _PALE = (255, 255, 255), (20, 20, 20), (120, 120, 120)
_PURPOSE = "pictures of heatmaps"


@dataclass(frozen=True)
class Tile:
    """One place of a contact sheet.

    Attributes:
        pictures: uint8 [h, w, 3], one beside the other.
        captions: lines below them.
    """

    pictures: tuple[np.ndarray, ...]
    captions: tuple[str, ...] = ()


def coloured(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1 as colours whose lightness rises evenly: [...] -> uint8 [..., 3].

    >>> coloured(np.array([0.0, 1.0])).tolist()
    [[0, 0, 4], [252, 253, 191]]
    """
    steps = np.linspace(0, 1, len(_MAGMA))
    channels = [[colour >> shift & 255 for colour in _MAGMA] for shift in (16, 8, 0)]
    return np.stack([np.interp(values, steps, channel) for channel in channels], axis=-1).round().astype(np.uint8)


def overlay(pixels: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """A heatmap over its image in grey: the higher the map, the more of its colour.

    Args:
        pixels: uint8 [h, w, 3].
        heatmap: [h, w], from 0 to 1.

    Returns:
        uint8 [h, w, 3].
    """
    grey = pixels @ np.array([0.299, 0.587, 0.114])  # luma, ITU-R BT.601
    share = (_FAINT + (_STRONG - _FAINT) * heatmap)[..., None]
    mixed = (1 - share) * grey[..., None] + share * coloured(heatmap)
    return mixed.round().astype(np.uint8)


def contact_sheet(rows: Sequence[Sequence[Tile]], *, title: str, headings: Sequence[str] | None = None) -> np.ndarray:
    """Tiles in rows, all of one size.

    Args:
        rows: the tiles; rows may differ in length.
        title: the first line.
        headings: one line above each row.

    Returns:
        uint8 [h, w, 3].
    """
    image, draw_on, font = (require(name, _PURPOSE) for name in ("PIL.Image", "PIL.ImageDraw", "PIL.ImageFont"))
    wide = max((len(tile.pictures) for row in rows for tile in row), default=1) * (_TILE + 1) + _GAP
    lines = max((len(tile.captions) for row in rows for tile in row), default=0)
    high = _TILE + lines * _LINE + _GAP + (_LINE if headings else 0)
    across = max((len(row) for row in rows), default=1)
    sheet = image.new("RGB", (max(3, across) * wide + _GAP, 2 * _LINE + len(rows) * high + _GAP), _PAPER)
    pen = _Pen(sheet, draw_on.Draw(sheet), font.load_default(_FONT))
    pen.write(title, _GAP, _GAP, sheet.width - 2 * _GAP)
    for line, row in enumerate(rows):
        top = 2 * _LINE + line * high
        if headings:
            pen.write(headings[line], _GAP, top, sheet.width - 2 * _GAP)
            top += _LINE
        for place, tile in enumerate(row):
            pen.place(tile, _GAP + place * wide, top, wide - _GAP)
    return np.array(sheet)


@dataclass
class _Pen:
    """Writes and pastes on a sheet."""

    sheet: Any
    draw: Any
    font: Any

    def place(self, tile: Tile, left: int, top: int, width: int) -> None:
        for number, pixels in enumerate(tile.pictures):
            picture = _fitted(pixels)
            corner = (left + number * (_TILE + 1) + (_TILE - picture.width) // 2, top + (_TILE - picture.height) // 2)
            self.sheet.paste(picture, corner)
        for line, caption in enumerate(tile.captions):
            self.write(caption, left, top + _TILE + line * _LINE, width, colour=_PALE if line else _INK)

    def write(self, text: str, left: int, top: int, width: int, *, colour: tuple[int, int, int] = _INK) -> None:
        """One line, its middle left out where it is too long."""
        keep = min(len(text), width // 2)  # a character is wider than two pixels
        while self.font.getlength(shown := text_of_length(text, keep)) > width and keep > 1:
            keep -= 1
        self.draw.text((left, top), shown, fill=colour, font=self.font)


def text_of_length(text: str, length: int) -> str:
    """Text of at most so many characters, printable; of longer text both ends.

    >>> text_of_length("photographs/holiday.png", 11)
    'photo…y.png'
    """
    shown = "".join(character if character.isprintable() else "?" for character in text)
    if len(shown) <= length:
        return shown
    end = (length - 1) // 2
    return f"{shown[: length - 1 - end]}…{shown[len(shown) - end :] if end else ''}"


def _fitted(pixels: np.ndarray) -> Any:
    """A picture that fills a tile; small ones are enlarged by whole factors, so that pixels stay square."""
    image = require("PIL.Image", _PURPOSE)
    picture = image.fromarray(pixels)
    longest = max(picture.size)
    if 2 * longest > _TILE:
        size = tuple(max(1, round(side * _TILE / longest)) for side in picture.size)
        return picture.resize(size, image.Resampling.LANCZOS)
    factor = _TILE // longest
    return picture.resize((picture.width * factor, picture.height * factor), image.Resampling.NEAREST)
