"""Records as data sets that FiftyOne imports."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..._files import refuse_existing, write_bytes, writing
from ..._version import version
from ...errors import InputError
from ...records import WithColumns
from ...records.kinds import Columns, column_of
from .plain import Tags, file_paths, flat, json_bytes, plain_values, tagged

# What FiftyOne calls what karat knows of a sample; these become labels there.
_LABELS = {"label": "ground_truth", "prediction": "predictions"}
# Fields that every sample of FiftyOne has.
_TAKEN = ("id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "media_type", "group")


def to_fiftyone(
    record: WithColumns,
    folder: str | os.PathLike[str],
    *,
    images: Any,
    tags: Tags | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a record as a data set that FiftyOne imports: each column a field, label and prediction Classifications.

    `fiftyone.Dataset.from_dir(dataset_dir=folder, dataset_type=fiftyone.types.FiftyOneDataset)` makes a data set of it;
    `dataset.merge_dir(dataset_dir=folder, dataset_type=fiftyone.types.FiftyOneDataset)` adds the fields to one that has
    the images. The ids become the field `karat_id`; of other names a `.` or `$` and a `_` in front are replaced, as
    FiftyOne cannot have them. Columns of vectors (logits, maps) are left out; missing and infinite numbers are null.

    Args:
        record: one value a sample in each column.
        folder: `metadata.json` and `samples.json` are written there. They name image files by their absolute paths, as
            FiftyOne does.
        images: a folder or list of image files with the record's ids, or an `ImageSource` of files.
        tags: name -> ids of the samples that get this tag.
        overwrite: replace these two files where they exist.

    Returns:
        The folder.

    Raises:
        InputError: samples without an image file, tagged ids that the record lacks, two columns of one name.
        OutputExistsError: a file exists and `overwrite` is false.

    Reference: FiftyOne user guide, "Importing datasets", FiftyOneDataset: metadata.json and samples.json. Without a
        "version" in the first, the second holds samples as `Sample.to_dict` gives them (LegacyFiftyOneDataset).
    """
    target = Path(folder)
    files = fiftyone_files(record.columns, file_paths(column_of(record, "id"), images), tags=tags)
    for name in files:
        refuse_existing(target / name, overwrite=overwrite)
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_bytes(target / name, content)
    return target


def fiftyone_files(columns: Columns, files: Sequence[str], *, tags: Tags | None = None) -> dict[str, bytes]:
    """The two files of `to_fiftyone`, by name; `files` are the samples' paths, [n].

    Raises:
        InputError: two columns that would be one field, tagged ids that are not there.
    """
    fields = _fiftyone_fields(columns)
    having = tagged(columns["id"], tags or {})
    samples = [
        {"filepath": path, "tags": [name for name, members in having.items() if members[row]]}
        for row, path in enumerate(files)
    ]
    for name, field in fields.items():
        values = plain_values(columns[name])
        if name in _LABELS:
            values = [None if value in (None, "") else _classification(value) for value in values]
        for sample, value in zip(samples, values, strict=True):
            sample[field] = value
    metadata = {"media_type": "image", "info": {"karat": version()}}
    return {"metadata.json": json_bytes(metadata), "samples.json": json_bytes({"samples": samples})}


def _fiftyone_fields(columns: Columns) -> dict[str, str]:
    """Column -> the name of its field.

    Raises:
        InputError: two columns that would be one field.
    """
    fields = {name: _LABELS.get(name) or _field_name(name) for name in flat(columns)}
    of: dict[str, str] = {}
    for name, field in fields.items():
        if field in of:
            raise InputError(f"the columns {of[field]!r} and {name!r} would both be FiftyOne's {field!r}: rename one")
        of[field] = name
    return fields


def _field_name(name: str) -> str:
    """A name that FiftyOne can have.

    >>> _field_name("id"), _field_name("a.b"), _field_name("_c"), _field_name("q_score")
    ('karat_id', 'a_b', 'karat_c', 'q_score')
    """
    clean = re.sub(r"[.$\x00]", "_", name)
    return f"karat_{clean.lstrip('_')}" if clean in _TAKEN or clean.startswith("_") or not clean else clean


def _classification(label: Any) -> dict[str, str]:
    return {"_cls": "Classification", "label": str(label)}
