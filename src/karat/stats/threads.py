"""How many threads to use."""

from __future__ import annotations

import os
from operator import index

from ..errors import InputError


def thread_count(threads: int | None = None) -> int:
    """How many threads to use: the argument, else KARAT_NUM_THREADS, else the processors this process may use.

    Raises:
        InputError: not a positive whole number.
    """
    given = os.environ.get("KARAT_NUM_THREADS") if threads is None else threads
    if given is None or given == "":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        count = int(given) if isinstance(given, str) else index(given)
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        name = "KARAT_NUM_THREADS" if threads is None else "threads"
        raise InputError(f"{name} is {given!r}, but a whole number of at least 1 is needed")
    return count
