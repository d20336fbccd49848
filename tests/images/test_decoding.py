"""From the bytes of image files to pixels: every mode, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from karat.errors import InputError
from karat.images import open_images

from .pictures import BLUE, RED, WHITE, colour, encoded, put


def decoded(tmp_path: Path, content: bytes, suffix: str = ".png") -> np.ndarray:
    """What the only image of a folder is read as."""
    put(tmp_path / "one" / f"image{suffix}", content)
    return open_images(tmp_path / "one").read(0)


def test_grey_image_has_three_equal_channels(tmp_path: Path) -> None:
    assert decoded(tmp_path, encoded(Image.new("L", (1, 1), 77))).tolist() == [[[77, 77, 77]]]


def test_bilevel_image_is_black_and_white(tmp_path: Path) -> None:
    assert decoded(tmp_path, encoded(Image.new("1", (1, 1), 1))).tolist() == [[list(WHITE)]]


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    pixels = np.array([[0, 1000, 30000, 65535]], np.uint16)
    assert decoded(tmp_path, encoded(Image.fromarray(pixels)))[0, :, 0].tolist() == [0, 4, 117, 255]


def test_numbers_of_unknown_range_are_refused(tmp_path: Path) -> None:
    for pixels in (np.array([[70000]], np.int32), np.array([[0.5]], np.float32)):
        with pytest.raises(InputError, match=r"image\.tif cannot be decoded: it holds .* of unknown range"):
            decoded(tmp_path, encoded(Image.fromarray(pixels), "TIFF"), ".tif")


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (*RED, 255))
    image.putpixel((1, 0), (*RED, 0))
    assert decoded(tmp_path, encoded(image)).tolist() == [[list(RED), list(WHITE)]]


def test_transparent_palette_colour_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    assert decoded(tmp_path, encoded(image)).tolist() == [[list(RED), list(BLUE)]]
    assert decoded(tmp_path, encoded(image, transparency=1)).tolist() == [[list(RED), list(WHITE)]]


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # magenta and yellow ink: red
    pixels = decoded(tmp_path, encoded(image, "JPEG"), ".jpg")
    assert np.abs(pixels.astype(int) - RED).max() < 8


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = colour(RED, (2, 1))
    image.putpixel((1, 0), BLUE)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    assert decoded(tmp_path, encoded(image, exif=exif)).tolist() == [[list(RED)], [list(BLUE)]]


def test_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    content = encoded(colour(RED), "GIF", save_all=True, append_images=[colour(BLUE)])
    assert decoded(tmp_path, content, ".gif")[0, 0].tolist() == list(RED)


@pytest.mark.parametrize("content", [b"", b"no image at all", encoded(colour(RED, (40, 40)), "JPEG")[:-200]])
def test_corrupt_image_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"image image\.jpg cannot be decoded"):
        decoded(tmp_path, content, ".jpg")


@pytest.mark.parametrize("pixels", [101, 1000])
def test_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"image image\.png cannot be decoded: .*pixels"):
        decoded(tmp_path, encoded(colour(RED, (pixels, 1))))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb_is_refused_where_pillow_only_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="101 x 1 pixels, more than the 100 allowed"):
        decoded(tmp_path, encoded(colour(RED, (101, 1))))


def png(header: bytes, rows: bytes) -> bytes:
    """A PNG file as its standard has it: signature, IHDR, IDAT, IEND."""
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_sixteen_bit_colour_keeps_its_high_bytes(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    rows = b"\0" + struct.pack(">6H", 0, 0x1234, 0xFFFF, 0x80FF, 255, 256)
    assert decoded(tmp_path, png(header, rows)).tolist() == [[[0, 0x12, 0xFF], [0x80, 0, 1]]]


def test_grey_with_alpha_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("LA", (3, 1), (100, 255))
    image.putpixel((1, 0), (100, 0))
    image.putpixel((2, 0), (0, 51))  # a fifth black, four fifths white
    assert decoded(tmp_path, encoded(image))[0, :, 0].tolist() == [100, 255, 204]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "suffix"), [("PNG", ".png"), ("TIFF", ".tif"), ("JPEG", ".jpg")])
def test_every_exif_orientation_is_pillows(tmp_path: Path, orientation: int, kind: str, suffix: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 3, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, kind, exif=exif)
    with Image.open(io.BytesIO(content)) as file:
        expected = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    pixels = decoded(tmp_path, content, suffix)
    assert pixels.shape[:2] == ((5, 3) if orientation < 5 else (3, 5))
    assert (pixels == expected).all()


@pytest.mark.parametrize("exif", [b"Exif\0\0no header of TIFF at all", b"Exif\0\0II+\0"])
def test_an_image_with_damaged_exif_is_taken_as_it_lies(tmp_path: Path, exif: bytes) -> None:
    assert decoded(tmp_path, encoded(colour(RED, (3, 2)), exif=exif)).shape == (2, 3, 3)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_first_frame_of_every_animation_is_read(tmp_path: Path, kind: str, options: dict[str, bool]) -> None:
    if kind == "WEBP" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    content = encoded(colour(RED), kind, save_all=True, append_images=[colour(BLUE)], **options)
    with Image.open(io.BytesIO(content)) as file:
        assert getattr(file, "n_frames") == 2  # noqa: B009 (not every format has it)
    assert decoded(tmp_path, content, f".{kind.lower()}")[0, 0].tolist() == list(RED)


def test_animated_gif_with_a_transparent_first_frame_is_laid_over_white(tmp_path: Path) -> None:
    first = Image.new("P", (2, 1))
    first.putpalette([*RED, *BLUE])
    first.putpixel((1, 0), 1)
    content = encoded(first, "GIF", save_all=True, append_images=[colour(BLUE, (2, 1))], transparency=1)
    assert decoded(tmp_path, content, ".gif").tolist() == [[list(RED), list(WHITE)]]


def test_smallest_image_is_read(tmp_path: Path) -> None:
    assert decoded(tmp_path, encoded(colour(BLUE, (1, 1)))).tolist() == [[list(BLUE)]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"it is empty \(0 bytes\)"),
        (b"hello, I am text\n" * 20, "its content is that of no image file"),
        (b"<!DOCTYPE html><html></html>", "its content is that of no image file"),
        (encoded(colour(RED, (40, 40)), "JPEG")[:-200], "[Tt]runcated"),
        (encoded(Image.effect_noise((64, 64), 50))[:-900], "truncated"),
        (encoded(colour(RED, (40, 40)), "GIF")[:30], r"image file|truncated"),
    ],
    ids=["empty", "text", "web page", "JPEG", "PNG", "GIF"],
)
def test_the_reason_of_a_refusal_is_one_short_line(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=rf"^image image\.jpg cannot be decoded: .*{reason}.*$") as refusal:
        decoded(tmp_path, content, ".jpg")
    assert "\n" not in str(refusal.value)
    assert " at 0x" not in str(refusal.value)


def test_a_format_that_starts_other_programs_is_never_opened(tmp_path: Path) -> None:
    content = encoded(colour(RED), "EPS")
    with Image.open(io.BytesIO(content)) as file:
        assert file.format == "EPS"
    with pytest.raises(InputError, match="its content is that of no image file"):
        decoded(tmp_path, content, ".jpg")


def test_an_enormous_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    with pytest.raises(InputError, match=r"10000000000 pixels.* limit"):
        decoded(tmp_path, png(header, b"\0" * 1000))
