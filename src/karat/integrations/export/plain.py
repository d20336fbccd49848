"""What all exports share: samples by the paths of their files, tags, plain values."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ...errors import InputError
from ...images import ImageSource, open_images
from ...images.files import Files
from ...joining import listed
from ...records.kinds import Columns

Tags = Mapping[str, Iterable[Any]]


def file_paths(ids: Any, images: Any, *, paths: Mapping[str, str] | None = None) -> list[str]:
    """The absolute path of each sample's image file.

    Args:
        ids: of the samples, [n].
        images: what `karat.images.open_images` takes, or its source.
        paths: id -> path inside the source; None: the source has the same ids.

    Raises:
        InputError: images that are no files, or samples without one.
    """
    source = images if isinstance(images, ImageSource) else open_images(images)
    if not isinstance(source, Files):
        raise InputError(
            f"the images of {source.name} lie in no files of their own, by whose paths other tools know samples: "
            "a folder or a list of image files is needed"
        )
    inside = source.paths.astype(str).tolist()
    known = dict(zip(source.ids.astype(str).tolist(), inside, strict=True))
    if paths is not None:
        present = set(inside)
        known = {name: path for name, path in paths.items() if path in present}
    names = np.asarray(ids).astype(str).tolist()
    lacking = [name for name in names if name not in known]
    if lacking:
        raise InputError(
            f"{len(lacking):,} of {len(names):,} samples have no image file in {source.name} ({listed(lacking)}): "
            "samples join by id"
        )
    root = os.path.abspath(source.root)
    return [os.path.join(root, known[name]) for name in names]


def tagged(ids: np.ndarray, tags: Tags) -> dict[str, np.ndarray]:
    """Tag -> who has it, bool [n].

    Raises:
        InputError: an id that is not there.
    """
    keys = np.asarray(ids).astype(str).tolist()
    known = set(keys) if tags else set()
    found = {}
    for name, members in tags.items():
        wanted = {str(member) for member in members}
        if lacking := sorted(wanted - known):
            raise InputError(f"{len(lacking)} ids with the tag {name!r} are not in the record ({listed(lacking)})")
        found[name] = np.array([key in wanted for key in keys], bool)
    return found


def flat(columns: Columns) -> list[str]:
    """The columns with one value a sample."""
    return [name for name in columns if columns[name].ndim == 1]


def plain_values(values: np.ndarray) -> list[Any]:
    """JSON values; None for what is missing or infinite."""
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in values.tolist()]


def json_bytes(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, allow_nan=False).encode() + b"\n"
