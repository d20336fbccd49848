"""Embeddings on disk: `load` what others wrote; `save` and `EmbeddingsWriter` for folders of shards. No pickles."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .._array import as_rows
from .._files import reason
from ..embeddings import Embeddings
from ..errors import FileFormatError, InputError, InputTypeError
from . import arrays, folder, tables
from .columns import read_column
from .content import Contents, check_content
from .writing import EmbeddingsWriter, save

__all__ = ["EmbeddingsWriter", "load", "read_column", "save"]

# suffix -> its reader(path, key); a folder has none.
_READERS: dict[str, Callable[[Path, str | None], Contents]] = {
    ".npy": arrays.read_npy,
    ".npz": arrays.read_npz,
    ".safetensors": arrays.read_safetensors,
    ".pt": arrays.read_torch,
    ".pth": arrays.read_torch,
    ".parquet": tables.read_parquet,
    ".arrow": tables.read_arrow,
    ".feather": tables.read_arrow,
}
_KEYED = (".npz", ".safetensors", ".pt", ".pth")
_TABLES = (".parquet", ".arrow", ".feather")


def load(
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    column: str | None = None,
    labels: str | os.PathLike[str] | Sequence[Any] | None = None,
    ids: str | os.PathLike[str] | Sequence[Any] | None = None,
) -> Embeddings:
    """Open embeddings; the matrix is read only where and when it is looked at.

    .npy, .safetensors, .pt and .emb folders are mapped into memory; Parquet and Arrow are decoded block by block (their
    rows are checked as they are read, the first block at once); .npz is read whole.

    In an .npz, .safetensors or .pt the only matrix is taken, or the one named h, embeddings or features. Arrays named
    label, labels or y become the labels, and id or ids the ids, where there is one with one entry a sample that is no
    pickle. In a table the columns label and id become labels and ids; the other scalar columns travel as extra columns,
    but for those named row and h.

    Args:
        path: .npy, .npz, .safetensors, .pt, .pth, .parquet, .arrow, .feather, or an .emb folder.
        key: which array of an .npz, .safetensors or .pt, or which list column of a table.
        column: the same as `key`, for Parquet and Arrow.
        labels, ids: one value a sample, instead of those in the file: an array, or an .npy, .txt (one a line), .csv or
            .parquet file (see `read_column`).

    Raises:
        InputError: a file that is missing or unreadable, a key that is not there, labels or ids of another length.
        FileFormatError: a file that is empty, truncated, pickled, or of another format than its name says.
        MissingDependencyError: a .pt without torch.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/h.npy", np.eye(3))
    ...     load(f"{folder}/h.npy", labels=["cat", "dog", "cat"])
    Embeddings(n=3, d=3, dtype=float64, labels)
    """
    source = Path(path)
    try:
        contents = _read(source, _choice(source, key, column))
        given = {name: _given(value, name) for name, value in (("labels", labels), ("ids", ids)) if value is not None}
    except OSError as error:
        raise InputError(f"{error.filename or source} cannot be read: {reason(error)}") from error
    columns = {"ids": contents.ids, "labels": contents.labels, **given}
    try:
        return Embeddings(contents.h, extra=contents.extra, provenance=contents.provenance, **columns)
    except (InputError, InputTypeError) as error:
        raise InputError(f"{source}: {error}") from error


def _read(path: Path, key: str | None) -> Contents:
    if path.is_dir():
        contents = folder.read_folder(path)
    else:
        check_content(path, known=_READERS)
        contents = _READERS[path.suffix.lower()](path, key)
    try:
        as_rows(contents.h)
    except (InputError, InputTypeError) as error:
        raise FileFormatError(f"{path}: {error}") from error
    return contents


def _choice(path: Path, key: str | None, column: str | None) -> str | None:
    """What `key` and `column` select.

    Raises:
        InputError: both are given, or one where there is nothing to select.
    """
    if key is not None and column is not None:
        raise InputError(f"key ({key!r}) and column ({column!r}) select the same thing: give one of them")
    suffix = path.suffix.lower()
    if column is not None and suffix in _KEYED:
        raise InputError(f"column ({column!r}) is for Parquet and Arrow, but {path} is neither: pass key instead")
    chosen = key if column is None else column
    if chosen is not None and suffix not in _KEYED + _TABLES:
        raise InputError(f"{path} has one matrix, so there is nothing that {chosen!r} could choose: leave it out")
    return chosen


def _given(value: Any, name: str) -> Any:
    return read_column(value, name) if isinstance(value, str | os.PathLike) else value
