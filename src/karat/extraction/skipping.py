"""Images that cannot be decoded: recorded, up to a share of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

from ..errors import InputError, KaratWarning
from ..store.folder import Skipped

_SHOWN = 3


class Tolerance:
    """Counts the images that were skipped, and refuses to go on when there are too many.

    Args:
        images: number of images in all.
        max_bad: the largest share of them that may be skipped, in [0, 1].

    Raises:
        InputError: `max_bad` is no share.
    """

    def __init__(self, images: int, max_bad: float) -> None:
        if not 0 <= max_bad <= 1:
            raise InputError(f"max_bad is {max_bad}, but a share of the images, from 0 to 1, is needed")
        self._images, self._max_bad = images, max_bad
        self.skipped: list[Skipped] = []

    def add(self, skipped: Iterable[Skipped]) -> None:
        """These were skipped, too.

        Raises:
            InputError: there are more than allowed, or no image is left.
        """
        self.skipped += skipped
        count, examples = len(self.skipped), _examples([entry.reason for entry in self.skipped])
        if count == self._images:
            raise InputError(f"none of the {count} images can be decoded: {examples}")
        if count > self._max_bad * self._images:
            raise InputError(
                f"{count} of {self._images} images cannot be decoded so far, more than max_bad={self._max_bad:g} "
                f"allows: {examples}. Repair or remove them, or allow more (--max-bad)"
            )


def warn_of_skipped(skipped: Sequence[Mapping[str, str]], images: int) -> None:
    """Say what was skipped, if anything was (called by what a user calls)."""
    if skipped:
        warnings.warn(
            f"{len(skipped)} of {images} images cannot be decoded and were skipped: "
            f"{_examples([entry['reason'] for entry in skipped])}; provenance['skipped'] lists them",
            KaratWarning,
            stacklevel=3,
        )


def _examples(reasons: Sequence[str]) -> str:
    more = len(reasons) - _SHOWN
    shown = "; ".join(reasons[:_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown
