"""What is reported: runs, files of one record and records, each under a name of its own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import FileFormatError, InputError, InputTypeError
from ..records import Record
from ..runs import Images, is_run, load_record, open_run

Source = str | os.PathLike[str] | Record

RECORDS = "karat report"
UNFINISHED = "it is not there yet: the run is still being written, or its writing was broken off"
# What verbs write before the first record is in run.json.
_BEGUN = (".lock", "embeddings", "images.json", "records", "checkpoints", "log.jsonl", "activations", "maps")


@dataclass(frozen=True)
class Part:
    """A run, or records that belong together.

    Attributes:
        name: what it is called.
        records: name -> record.
        folder: of the run; None: the records lie in none.
        images: where its images are.
        damaged: name of a part that cannot be read -> why.
    """

    name: str
    records: Mapping[str, Record]
    folder: Path | None = None
    images: Images | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)


def parts_of(source: Source | Iterable[Source]) -> list[Part]:
    """A run's folder or a record's file is a part of its own; records that are given together are one.

    Raises:
        InputError: nothing is given, or a run has no records.
        InputTypeError: something else than paths and records.
        FileFormatError: no run or record at a path.
    """
    given = [source] if isinstance(source, str | os.PathLike | Record) else source
    if not isinstance(given, Iterable):
        raise InputTypeError(f"source is a {type(source).__name__}, but a run's folder or records are needed")
    folders: list[Path] = []
    loose: list[Record] = []
    for item in given:
        if isinstance(item, Record):
            loose.append(item)
        elif isinstance(item, str | os.PathLike):
            folders.append(Path(item))
        else:
            raise InputTypeError(f"source holds a {type(item).__name__}, but only runs and records can be reported")
    if not folders and not loose:
        raise InputError("source is empty, but a run or at least one record is needed")
    names = _distinct(folders)
    parts = [_part(path, name) for path, name in zip(folders, names, strict=True)]
    return parts + ([Part(RECORDS, _named(loose))] if loose else [])


def _part(path: Path, name: str) -> Part:
    if path.is_file():
        record = load_record(path)
        return Part(name, {record.kind: record})
    if not is_run(path):
        return _unfinished(path, name)
    run = open_run(path)
    if not run.records and not run.damaged:
        raise InputError(f"{path} is a run without records: add some with karat score, probe or evaluate")
    # The run may have been moved, or sent: a report says nothing of where it lies.
    damaged = {part: why.replace(f"{path}{os.sep}", "") for part, why in run.damaged.items()}
    return Part(name, run.records, path, run.images, damaged)


def _unfinished(path: Path, name: str) -> Part:
    """A folder without run.json: its scores, where they are there already.

    Raises:
        FileFormatError: they are not, or this is no run at all.
    """
    if (path / "scores.parquet").is_file():
        return Part(name, {"scores": load_record(path / "scores.parquet")}, path, damaged={"run.json": UNFINISHED})
    if any((path / part).exists() for part in _BEGUN):
        raise FileFormatError(
            f"{path} has no run.json yet: the run is still being written, or its writing was broken off; "
            "report it when its first record is there"
        )
    open_run(path)  # says what is wrong
    raise FileFormatError(f"{path} is no run of karat")


def _named(records: Iterable[Record]) -> dict[str, Record]:
    """Records by their kinds, numbered from the second of a kind on."""
    named: dict[str, Record] = {}
    seen: Counter[str] = Counter()
    for record in records:
        seen[record.kind] += 1
        named[record.kind if seen[record.kind] == 1 else f"{record.kind}-{seen[record.kind]}"] = record
    return named


def _distinct(paths: list[Path]) -> list[str]:
    """The paths' names, with as many of their folders before them as tell them apart.

    >>> _distinct([Path("/a/run"), Path("/b/run"), Path("/c/other")])
    ['a/run', 'b/run', 'c/other']
    >>> _distinct([Path("/a/run"), Path("/a/run")])
    ['run', 'run (2)']
    """
    whole = [path.resolve().parts for path in paths]
    longest = max((len(parts) for parts in whole), default=0)
    different = len(set(whole))
    depth = next((k for k in range(1, longest) if len({parts[-k:] for parts in whole}) == different), longest)
    seen: Counter[str] = Counter()
    names = []
    for parts in whole:
        name = "/".join(parts[-depth:])
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names
