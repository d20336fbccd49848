"""Explore a run: a local web view of its samples, features and pictures. The data layer knows no web."""

from .server import PORT, explore

__all__ = ["PORT", "explore"]
