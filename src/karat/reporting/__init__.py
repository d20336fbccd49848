"""Reports: what records say, as one HTML file that opens anywhere."""

from .html import report

__all__ = ["report"]
