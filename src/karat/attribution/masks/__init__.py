"""Masks of objects, from published sets or any folder: read, matched to images, brought to the encoder's input."""

from __future__ import annotations

from .aligned import AlignedMasks, align_masks, in_input_space
from .opening import open_masks
from .source import Kind, MaskSource

__all__ = ["AlignedMasks", "Kind", "MaskSource", "align_masks", "in_input_space", "open_masks"]
