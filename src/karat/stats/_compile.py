"""Compile the kernel once a machine: numba, without its thread pools, cached in the user's cache directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import xxhash
from numba.core import config

# Sums may be reordered (that is what vectorises them). NaN and Inf keep their meaning, so that non-finite rows show,
# and no product is fused with a sum: x * y - x * y must be 0.
_REORDERED = {"reassoc", "nsz"}


def cache_folder() -> Path:
    """Where compiled code is kept: $NUMBA_CACHE_DIR, or karat's folder in the user's cache directory."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "karat" / "kernel" / _digest()


def _digest() -> str:
    """Of the compiled sources together: numba itself looks at one file, and would miss a change in another."""
    sources = sorted(Path(__file__).parent.glob("_*.py"))
    return xxhash.xxh3_64_hexdigest(b"".join(source.read_bytes() for source in sources))


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
    return _compiled(function, _REORDERED)


def compiled_as_written(function: Callable[..., Any]) -> Any:
    """As `compiled`, with every operation as it is written: what two loops compute alike is equal to the bit."""
    return _compiled(function, set())


def _compiled(function: Callable[..., Any], fastmath: set[str]) -> Any:
    try:
        folder = cache_folder()
        cached = _writable(folder)
    except RuntimeError:
        cached = False
    before = config.CACHE_DIR
    try:
        if cached:
            config.CACHE_DIR = str(folder)  # read by numba when it decorates; other libraries keep their own
        return numba.njit(function, nogil=True, fastmath=fastmath, cache=cached, error_model="numpy")
    finally:
        config.CACHE_DIR = before
