"""Random views of many images at once, on the device where they are."""

from .making import Views

__all__ = ["Views"]
