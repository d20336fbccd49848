"""A run on disk: a folder of records, tables and images that verbs add to.

    RUN/
    ├── run.json          {"schema", "records": [{"name", "kind", "file", "digest"}, ...]}
    ├── records/NAME.json  a record; its columns, if it has some, in records/NAME.parquet
    ├── scores.parquet    the columns of the record named "scores", and that record in its metadata
    ├── embeddings/       train.emb, val.emb
    └── images.json       {"schema", "source", "paths": {id: relative path}}

Rows join by id. A part that is missing or damaged is named, and the rest is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._files import digest_bytes, one_writer, write_bytes, writing
from .errors import FileFormatError, InputError, OutputExistsError
from .records import SCHEMA, Record, WithColumns, from_dict, to_dict
from .records.tables import read_record, write_table


@dataclass(frozen=True)
class Images:
    """Where a run's images are.

    Attributes:
        source: what `open_images` takes, relative to the run where it lies inside.
        paths: id -> relative path inside the source (the row number where there are no files).
    """

    source: str
    paths: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """What a run's folder holds.

    Attributes:
        path: the folder.
        records: name -> record, in the order they were added.
        images: where its images are, None where it has none.
        damaged: name of a part that cannot be read -> why.
    """

    path: Path
    records: Mapping[str, Record]
    images: Images | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)


def open_run(path: str | Path, *, images: bool = True) -> Run:
    """Read a run's folder.

    Args:
        path: the folder.
        images: read images.json too, which grows with the number of samples; see `read_images`.

    Raises:
        FileFormatError: no such folder, or no run.json in it that can be read.
    """
    folder = Path(path)
    entries = _index(folder)
    if entries is None:
        raise FileFormatError(f"{folder} is no run of karat: it has no run.json (karat demo or karat probe make one)")
    records, damaged = {}, {}
    for entry in entries:
        try:
            records[entry["name"]] = _read(folder, entry)
        except InputError as error:  # damaged, or of a name that is none
            damaged[entry["name"]] = str(error)
    found = None
    try:
        found = read_images(folder) if images else None
    except FileFormatError as error:
        damaged["images"] = str(error)
    return Run(folder, records, found, damaged)


def is_run(path: str | Path) -> bool:
    """Whether a folder is a run."""
    return (Path(path) / "run.json").is_file()


def add_record(path: str | Path, record: Record, *, name: str | None = None, overwrite: bool = False) -> None:
    """Add a record to a run, which is made where it does not exist; the name is its kind unless given.

    Raises:
        OutputExistsError: the run has a record of that name already.
        OutputError: nothing could be written there; the run is as it was.
    """
    folder, name = Path(path), name or record.kind
    check_name(name)
    with writing(folder):
        (folder / "records").mkdir(parents=True, exist_ok=True)
    with one_writer(folder):
        refuse_record(folder, name, overwrite=overwrite)
        entries = _index(folder) or []
        if isinstance(record, WithColumns):
            write_table(columns_path(folder, name), record)
        content = _json(to_dict(record))
        file = f"records/{name}.json"
        write_bytes(folder / file, content)
        entry = {"name": name, "kind": record.kind, "file": file, "digest": digest_bytes(content)}
        kept = [old for old in entries if old["name"] != name]
        write_bytes(folder / "run.json", _json({"schema": SCHEMA, "records": [*kept, entry]}))


def refuse_record(path: str | Path, name: str, *, overwrite: bool) -> None:
    """Refuse, before the work begins, a run that has a record of this name already.

    Raises:
        OutputExistsError: it has, and `overwrite` is false.
    """
    entries = _index(Path(path)) or []
    if any(entry["name"] == name for entry in entries) and not overwrite:
        raise OutputExistsError(
            f"{path} has a record {name!r} already, which was left alone: overwrite it (--overwrite)"
        )


def add_images(path: str | Path, images: Images) -> None:
    """Say where a run's images are.

    Raises:
        OutputError: nothing could be written there.
    """
    folder = Path(path)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    content = {"schema": SCHEMA, "source": images.source, "paths": dict(images.paths)}
    write_bytes(folder / "images.json", _json(content))


def read_images(path: str | Path) -> Images | None:
    """Where a run's images are; None where it does not say.

    Raises:
        FileFormatError: images.json is damaged.
    """
    file = Path(path) / "images.json"
    if not file.is_file():
        return None
    content = _parse(file)
    if not isinstance(content.get("source"), str) or not isinstance(content.get("paths"), dict):
        raise FileFormatError(f"{file} is damaged: it lacks its source or its paths")
    return Images(content["source"], content["paths"])


def load_record(path: str | Path) -> Record:
    """One record from its file: a table (scores.parquet) or records/NAME.json of a run.

    Raises:
        FileFormatError: missing, damaged, or no record of karat.
    """
    file = Path(path)
    if file.suffix == ".json":
        return _with_columns(_parse(file), columns_path(file.parent.parent, file.stem))
    return read_record(file)


def columns_path(folder: Path, name: str) -> Path:
    """Where the columns of a record lie."""
    return folder / ("scores.parquet" if name == "scores" else f"records/{name}.parquet")


def check_name(name: str) -> None:
    """A record's name is a file's name: letters, digits, '-', '_' and '.'.

    Raises:
        InputError: anything else.
    """
    if not name or name.startswith(".") or not all(c.isalnum() or c in "-_." for c in name):
        raise InputError(f"the name {name!r} cannot be used: letters, digits, '-', '_' and '.' are, the first no '.'")


def _index(folder: Path) -> list[dict[str, str]] | None:
    """The entries of run.json; None where there is none."""
    if not (folder / "run.json").is_file():
        return None
    content = _parse(folder / "run.json")
    entries = content.get("records")
    if content.get("schema") != SCHEMA or not isinstance(entries, list):
        raise FileFormatError(f"{folder / 'run.json'} is damaged, or of another version of karat")
    for entry in entries:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("name", "digest")):
            raise FileFormatError(f"{folder / 'run.json'} is damaged: an entry lacks its name or digest")
    return entries


def _read(folder: Path, entry: Mapping[str, str]) -> Record:
    check_name(entry["name"])
    file = folder / "records" / f"{entry['name']}.json"
    if digest_bytes(_bytes(file)) != entry["digest"]:
        raise FileFormatError(f"{file} has changed since it was written: make this record again")
    return _with_columns(_parse(file), columns_path(folder, entry["name"]))


def _with_columns(content: Mapping[str, Any], table: Path) -> Record:
    """A record with the columns in its table; without columns where the table is missing.

    Raises:
        FileFormatError: the table is that of another record, as when the writing of both was broken off.
    """
    record = from_dict(content)
    if not isinstance(record, WithColumns) or not table.exists():
        return record
    whole = read_record(table)
    if whole != record:
        raise FileFormatError(f"{table} belongs to another {record.kind} record: make this record again")
    return whole


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise FileFormatError(f"{file} cannot be read ({error.strerror})") from error


def _parse(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(_bytes(file).decode())  # text: of a large file, its bytes need not be kept as well
    except ValueError as error:
        raise FileFormatError(f"{file} is damaged ({error})") from error
    if not isinstance(content, dict):
        raise FileFormatError(f"{file} is damaged: it is no JSON object")
    return content


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
