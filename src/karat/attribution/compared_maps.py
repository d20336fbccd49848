"""Maps of one encoder and of others on the same images, in files: what a table of overlaps is made from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import writing
from ..embeddings import Embeddings
from ..encoders import Encoder
from ..extraction import Progress, extract
from ..extraction.meter import Meter
from ..images import ImageSource
from ..stats.reference import Reference, fit_reference
from .chosen import Chosen
from .drawing import Drawing
from .explain import LEAST_REFERENCE
from .feature_groups import DISCRIMINATIVE, feature_groups
from .masks import AlignedMasks
from .wanted import discriminative_in, given_features

if TYPE_CHECKING:
    from .methods import Name

# Side of the grid of random maps where a method has no spatial layer.
_GRID = 7


@dataclass
class ComparedMaps:
    """Draws the maps of several encoders on the same images.

    Attributes:
        source: the images, n of them.
        masks: theirs; an image without a mask gets no map.
        reference_images: that every further encoder's D is fitted on; None: the images themselves.
        folder: for the maps.
        method, layer, seed, fitting, computing, max_bad, progress: as `mask_overlap` was given them.
        grid: side of the spatial layer of the first encoder, once its maps are drawn.
        references: name of the maps -> D of their encoder.
    """

    source: ImageSource
    masks: AlignedMasks
    reference_images: ImageSource | None
    folder: Path
    method: Name
    layer: str | None
    seed: int
    fitting: Mapping[str, Any]
    computing: Mapping[str, Any]
    max_bad: float
    progress: Progress | None
    grid: int = _GRID
    references: dict[str, Reference] = field(default_factory=dict)

    def maps_of(
        self, encoder: Encoder, others: Mapping[str, Encoder], emb: Embeddings, reference: Embeddings | None
    ) -> dict[str, np.ndarray]:
        """Name -> float16 [n, H, W]: three groups of features of the encoder, and D of each other one."""
        threads = self.computing["threads"]
        fitted = self._fitted(DISCRIMINATIVE, encoder, emb, reference)
        groups = feature_groups(emb.h, fitted, seed=self.seed, threads=threads)
        maps = {
            name: self._drawn(name, encoder, given_features(features, len(self.source), encoder.dim))
            for name, features in groups.items()
        }
        for name, other in others.items():
            h = self._extracted(other, self.source)
            maps[name] = self._drawn(
                name, other, discriminative_in(h.h, self._fitted(name, other, h, None), threads=threads)
            )
        return maps

    def _fitted(self, name: str, encoder: Encoder, own: Embeddings, reference: Embeddings | None) -> Reference:
        """D of an encoder: on the reference, else on its features of the reference's images, else on its own."""
        if reference is None:
            reference = own if self.reference_images is None else self._extracted(encoder, self.reference_images)
        self.references[name] = fit_reference(
            reference.h, **self.fitting, seed=self.seed, threads=self.computing["threads"], name=f"reference of {name}"
        )
        return self.references[name]

    def _extracted(self, encoder: Encoder, images: ImageSource) -> Embeddings:
        return extract(
            encoder, images, precision="float32", max_bad=self.max_bad, progress=self.progress, **self.computing
        )

    def _drawn(self, name: str, encoder: Encoder, wanted: np.ndarray) -> np.ndarray:
        """The maps of the images with a mask, in a file; those of the others are zero and take no room in it."""
        drawing = Drawing(encoder, method=self.method, layer=self.layer, **self.computing)
        rows = np.flatnonzero(np.any([self.masks.used(kind) for kind in self.masks.masks], axis=0))
        shape = next(iter(self.masks.masks.values())).shape
        size = 2 * math.prod(shape[1:])  # bytes of a map
        file = self.folder / f"{name}.float16"
        meter = Meter(self.progress, total=len(rows))
        with writing(file), open(file, "wb") as target:
            target.truncate(size * shape[0])
            for drawn in drawing.mean_maps(Chosen.of(self.source, rows), wanted[rows], meter):
                for row, heatmap in zip(rows[drawn.images].tolist(), drawn.maps.astype(np.float16), strict=True):
                    target.seek(size * row)
                    target.write(heatmap.tobytes())
        if name == DISCRIMINATIVE and drawing.found is not None:
            self.grid = max(drawing.found.height, drawing.found.width)
        return np.memmap(file, np.float16, "r", shape=shape)

    def described(self) -> dict[str, Any]:
        """What was fitted, encoder by encoder."""
        return {
            name: {
                "epsilon": fitted.epsilon,
                "n": fitted.counts.n,
                "discriminative": int(fitted.discriminative.sum()),
                "halves": fitted.halves,
            }
            for name, fitted in self.references.items()
        }

    def digests(self) -> dict[str, str]:
        """Those of the references."""
        return {f"reference.{name}": fitted.digest for name, fitted in self.references.items()}

    def warnings(self) -> Iterator[str]:
        """What the references leave to be wished for."""
        for name, fitted in self.references.items():
            if not fitted.discriminative.any():
                yield f"no feature of {name} is discriminative at epsilon = {fitted.epsilon:g}: lower it, or try auto"
        few = [name for name in self.references if name != DISCRIMINATIVE]
        if few and self.reference_images is None and len(self.source) < LEAST_REFERENCE:
            yield (
                f"the discriminative features of {' and '.join(few)} were fitted on the {len(self.source)} images "
                "themselves: give the images that the reference is made of (reference_images)"
            )
