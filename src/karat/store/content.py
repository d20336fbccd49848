"""What a file holds: told from its first bytes, and from the names of its arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._array import Rows
from ..errors import FileFormatError, InputError

MATRIX_NAMES = ("h", "embeddings", "features")
COLUMN_NAMES = {"labels": ("label", "labels", "y"), "ids": ("id", "ids")}
_SHOWN = 12

_STARTS = {
    ".npy": rb"\x93NUMPY",
    ".npz": rb"PK\x03\x04|PK\x05\x06",
    ".safetensors": rb"(?s).{8}\{",
    ".pt": rb"PK\x03\x04|\x80[\x02-\x05]",
    ".pth": rb"PK\x03\x04|\x80[\x02-\x05]",
    ".parquet": rb"PAR1",
    ".arrow": rb"ARROW1|\xff{4}",
    ".feather": rb"ARROW1",
}
_LOOKS = (
    (rb"(?i)\s*<(!doctype|html|\?xml)", "a web page"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (rb"\x93NUMPY", "an .npy array"),
    (rb"PK\x03\x04", "a zip archive (as .npz and .pt are)"),
    (rb"\x80[\x02-\x05]", "a pickle, which can run code and is never loaded"),
    (rb"PAR1", "a Parquet file"),
    (rb"ARROW1", "an Arrow file"),
    (rb"FEA1", "a Feather file of version 1: write it again as version 2"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"[\t\n\r\x20-\x7e]+\Z", "text"),
)


@dataclass(frozen=True)
class Contents:
    """The matrix and the columns that a file holds, not yet checked."""

    h: Rows
    ids: np.ndarray | None = None
    labels: np.ndarray | None = None
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def check_content(path: Path, *, known: Iterable[str]) -> None:
    """Check that the file is there, has a known suffix, and begins as its suffix says.

    Raises:
        InputError: it is missing, or has another suffix.
        FileFormatError: it is empty or something else.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist")
    suffix = path.suffix.lower()
    if suffix not in known:
        raise InputError(f"{path} has the suffix {suffix!r}, but one of {', '.join(known)} or an .emb folder is needed")
    with open(path, "rb") as file:
        start = file.read(256)
    if not start:
        raise FileFormatError(f"{path} is empty (0 bytes): was it written to the end?")
    if not re.match(_STARTS[suffix], start):
        looks = next((words for pattern, words in _LOOKS if re.match(pattern, start)), "something else")
        raise FileFormatError(f"{path} is named {suffix}, but its content is {looks}")


def pick(path: Path, shapes: Mapping[str, tuple[int, ...]], key: str | None, described: Mapping[str, str]) -> str:
    """The name of the matrix: `key`, or the only matrix, or the one named h, embeddings or features.

    Args:
        path: the file.
        shapes: name -> shape of whatever may be chosen.
        key: the user's choice.
        described: name -> shape and type in words, of all that is there.

    Raises:
        InputError: `key` is not there, or no rule decides; lists what is there.
    """
    if key is not None and key in described:
        return key
    listed = [f"{name} {words}" for name, words in described.items()]
    there = ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")
    if key is not None:
        raise InputError(f"{path} has no {key!r}; it has {there or 'nothing'}")
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    named = [name for name in matrices if name in MATRIX_NAMES]
    for candidates in (matrices, named):
        if len(candidates) == 1:
            return candidates[0]
    which = "several matrices, and karat cannot tell which: pass its name as key" if matrices else "no matrix [n, d]"
    raise InputError(f"{path} has {which}; it has {there or 'nothing'}")


def column_named(shapes: Mapping[str, tuple[int, ...]], what: str, n: int) -> str | None:
    """The one array [n] with a name that labels (or ids) have; None where there is none or more than one."""
    names = [name for name in COLUMN_NAMES[what] if shapes.get(name) == (n,)]
    return names[0] if len(names) == 1 else None
