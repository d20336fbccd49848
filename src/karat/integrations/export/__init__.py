"""Scores and selections as the fields of other tools: FiftyOne, LightlyStudio, cleanlab's Datalab.

None of these libraries is needed here: each reads a file or a table of plain values, in a form that it documents.
"""

from __future__ import annotations

from .cleanlab import to_cleanlab
from .fiftyone import to_fiftyone
from .lightly_studio import to_lightly_studio

__all__ = ["to_cleanlab", "to_fiftyone", "to_lightly_studio"]
