"""Heatmaps of a sample: drawn on demand by an encoder, or those that the run holds."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

from ..attribution.drawing import Drawing
from ..attribution.pictures import coloured, overlay
from ..attribution.wanted import given_features
from ..encoders import Encoder
from ..errors import FileFormatError, InputError
from ..extraction.meter import Meter
from ..images import open_images
from ..images.decoding import decode, encode_png
from ..records import Explanation
from .bounded import Bounded
from .features import Features
from .opened import OpenedRun
from .pictures import Pictures

_CACHED = 32 << 20  # bytes of PNG


class Heatmaps:
    """Heatmaps of a run's samples, as PNG; drawn one at a time.

    Args:
        run: its maps/ are shown where no encoder is given.
        pictures: the images that are drawn over.
        encoder: draws the map of any feature; None: only stored maps are shown.
        features: of the run: which the map of a sample as a whole is the mean of.
    """

    def __init__(
        self, run: OpenedRun, pictures: Pictures, encoder: Encoder | None = None, features: Features | None = None
    ) -> None:
        self._run, self._pictures = run, pictures
        self._features = Features(run) if features is None else features
        self._encoder = encoder
        self._drawing: Drawing | None = None
        self._why: dict[str, None] = {}
        self._lock = Lock()
        self._cache: Bounded[bytes] = Bounded(_CACHED)

    @property
    def problems(self) -> list[str]:
        """Sentences; they grow as maps are read."""
        return list(self._why)

    @property
    def of_features(self) -> bool:
        """Whether the map of any feature can be drawn: an encoder is given, and there are images."""
        return self._encoder is not None and self._pictures.available

    def has(self, id: str) -> bool:
        """Whether there is a map of a sample as a whole: the mean over its discriminative features."""
        return id in self._stored or (self.of_features and bool(self._wanted(id)))

    def png(self, id: str, feature: int | None = None) -> bytes | None:
        """The image under the map of a feature, or (None) of the sample as a whole; None where there is none.

        Where an encoder is given, the image is as the encoder sees it: resized and cropped.

        Raises:
            InputError: a feature that the encoder does not have, or an encoder that no map can be drawn of.
        """
        found = self._cache.get((id, feature))
        if found is None:
            with self._lock:
                pixels = self._drawn(id, feature) if self.of_features else None
                if pixels is None and feature is None and id in self._stored:
                    pixels = self._read(self._stored[id])
            if pixels is not None:
                found = encode_png(pixels)
                self._cache.put((id, feature), found, len(found))
        return found

    def _drawn(self, id: str, feature: int | None) -> np.ndarray | None:
        """The image with its map, as the encoder sees it."""
        encoder = self._encoder
        wanted = self._wanted(id) if feature is None else [feature]
        pixels = self._pictures.pixels(id) if wanted else None
        if pixels is None or encoder is None:
            return None
        numbers = given_features(wanted, 1, encoder.dim)
        if self._drawing is None:
            self._drawing = Drawing(
                encoder, method="gradcam", layer=None, batch_size=1, device="auto", threads=None, workers=0
            )
        (drawn,) = self._drawing.mean_maps(open_images(pixels[None]), numbers, Meter(None, total=1))
        return overlay(drawn.pixels[0], drawn.maps[0])

    def _wanted(self, id: str) -> list[int]:
        """The discriminative features that a sample activates highly."""
        return [feature for feature, _, inside in self._features.of_sample(id) if inside]

    @cached_property
    def _stored(self) -> dict[str, int]:
        """Id -> row in the source, of the samples that the run holds a map of."""
        for name in self._run.of_kind(Explanation):
            table = self._run.table(name)
            if table is not None and table.kind("row") == "number":
                try:
                    ids, rows = table.column("id").to_pylist(), table.column("row").to_pylist()
                except FileFormatError as error:
                    self._why[f"{error}."] = None
                    continue
                return dict(zip(ids, rows, strict=True))
        return {}

    def _read(self, row: int) -> np.ndarray | None:
        """The overlay that the run holds, else the map alone: it lies on the image as the encoder saw it."""
        folder = self._run.path / "maps"
        file = folder / "overlays" / f"{row:06d}.png"
        try:
            if file.is_file() and file.resolve().is_relative_to(folder.resolve()):
                return decode(file.read_bytes(), file.name)
            for part in sorted(folder.glob("part-*.npz")):
                found = _map_in(part, row)
                if found is not None:
                    return coloured(found)
        except (OSError, InputError) as error:
            self._why[f"A stored heatmap cannot be read: {error}."] = None
        return None


def _map_in(file: Path, row: int) -> np.ndarray | None:
    """The map of a row, float32 [H, W], from a file of maps; None where it is not there.

    Raises:
        FileFormatError: it is damaged.
    """
    try:
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as stored:
            places = np.flatnonzero(stored["row"] == row)
            return stored["map"][places[0]].astype(np.float32) if len(places) else None
    except Exception as error:  # a broken zip or .npy raises nearly anything
        raise FileFormatError(f"maps/{file.name} is damaged ({error})") from error
