"""Reports: what runs and records say, as one HTML file that opens anywhere, as Markdown or as JSON."""

from .writing import report

__all__ = ["report"]
