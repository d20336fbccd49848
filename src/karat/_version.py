"""The version of karat that is installed."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """karat's version, "0+unknown" where it runs from a tree that was never installed."""
    try:
        return metadata.version("karat")
    except metadata.PackageNotFoundError:
        return "0+unknown"
