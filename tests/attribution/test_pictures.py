"""Colours, overlays and contact sheets."""

from __future__ import annotations

import numpy as np

from karat.attribution.pictures import Tile, coloured, contact_sheet, overlay, text_of_length


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours uint8 [n, 3]: IEC 61966-2-1 and CIE 1976."""
    linear = np.where(rgb / 255 <= 0.04045, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def test_lightness_of_the_colours_rises_evenly() -> None:
    steps = np.linspace(0, 1, 33)
    light = lightness(coloured(steps))
    assert (np.diff(light) > 0).all()
    # Its makers evened another measure of lightness (CAM02-UCS).
    assert np.abs(light - (light[0] + steps * (light[-1] - light[0]))).max() < 6


def test_an_overlay_mixes_grey_and_colour_by_the_map() -> None:
    pixels = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
    shown = overlay(pixels, np.array([[0.0, 1.0]]))
    np.testing.assert_allclose(shown[0, 0], 0.85 * 0.299 * 255 + 0.15 * coloured(np.array(0.0)), atol=1)
    np.testing.assert_allclose(shown[0, 1], 0.15 * 0.114 * 255 + 0.85 * coloured(np.array(1.0)), atol=1)


def test_a_contact_sheet_shows_every_picture() -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    tiles = [Tile((np.full((16, 16, 3), colour, np.uint8),), ("caption",)) for colour in colours]
    sheet = contact_sheet([tiles[:2], tiles[2:]], title="three", headings=["two", "one"])
    for colour in colours:
        assert (sheet == colour).all(axis=2).sum() == 128 * 128
    assert (sheet == 255).all(axis=2).any()


def test_hostile_captions_are_drawn_on_one_line() -> None:
    for name in ("../../\n\r\x00\x1b[31m", "x" * 5000, "\u202eevil", "", "😀 猫"):
        tile = Tile((np.zeros((4, 4, 3), np.uint8),), (text_of_length(name, 60),))
        plain = Tile((np.zeros((4, 4, 3), np.uint8),), ("plain",))
        assert contact_sheet([[tile]], title=name).shape == contact_sheet([[plain]], title="plain").shape


def test_long_text_keeps_both_ends() -> None:
    assert text_of_length("abcdefghij", 5) == "ab…ij"
    assert text_of_length("abc", 3) == "abc"
    assert text_of_length("a\nb", 3) == "a?b"
    assert text_of_length("abcdef", 1) == "…"
