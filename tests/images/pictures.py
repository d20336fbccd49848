"""Small pictures, as files and as archives, for the tests of image sources."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def colour(rgb: tuple[int, int, int], size: tuple[int, int] = (3, 2)) -> Image.Image:
    return Image.new("RGB", size, rgb)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def numbered(n: int) -> list[bytes]:
    """n PNG files of one pixel, whose red is their number."""
    return [encoded(colour((number, 0, 0), (1, 1))) for number in range(n)]


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def archive_of(files: list[bytes]) -> dict[str, np.ndarray]:
    return {
        "bytes": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0] + [len(file) for file in files]),
    }
