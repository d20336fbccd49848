"""report: what runs and records say, as one HTML page, as Markdown, or as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from .._files import refuse_existing, write_bytes
from ..errors import InputError
from ..images import ImageSource, open_images
from ..records import Scores
from .content import content
from .html import render
from .markdown import write_markdown
from .page_size import LIMIT, fitted, picture_size
from .side_by_side import runs_section, runs_summary
from .sources import RECORDS, Part, Source, parts_of

Format = Literal["html", "md", "json"]
ImagesGiven = str | os.PathLike[str] | np.ndarray | ImageSource
# Room for what a second drawing of the page may add.
_SLACK = 20_000

Json = dict[str, Any]


def report(
    source: Source | Iterable[Source],
    out: str | os.PathLike[str],
    *,
    images: ImagesGiven | None = None,
    by: str | None = None,
    title: str | None = None,
    format: Format | None = None,
    overwrite: bool = False,
) -> Path:
    """Write what records say as one file: a summary in plain words, tables, figures and pictures.

    The HTML page opens from disk, asks nothing of the network, runs no script, holds its pictures, and stays under
    5 MB: pictures are made smaller, or left out, until it does, and it says so. The JSON file is the plain data that
    the page is drawn from. Markdown has the words and tables of the page; its figures and pictures are files in a
    folder beside it, `NAME_files/`. A part of a run that is missing or damaged is named in its place. Several runs
    stand side by side, and then one after the other. Equal input gives equal bytes.

    Args:
        source: a run's folder, the file of one record (scores.parquet), a record, or several of these.
        out: the file to write.
        images: where the samples' pictures are (see `karat.images.open_images`), by id; None: where the run says.
        by: the score that samples are ordered by; None: q_score, or the first score where there is none.
        title: of the page; None: the run's name.
        format: "html", "md" or "json"; None: by the ending of `out`, HTML where it tells nothing.
        overwrite: replace `out` where it exists.

    Returns:
        The path of the file.

    Raises:
        InputError: no records, an unknown score or format, `images` that cannot be opened, or more than fits a page.
        InputTypeError: a source that is no path and holds something else than records.
        FileFormatError: no run or record at that path.
        OutputExistsError: `out` exists and `overwrite` is false.
        MissingDependencyError: the extra `report` is not installed.

    >>> from tempfile import TemporaryDirectory
    >>> from karat.records import Metrics, Provenance
    >>> metrics = Metrics(Provenance("measure", {}, {}, "0.1.0"), n=120, d=40, values={"effective_rank": 17.2})
    >>> with TemporaryDirectory() as folder:
    ...     report(metrics, f"{folder}/report.html").name
    'report.html'
    """
    target, chosen = Path(out), _format(out, format)
    refuse_existing(target, overwrite=overwrite)
    page = fitted(page_of(parts_of(source), images=images, by=by, title=title))
    if chosen == "json":
        write_bytes(target, (json.dumps(page, indent=1, allow_nan=False) + "\n").encode())
    elif chosen == "md":
        write_markdown(target, render(page), overwrite=overwrite)
    else:
        write_bytes(target, _small_enough(page))
    return target


def page_of(
    parts: list[Part], *, images: ImagesGiven | None = None, by: str | None = None, title: str | None = None
) -> Json:
    """What a report of these parts says, as plain data: `content` of one; of several, one such dict each in "runs".

    Raises:
        InputError: no scores record has the score `by`, or the images cannot be opened.
    """
    _check(by, parts)
    given = None if images is None else open_images(images)
    pages = [_content(part, given, by, title or _title(part)) for part in parts]
    if len(parts) == 1:
        return pages[0]
    records = {part.name: part.records for part in parts}
    summaries = {part.name: page["summary"] for part, page in zip(parts, pages, strict=True)}
    first = pages[0]
    return {
        **{key: first[key] for key in ("schema", "karat")},
        "title": title or ", ".join(part.name for part in parts),
        "summary": runs_summary(records, summaries),
        "damaged": [
            {**each, "part": f"{part.name}: {each['part']}"}
            for part, page in zip(parts, pages, strict=True)
            for each in page["damaged"]
        ],
        "notes": [],
        "sections": [{"kind": "runs", "record": None, **runs_section(records)}],
        "runs": [
            {"name": part.name, **{key: page[key] for key in ("summary", "damaged", "sections")}}
            for part, page in zip(parts, pages, strict=True)
        ],
    }


def _content(part: Part, given: ImageSource | None, by: str | None, title: str) -> Json:
    damaged, pictures, paths = dict(part.damaged), given, None
    if pictures is None and part.images is not None and part.folder is not None:
        try:
            pictures, paths = open_images(_inside(part.folder, part.images.source)), part.images.paths
        except InputError as error:
            damaged["images"] = str(error).replace(f"{part.folder}{os.sep}", "")
    return content(part.records, pictures, paths=paths, folder=part.folder, by=by, title=title, damaged=damaged)


def _check(by: str | None, parts: list[Part]) -> None:
    scores = [record for part in parts for record in part.records.values() if isinstance(record, Scores)]
    known = dict.fromkeys(name for record in scores for name in record.names)
    if by is not None and by not in known:
        raise InputError(f"by={by!r} is no score of this report: {', '.join(known) or 'it has none'}")


def _small_enough(page: Json) -> bytes:
    """The HTML page, with less of its pictures where text and figures take much room.

    Raises:
        InputError: text and figures alone are too large.
    """
    text = _encoded(page)
    if len(text) <= LIMIT:
        return text
    room = LIMIT - (len(text) - picture_size(page)) - _SLACK
    text = _encoded(fitted(page, max(room, 0)))
    if len(text) > LIMIT:
        raise InputError(
            f"the page would have {len(text) / 1e6:.1f} MB without any picture, but {LIMIT // 10**6} MB are the most "
            "that it may have: report fewer runs at a time, or write the plain data (--format json)"
        )
    return text


def _encoded(page: Json) -> bytes:
    return render(page).encode("utf-8", "replace")


def _format(out: str | os.PathLike[str], given: str | None) -> Format:
    known = get_args(Format)
    if given is not None and given not in known:
        raise InputError(f"format={given!r} is not known: {', '.join(known)} are")
    ending = {".md": "md", ".markdown": "md", ".json": "json"}.get(Path(out).suffix.lower(), "html")
    return given or ending  # type: ignore[return-value] # one of the three


def _title(part: Part) -> str:
    return part.name if part.folder is not None else RECORDS


def _inside(folder: Path, source: str) -> Path:
    """A run's image source: inside its folder, or where it says."""
    return folder / source if (folder / source).exists() else Path(source)
