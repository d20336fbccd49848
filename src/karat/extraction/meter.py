"""How far an extraction is, and how much of its time it waits for images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

Progress = Callable[[int, int, float], None]
Item = TypeVar("Item")


class Meter:
    """Counts images, and the time that passes until they are there.

    Args:
        progress: called with (images done, images in all, share of the time that was spent waiting for images).
        total: images in all.
        done: those that an earlier run has done.
        share: of the images that are left, the part that this process does; the others are taken to be as fast.
    """

    def __init__(self, progress: Progress | None, *, total: int, done: int = 0, share: float = 1.0) -> None:
        self._progress, self._total, self._earlier, self._share = progress, total, done, share
        self._count = 0
        self._waited = 0.0
        self._started = time.perf_counter()
        self._tell()

    def waiting(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items; the time until each is there counts as waiting."""
        while True:
            begun = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            self._waited += time.perf_counter() - begun
            yield item

    def add(self, images: int) -> None:
        """So many images more are done."""
        self._count += images
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            done = self._earlier + round(self._count / self._share) if self._share else self._total
            elapsed = time.perf_counter() - self._started
            self._progress(min(done, self._total), self._total, self._waited / elapsed if elapsed else 0.0)
