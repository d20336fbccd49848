"""Compile the kernel once a machine: numba, without its thread pools, cached in the user's cache directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

# Sums may be reordered (that is what vectorises them); NaN and Inf keep their meaning, so that non-finite rows show.
_FLAGS = {"reassoc", "contract", "nsz", "arcp"}


def cache_folder() -> Path:
    """Where compiled code is kept: $NUMBA_CACHE_DIR, or karat's folder in the user's cache directory."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "karat" / "kernel"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        return False
    return True


def compiled(function: Callable[..., Any]) -> Any:
    """`function`, compiled on its first call without holding the GIL; kept on disk where that is possible."""
    try:
        folder = cache_folder()
        cached = _writable(folder)
    except RuntimeError:
        cached = False
    before = config.CACHE_DIR
    try:
        if cached:
            config.CACHE_DIR = str(folder)  # read by numba when it decorates; other libraries keep their own
        return numba.njit(function, nogil=True, fastmath=_FLAGS, cache=cached, error_model="numpy")
    finally:
        config.CACHE_DIR = before
