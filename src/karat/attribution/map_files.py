"""Heatmaps on disk: maps/part-*.npz with float16 maps, and overlays as PNG; written part by part, resumable.

    maps/
    ├── settings.json       what determines the maps
    ├── part-00000.npz      row int64 [m] (in the source of the images), map float16 [m, H, W]
    ├── overlays/000012.png the image of row 12 under its map
    └── lowest.png, highest.png, features.png   contact sheets

Overlays are named by row: an image's own name may be anything.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_bytes, writing
from ..errors import FileFormatError, InputError, OutputExistsError


class MapFiles:
    """The folder maps/ of a run.

    Args:
        run: the run's folder.
        settings: what determines the maps, as plain JSON.
    """

    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        self.folder = run / "maps"
        self._settings = (json.dumps(settings, indent=1) + "\n").encode()

    def begin(self, *, resume: bool, overwrite: bool) -> None:
        """Make the folder, or go on with one of the same settings.

        Raises:
            OutputExistsError: there is one, and it is neither to be gone on with nor to be replaced.
            InputError: it has other settings.
        """
        if self.folder.exists() and overwrite:
            with writing(self.folder):
                shutil.rmtree(self.folder)
        elif self.folder.exists() and not resume:
            raise OutputExistsError(
                f"{self.folder} exists already and was left alone: go on with it (--resume) or replace it (--overwrite)"
            )
        file = self.folder / "settings.json"
        if file.exists() and file.read_bytes() != self._settings:
            raise InputError(f"{self.folder} was made with other settings or images: replace it (--overwrite)")
        with writing(self.folder):
            (self.folder / "overlays").mkdir(parents=True, exist_ok=True)
        write_bytes(file, self._settings)

    def has(self, part: int) -> bool:
        """Whether a part is complete."""
        return self._part(part).exists()

    def write(self, part: int, rows: np.ndarray, maps: np.ndarray) -> None:
        """Write a part, whole or not at all."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, row=rows.astype(np.int64), map=maps.astype(np.float16))
        write_bytes(self._part(part), buffer.getvalue())

    def read(self, part: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and maps of a part, as they were written.

        Raises:
            FileFormatError: it is damaged.
        """
        return _read(self._part(part))

    def overlay(self, row: int | np.integer) -> Path:
        """Where the overlay of an image lies."""
        return self.folder / "overlays" / f"{row:06d}.png"

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.npz"


def read_maps(run: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """The stored maps of a run: their images' rows in the source, int64 [m], and float16 [m, H, W] from 0 to 1.

    Raises:
        FileFormatError: there are none, or a file is damaged.
    """
    folder = Path(run) / "maps"
    parts = [_read(file) for file in sorted(folder.glob("part-*.npz"))]
    if not parts:
        raise FileFormatError(f"{folder} holds no part-*.npz: karat explain makes them")
    rows, maps = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(maps)


class WithMaps(Mapping[str, np.ndarray]):
    """Columns of an explanation and its maps, which are read when they are first asked for."""

    def __init__(self, columns: Mapping[str, np.ndarray], run: Path) -> None:
        self._columns, self._run = columns, run
        self._maps: np.ndarray | None = None

    def __getitem__(self, name: str) -> np.ndarray:
        if name != "map":
            return self._columns[name]
        if self._maps is None:
            self._maps = read_maps(self._run)[1]
        return self._maps

    def __iter__(self) -> Iterator[str]:
        yield from (*self._columns, "map")

    def __len__(self) -> int:
        return len(self._columns) + 1


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return arrays["row"], arrays["map"]
    except Exception as error:  # a broken zip or .npy raises nearly anything
        raise FileFormatError(f"{file} is damaged ({error}): explain again with --overwrite") from error
