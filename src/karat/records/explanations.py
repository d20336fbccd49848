"""The record of an explanation: which images have a heatmap, and of what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..errors import InputError
from .kinds import Columns, Printed, Provenance
from .tabular import Tabular


@dataclass(frozen=True)
class Explanation(Printed, Tabular):
    """Heatmaps of images, and what they show.

    Attributes:
        encoder: its name.
        method: "gradcam", "gradient", "integrated" or "occlusion".
        layer: the spatial layer that the maps were taken from; None where the method has none.
        exact: whether each feature's map is a channel of that layer, whose mean the feature is.
        height, width: of the maps, in pixels of the encoder's input.
        epsilon: the threshold used (chosen, where "auto" was asked for).
        d, discriminative_features: features (twice as many, where they were split in halves), and |D|.
        n, n_mapped: images, and those with a map.
        n_empty: images without any discriminative feature; where no other features were asked for, their map is zero.
        n_zero_maps: maps that are zero everywhere.
        columns: of each image with a map: row (in the source), id, path, end ("lowest", "highest" or ""), q_score,
            n_discriminative, strongest (its highest discriminative feature; -1: none).
        warnings: sentences: what not to trust.
    """

    kind: ClassVar[str] = "explanation"
    provenance: Provenance
    encoder: str
    method: str
    layer: str | None
    exact: bool
    height: int
    width: int
    epsilon: float
    d: int
    discriminative_features: int
    n: int
    n_mapped: int
    n_empty: int
    n_zero_maps: int
    columns: Columns = field(repr=False, compare=False)
    warnings: tuple[str, ...] = ()

    @property
    def ids(self) -> np.ndarray:
        """The ids of the images with a map, [n_mapped]."""
        return self.columns["id"]

    @property
    def maps(self) -> np.ndarray:
        """Their maps, [n_mapped, height, width], from 0 to 1, each divided by its maximum (float16).

        Raises:
            InputError: the record was opened without them.
        """
        if "map" not in self.columns:
            raise InputError("this record was opened without its maps: karat.attribution.read_maps(RUN) reads them")
        return self.columns["map"]
