"""Hugging Face data sets: by hub name, or from a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .._optional import require
from ..errors import InputError
from ..store.content import COLUMN_NAMES
from .decoding import first_line
from .files import base_name, read_bytes, refuse_large
from .lists import title_among
from .source import ImageSource, as_ids, row_numbers
from .tables import IMAGE_COLUMNS, labels_in

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

_ID_COLUMNS = (*COLUMN_NAMES["ids"], "__key__")
_SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk leaves in a folder
_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Rows(ImageSource):
    """Rows of a data set whose only column is {bytes, path}; its files are mapped into memory."""

    rows: Dataset = field(repr=False)

    def encoded(self, i: int) -> bytes:
        name = str(self.ids[i])
        try:
            value = self.rows[int(i) : int(i) + 1].column(0)[0].as_py()
        except Exception as error:  # whatever a damaged file makes Arrow say
            raise InputError(f"image {name} cannot be read: {first_line(error)}") from error
        data, path = (None, None) if value is None else (value["bytes"], value["path"])
        if data is not None:
            refuse_large(len(data), name)
            return bytes(data)
        if path is not None:
            return read_bytes(Path(path), name)
        raise InputError(f"image {name} cannot be read: its row holds neither bytes nor a path")

    def _extent(self) -> bytes:
        lengths = [pc.fill_null(pc.binary_length(_field(images, "bytes")), -1) for images in _pieces(self.rows)]
        return b"".join(np.asarray(part, np.int64).tobytes() for part in lengths)


def open_hf(name: str) -> Rows:
    """NAME[:SPLIT] of a data set; see `open_images`.

    Raises:
        InputError: no such data set or split, several splits and none chosen, no rows, no column of images or several.
        MissingDependencyError: `datasets` is not installed.
    """
    where, colon, split = (name, "", "") if os.path.isdir(os.path.expanduser(name)) else name.partition(":")
    folder = Path(where).expanduser()
    dataset = _load(name, folder if folder.is_dir() else where, split or None)
    rows = dataset.select_columns([_image_column(dataset, name)]).with_format("arrow")  # Arrow: nothing is decoded
    paths = _paths_below(folder, rows) if folder.is_dir() else None
    return Rows(
        name=f"{base_name(folder) if folder.is_dir() else where}{colon}{split}",
        ids=_ids(dataset, paths),
        paths=row_numbers(len(dataset)) if paths is None else paths,
        labels=_labels(dataset),
        rows=rows,
    )


def _load(name: str, where: str | Path, split: str | None) -> Dataset:
    """The rows of one split."""
    datasets = require("datasets", "hf:")
    if not isinstance(where, Path) and where.startswith(("/", ".", "~")):
        raise InputError(f"hf:{name}: there is no folder {where}")
    try:
        if isinstance(where, Path) and any((where / file).is_file() for file in _SAVED):
            return _one_split(datasets.load_from_disk(str(where)), name, split)
        return _one_split(datasets.load_dataset(str(where), split=split), name, split)
    except InputError:
        raise
    except ConnectionError as error:
        raise InputError(
            f"hf:{name} cannot be downloaded ({first_line(error)}): where there is a network, save it with "
            "datasets.load_dataset(NAME, split=SPLIT).save_to_disk(FOLDER), then give hf:FOLDER"
        ) from error
    except Exception as error:  # on a data set that is not there, or damaged, the library raises nearly anything
        raise InputError(f"hf:{name} cannot be loaded: {first_line(error)}") from error


def _one_split(found: Dataset | DatasetDict, name: str, split: str | None) -> Dataset:
    if not isinstance(found, dict):
        if split is not None and str(found.split) != split:
            raise InputError(f"hf:{name} was saved as one split ({found.split}), so there is no {split!r} to choose")
        return found
    if split is None and len(found) == 1:
        return next(iter(found.values()))
    if split not in found:
        asked = f"no split {split!r}" if split else "several splits"
        raise InputError(f"hf:{name} has {asked}: choose one of {', '.join(found)}, as in hf:NAME:{next(iter(found))}")
    return found[split]


def _image_column(dataset: Dataset, name: str) -> str:
    """The column of type Image: the only one, or the one named image or img."""
    image = require("datasets", "hf:").Image
    columns = [title for title, kind in dataset.features.items() if isinstance(kind, image)]
    chosen = title_among(columns, IMAGE_COLUMNS) if len(columns) > 1 else next(iter(columns), None)
    if chosen is None:
        listed = ", ".join(f"{title} ({type(kind).__name__})" for title, kind in dataset.features.items())
        raise InputError(
            f"hf:{name} has {len(columns) or 'no'} columns of type Image, but one, or one named "
            f"{' or '.join(IMAGE_COLUMNS)}, is needed; it has {listed}"
        )
    return chosen


def _ids(dataset: Dataset, paths: np.ndarray | None) -> np.ndarray:
    title = title_among(dataset.column_names, _ID_COLUMNS)
    if title is not None:
        values = [str(value) for value in _column(dataset, title).to_pylist() if isinstance(value, str | int)]
        if len(set(values)) == len(dataset):
            return as_ids(values, f"column {title}")
    return row_numbers(len(dataset)) if paths is None else as_ids(paths, "the folder")


def _labels(dataset: Dataset) -> np.ndarray | None:
    class_label, value = (getattr(require("datasets", "hf:"), kind) for kind in ("ClassLabel", "Value"))
    scalars = {title: kind for title, kind in dataset.features.items() if isinstance(kind, class_label | value)}
    classes = [title for title, kind in scalars.items() if isinstance(kind, class_label)]
    title = title_among(scalars, COLUMN_NAMES["labels"]) or (classes[0] if len(classes) == 1 else None)
    if title is None:
        return None
    column = _column(dataset, title)
    if title not in classes:
        return labels_in(column)
    names = scalars[title].names
    numbers = column.to_pylist()  # -1 or null: not known
    known = [names[number] if number is not None and number >= 0 else "" for number in numbers]
    return np.array(known) if any(known) else None


def _column(dataset: Dataset, title: str) -> pa.ChunkedArray:
    return dataset.select_columns([title]).with_format("arrow")[:].column(0)


def _pieces(rows: Dataset) -> Iterator[pa.ChunkedArray]:
    for table in rows.iter(_ROWS):
        yield table.column(0)


def _field(images: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    return pc.struct_field(images, name)


def _paths_below(folder: Path, rows: Dataset) -> np.ndarray | None:
    """Paths relative to the folder, where every row is a file in it."""
    absolute = os.path.join(os.path.abspath(folder), "")
    paths = [path for images in _pieces(rows) for path in _field(images, "path").to_pylist()]
    no_bytes = all(_field(images, "bytes").null_count == len(images) for images in _pieces(rows))
    if not no_bytes or not all(path is not None and path.startswith(absolute) for path in paths):
        return None
    return np.array([path.removeprefix(absolute) for path in paths])
