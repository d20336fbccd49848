"""What a source of images is, and what all kinds of it share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._files import digest_bytes
from ..errors import InputError
from .decoding import decode


@dataclass(frozen=True, eq=False)
class ImageSource(ABC):
    """Images in a fixed order, decoded one at a time.

    A source holds no open file: it can be sent to other processes (fork, spawn), and `read` and `encoded` may be called
    from any number of threads and processes at once.

    Attributes:
        name: what was given: the last component of its path, or NAME:SPLIT of a named set.
        ids: [n] str, each once, the same in every process.
        paths: [n] str, the path inside the source; the row number where there are no files.
        labels: [n] class names or numbers, or None. Where only some images have one, the others have "" or None.
    """

    name: str
    ids: np.ndarray
    paths: np.ndarray
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def encoded(self, i: int) -> bytes:
        """Image i as the bytes of an image file (PNG where the source holds raw pixels)."""

    def read(self, i: int) -> np.ndarray:
        """Image i as uint8 [h, w, 3], RGB, upright.

        Grey, palette, CMYK and 16-bit images are converted (16-bit grey is scaled by 1/257; 16-bit colour keeps its
        high bytes), EXIF orientation is applied where it can be read, transparency is laid over white, and of an
        animation the first frame is taken.

        Raises:
            InputError: missing, corrupt, truncated, too large (Pillow's MAX_IMAGE_PIXELS) or of an unknown range of
                values; the message is the image's id and a short reason.
        """
        return decode(self.encoded(i), str(self.ids[i]))

    @cached_property
    def digest(self) -> str:
        """What tells these images from others: xxh3-128 over ids, paths, labels and what `_extent` says of the data.

        Nothing is decoded, and no clock time, host or absolute path goes in: the same images give the same digest
        wherever they lie.
        """
        columns = [values.astype(str) for values in (self.ids, self.paths, self.labels) if values is not None]
        header = f"{type(self).__name__} {[f'{column.dtype.str[1:]} {len(column)}' for column in columns]}"
        return digest_bytes(header.encode(), *(column.tobytes() for column in columns), self._extent())

    @abstractmethod
    def _extent(self) -> bytes:
        """Sizes of the files, offsets of the data, or the pixels where they lie in memory."""


def row_numbers(n: int) -> np.ndarray:
    """The ids and paths of images that have no name: row numbers of one length.

    >>> row_numbers(11)[[0, 10]].tolist()
    ['00', '10']
    """
    return np.char.zfill(np.arange(n).astype(str), len(str(n - 1)))


def as_ids(values: np.ndarray | Sequence[str], where: str) -> np.ndarray:
    """ids as text, each once.

    Raises:
        InputError: one that is there twice, or cannot be stored as text.
    """
    ids = np.array(values).astype(str)
    names = ids.tolist()
    for name in names:
        if name != name.encode(errors="ignore").decode():
            raise InputError(f"{where} holds an image whose name cannot be stored as text: {name!a}: rename it")
    if (different := len(set(names))) < len(ids):
        ((repeated, times),) = Counter(names).most_common(1)
        raise InputError(
            f"{where} holds {different} different values, but {len(ids)} are needed, one an image: "
            f"{repeated!r} is there {times} times"
        )
    return ids


def as_labels(values: Sequence[str | int | None]) -> np.ndarray | None:
    """Labels as numbers where each is written as a whole number, else as text; None where no image has one.

    >>> as_labels(["3", "12"]).tolist(), as_labels(["cat", None]).tolist(), as_labels(["007"]).tolist()
    ([3, 12], ['cat', ''], ['007'])
    """
    known = [str(value) for value in values if value is not None]
    if not known:
        return None
    if not all(map(_is_whole, known)):
        return np.array(["" if value is None else str(value) for value in values])
    numbers = [None if value is None else int(value) for value in values]
    return np.array(numbers, dtype=np.int64 if len(known) == len(values) else object)


def _is_whole(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) < 19 and str(int(text)) == text
