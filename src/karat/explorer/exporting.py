"""A tagged set as a file for people and other tools."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from fastapi import HTTPException

from ..errors import InputError
from ..integrations.export.cleanlab import cleanlab_columns
from ..integrations.export.fiftyone import fiftyone_files
from ..integrations.export.lightly_studio import lightly_studio_file
from ..integrations.export.plain import tagged
from ..records import Scores
from ..records.files import arrow_table, spreadsheet
from ..records.tables import to_numpy
from .explored import Explored
from .query import Query

# Rows that are in memory at once as Python values.
_BLOCK = 20_000
_TYPES = {"number": pa.float64(), "flag": pa.bool_(), "text": pa.string()}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal sets give equal files


@dataclass(frozen=True)
class Export:
    """A file of a tagged set.

    Attributes:
        name: of the file.
        kind: its media type.
        content: its bytes.
    """

    name: str
    kind: str
    content: bytes


@dataclass(frozen=True)
class Format:
    """A format that sets can be exported in.

    Attributes:
        title: what a link says.
        about: what the file holds.
        needs_files: whether it names image files, by their paths.
        make: the end of the file's name, its media type and its content, of a tag of a run.
    """

    title: str
    about: str
    needs_files: bool
    make: Callable[[Explored, str], tuple[str, str, bytes]]


def export(seen: Explored, tag: str, format: str) -> Export:
    """The file of a tagged set.

    Raises:
        HTTPException: there is no such tag.
        InputError: no such format; images that are no files, where their paths are needed.
    """
    if format not in FORMATS:
        raise InputError(f"format is {format!r}, but one of {', '.join(FORMATS)} is needed")
    if tag not in seen.selection.tags():
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such tag.")
    suffix, kind, content = FORMATS[format].make(seen, tag)
    return Export(f"karat-{_file_name(tag)}{suffix}", kind, content)


def table_of(seen: Explored, tag: str) -> pa.Table:
    """All that is known of the samples of a tagged set, in the order of the run; id first."""
    kinds = {column.name: _TYPES[column.kind] for column in seen.samples.columns if column.name != "id"}
    schema = pa.schema([("id", pa.string()), *kinds.items()])
    return pa.Table.from_batches(_batches(seen, tag, schema), schema)


def _batches(seen: Explored, tag: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    query, names = Query(tag=tag), schema.names[1:]
    found = seen.samples.count(query)
    for offset in range(0, found, _BLOCK):
        rows = seen.samples.page(query, offset=offset, limit=_BLOCK)
        columns = [[row.id for row in rows], *([row.values.get(name) for row in rows] for name in names)]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _csv(seen: Explored, tag: str) -> tuple[str, str, bytes]:
    return ".csv", "text/csv; charset=utf-8", _csv_of(table_of(seen, tag))


def _csv_of(table: pa.Table) -> bytes:
    safe, _ = spreadsheet(table)
    buffer = io.BytesIO()
    pacsv.write_csv(safe, buffer)
    return buffer.getvalue()


def _parquet(seen: Explored, tag: str) -> tuple[str, str, bytes]:
    buffer = io.BytesIO()
    pq.write_table(table_of(seen, tag), buffer, compression="zstd")
    return ".parquet", "application/vnd.apache.parquet", buffer.getvalue()


def _list(seen: Explored, tag: str) -> tuple[str, str, bytes]:
    """The paths of image files, one a line.

    Raises:
        InputError: one that has a line break in it.
    """
    paths = seen.pictures.files(seen.samples.ids(Query(tag=tag)))
    if any(re.search(r"[\r\n]", path) for path in paths):
        raise InputError("the path of an image has a line break in it, which a list of lines cannot hold: use Parquet")
    return ".txt", "text/plain; charset=utf-8", "".join(f"{path}\n" for path in paths).encode()


def _fiftyone(seen: Explored, tag: str) -> tuple[str, str, bytes]:
    columns, files = _columns_and_files(seen, tag)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in fiftyone_files(columns, files, tags={tag: columns["id"]}).items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return "-fiftyone.zip", "application/zip", buffer.getvalue()


def _lightly(seen: Explored, tag: str) -> tuple[str, str, bytes]:
    columns, files = _columns_and_files(seen, tag)
    content = lightly_studio_file(columns, files, tags={tag: columns["id"]})
    return "-lightly-studio.json", "application/json", content


def _columns_and_files(seen: Explored, tag: str) -> tuple[Mapping[str, np.ndarray], list[str]]:
    table = table_of(seen, tag)
    columns = {name: to_numpy(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    return columns, seen.pictures.files(table.column("id").to_pylist())


def _cleanlab(seen: Explored, tag: str) -> tuple[str, str, bytes]:
    """Of all samples of the run, in its order: what Datalab has of a data set."""
    name = re.sub(r"\W+", "_", tag).strip("_") or "tag"
    scores = seen.run.records.get(seen.run.scores or "")
    members = seen.samples.ids(Query(tag=tag))
    if isinstance(scores, Scores):
        columns = cleanlab_columns(scores, tags={name: members})
    else:
        ids = np.array(seen.samples.ids(Query()))
        chosen = tagged(ids, {name: members})[name]
        columns = {"id": ids, f"is_{name}_issue": chosen, f"{name}_score": np.where(chosen, 0.0, 1.0)}
    return "-cleanlab.csv", "text/csv; charset=utf-8", _csv_of(arrow_table(columns))


FORMATS: Mapping[str, Format] = {
    "csv": Format("CSV", "all that is known of each sample, for spreadsheets", False, _csv),
    "parquet": Format("Parquet", "the same for programs, every text as it is", False, _parquet),
    "list": Format("List of paths", "the image files, one a line", True, _list),
    "fiftyone": Format("FiftyOne", "a data set to import, with fields, labels and the tag", True, _fiftyone),
    "lightly": Format("LightlyStudio", "metadata and the tag by the path of each file, as JSON", True, _lightly),
    "cleanlab": Format("cleanlab", "issues for Datalab, of all samples of the run, as CSV", False, _cleanlab),
}


def _file_name(tag: str) -> str:
    """A tag as a part of a file's name, in plain letters.

    >>> _file_name("worst & best"), _file_name("../é")
    ('worst-best', 'set')
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", tag).strip("-") or "set"
