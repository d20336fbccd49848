"""Records as metadata and tags for LightlyStudio."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..._files import refuse_existing, write_bytes
from ...records import WithColumns
from ...records.kinds import Columns, column_of
from .plain import Tags, file_paths, flat, json_bytes, plain_values, tagged


def to_lightly_studio(
    record: WithColumns,
    path: str | os.PathLike[str],
    *,
    images: Any,
    tags: Tags | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a record as JSON for LightlyStudio: {"metadata": {path: {column: value}}, "tags": {name: [path]}}.

    The paths are what it calls `file_path_abs`, the values what `Sample.metadata` and `Dataset.update_metadata` take:
    numbers, texts, true and false. Missing and infinite numbers are left out, columns of vectors too.

    Args:
        record: one value a sample in each column.
        path: the JSON file.
        images: a folder or list of image files with the record's ids, or an `ImageSource` of files.
        tags: name -> ids of the samples that get this tag.
        overwrite: replace `path` where it exists.

    Returns:
        The path.

    Raises:
        InputError: samples without an image file, or tagged ids that the record lacks.
        OutputExistsError: `path` exists and `overwrite` is false.

    Reference: LightlyStudio documentation, "Metadata" (update_metadata takes (sample id, mapping) pairs) and "Tags".
        It has no importer of files of metadata: docs/exports.md has the five lines that read this one.
    """
    target = Path(path)
    refuse_existing(target, overwrite=overwrite)
    files = file_paths(column_of(record, "id"), images)
    write_bytes(target, lightly_studio_file(record.columns, files, tags=tags))
    return target


def lightly_studio_file(columns: Columns, files: Sequence[str], *, tags: Tags | None = None) -> bytes:
    """The file of `to_lightly_studio`; `files` are the samples' paths, [n].

    Raises:
        InputError: tagged ids that are not there.
    """
    having = tagged(columns["id"], tags or {})
    metadata: dict[str, dict[str, Any]] = {path: {} for path in files}
    for name in flat(columns):
        for path, value in zip(files, plain_values(columns[name]), strict=True):
            if value is not None:
                metadata[path]["karat_id" if name == "id" else name] = value
    named = {
        name: [path for path, has in zip(files, members.tolist(), strict=True) if has]
        for name, members in having.items()
    }
    return json_bytes({"metadata": metadata, "tags": named})
