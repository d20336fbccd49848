"""What every page looks at: one run, and what is known of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ..encoders import Encoder, load_encoder
from .features import Features
from .heatmaps import Heatmaps
from .opened import OpenedRun, open_run
from .pictures import Pictures
from .samples import Samples
from .selection import Selection


@dataclass(frozen=True)
class Explored:
    """A run that is being looked at, as `request.app.state.explored` of every page."""

    run: OpenedRun
    samples: Samples
    pictures: Pictures
    features: Features
    selection: Selection
    heatmaps: Heatmaps

    @property
    def problems(self) -> list[str]:
        """Sentences: what is missing or damaged, each once; they grow as parts are read."""
        parts = (self.run, self.samples, self.pictures, self.features, self.heatmaps, self.selection)
        found = [problem for part in parts for problem in part.problems]
        if self.run.has_changed:
            found.insert(
                0, "The run has changed since it was opened: start karat explore again to see it as it is now."
            )
        elif self.run.being_written:
            found.insert(0, "The run is still being written: what is not there yet is left out.")
        return list(dict.fromkeys(found))


def open_explored(
    run: str | os.PathLike[str], *, encoder: Encoder | str | os.PathLike[str] | None = None, images: Any = None
) -> Explored:
    """Open a run, with the encoder that draws heatmaps and the images, where they are given.

    Raises:
        FileFormatError: no run in that folder.
        InputError: an encoder or images that cannot be opened.
    """
    opened = open_run(os.fspath(run))
    selection, pictures, features = Selection(opened), Pictures(opened, images), Features(opened)
    drawing = encoder if encoder is None or isinstance(encoder, Encoder) else load_encoder(encoder)
    heatmaps = Heatmaps(opened, pictures, drawing, features)
    return Explored(opened, Samples(opened, selection), pictures, features, selection, heatmaps)
