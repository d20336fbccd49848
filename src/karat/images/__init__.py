"""Images from anywhere: folders, lists, archives, tables and named sets, behind one small interface; random views."""

from .opening import open_images
from .parts import part_of
from .source import ImageSource

__all__ = ["ImageSource", "open_images", "part_of"]
