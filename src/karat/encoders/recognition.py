"""Which layout a checkpoint has, and which of its tensors becomes which parameter. One generic reader of all rows."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from .._optional import require
from ..errors import InputError
from .architectures import Architecture, by_name, dim_of, places_of
from .checkpoint import Checkpoint
from .coverage import Coverage
from .encoder import Preprocessing
from .inference import infer
from .layouts import LAYOUTS, Layout
from .vision_transformers import resampled_positions

if TYPE_CHECKING:
    from torch import Tensor

_SAYS = ("arch", "architecture", "epoch", "epochs", "global_step", "step")


@dataclass(frozen=True)
class Match:
    """A checkpoint read by one layout.

    Attributes:
        coverage: what became of every key.
        preprocessing: what the images must look like.
        architecture: what the encoder is; None where no architecture fits.
        tensors: the file's tensors under the names of its parameters and buffers.
    """

    coverage: Coverage
    preprocessing: Preprocessing
    architecture: Architecture | None = None
    tensors: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class _Parts:
    """The keys of a checkpoint as a layout divides them."""

    encoder: dict[str, Any]
    keys: dict[str, str]  # the encoder's names -> the file's keys
    dropped: list[tuple[str, str]]
    left_over: list[str]
    beside: list[str]


def recognise(checkpoint: Checkpoint, *, arch: str | None = None, layout: str | None = None) -> Match:
    """The layout that places every key of a checkpoint; the nearest one where none does.

    Args:
        checkpoint: the file.
        arch: the architecture, where it cannot be inferred.
        layout: the layout, where several fit.

    Raises:
        InputError: there is no such layout or architecture.
    """
    rows = [_row(layout)] if layout else [row for row in LAYOUTS if not row.on_request]
    matches = [match for row in rows if (match := _match(checkpoint, row, arch)) is not None]
    near = [match for match in matches if layout or match.architecture is not None]
    if not near:
        return Match(_unknown(checkpoint, layout), rows[0].preprocessing)
    complete = [match for match in near if match.coverage.complete]
    if not complete:
        return min(near, key=lambda match: match.coverage.faults)
    first, *others = complete
    if all(_same(first, other) for other in others):
        return _chosen(first, [str(other.coverage.layout) for other in others], asked=layout is not None)
    effects = tuple((str(match.coverage.layout), match.coverage.preprocessing) for match in complete)
    return replace(first, coverage=replace(first.coverage, ambiguous=effects, why="several layouts place every key"))


def _row(name: str) -> Layout:
    rows = {row.name: row for row in LAYOUTS}
    if name not in rows:
        near = difflib.get_close_matches(name, rows, n=3, cutoff=0.4)
        raise InputError(f"layout is {name!r}, but there is {', '.join(near or rows)}")
    return rows[name]


def _same(one: Match, other: Match) -> bool:
    """Whether two layouts make the same encoder of a file."""
    return (one.preprocessing, one.architecture) == (other.preprocessing, other.architecture)


def _chosen(match: Match, also: list[str], *, asked: bool) -> Match:
    coverage = match.coverage
    why = "it was asked for" if asked else coverage.why
    if also:
        why += f"; the first of several that agree, the others being {', '.join(also)}"
    return replace(match, coverage=replace(coverage, why=why, also=tuple(also)))


def _match(checkpoint: Checkpoint, row: Layout, arch: str | None) -> Match | None:
    """A checkpoint by one row; None where it has none of the row's containers and keys."""
    for containers, prefix in row.places:
        parts = _divided(checkpoint.tree, row, containers, prefix)
        if parts is not None:
            return _fitted(checkpoint, row, parts, arch, _reason(row, containers, prefix))
    return None


def _reason(row: Layout, containers: tuple[str, ...], prefix: str) -> str:
    where = f"under {' > '.join(containers)}" if containers else "at the top level"
    what = f"with the prefix {prefix}" if prefix else "without a prefix"
    return f"its keys are {where}, {what}" + (f": {row.note}" if row.note else "")


def _divided(tree: Any, row: Layout, containers: tuple[str, ...], prefix: str) -> _Parts | None:
    """The keys of one container, divided; None where it is not there or holds no key of the encoder."""
    beside: list[str] = []
    for container in containers:
        if not isinstance(tree, dict) or container not in tree:
            return None
        beside += [str(key) for key in tree if key != container]
        tree = tree[container]
    if not isinstance(tree, dict) or not tree or not all(isinstance(key, str) for key in tree):
        return None
    plain = {key: key.removeprefix("module.") for key in tree}
    if not all(any(fnmatchcase(name, pattern) for name in plain.values()) for pattern in row.needs):
        return None
    parts = _Parts({}, {}, [], [], beside)
    for key, name in plain.items():
        _place(parts, row, prefix, key, name, tree[key])
    return parts if parts.encoder else None


def _place(parts: _Parts, row: Layout, prefix: str, key: str, name: str, value: Any) -> None:
    """Put one key where the row says: dropped, the encoder's, or left over."""
    for pattern, what in row.drop:
        if fnmatchcase(name, pattern):
            parts.dropped.append((key, f"{pattern} ({what})"))
            return
    if not name.startswith(prefix) or not isinstance(value, require("torch", "a checkpoint").Tensor):
        parts.left_over.append(key)
        return
    own = name.removeprefix(prefix)
    for pattern, replacement in row.rename:
        own, changed = re.subn(pattern, replacement, own)
        if changed:
            break
    if own in parts.encoder:  # with and without "module."
        parts.left_over.append(key)
        return
    parts.encoder[own] = value
    parts.keys[own] = key


def _fitted(checkpoint: Checkpoint, row: Layout, parts: _Parts, arch: str | None, why: str) -> Match:
    """The encoder's tensors against the architecture they are of."""
    coverage = replace(
        file_coverage(checkpoint),
        layout=row.name,
        why=why,
        preprocessing=repr(row.preprocessing),
        dropped=tuple(parts.dropped),
        left_over=tuple(parts.left_over),
        beside=tuple(parts.beside),
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in parts.encoder.items()}
    try:
        architecture = by_name(arch, row) if arch else infer(shapes, row)
    except InputError as error:
        if arch:
            raise
        everything = tuple(parts.keys.values()) + coverage.left_over
        return Match(replace(coverage, why=f"{why}, but {error}", left_over=everything), row.preprocessing)
    return fit(parts.encoder, architecture, row.preprocessing, coverage, keys=parts.keys, positions=row.positions)


def fit(
    tensors: Mapping[str, Tensor],
    architecture: Architecture,
    preprocessing: Preprocessing,
    coverage: Coverage,
    *,
    keys: Mapping[str, str],
    positions: bool = False,
) -> Match:
    """Tensors against the places of an architecture.

    Args:
        tensors: by name, as published.
        architecture: what they are of.
        preprocessing: of its images.
        coverage: what is known of the file so far.
        keys: name -> key in the file.
        positions: whether position embeddings of another image size are resampled.
    """
    published = dict(tensors)
    if positions and architecture.builder == "vit" and "pos_embed" in published:
        published["pos_embed"] = _resized(published["pos_embed"], architecture)
    found, places = architecture.named(published), places_of(architecture)
    without = [name for name in places if name not in found]
    absent = [name for name in without if name.endswith("num_batches_tracked")]
    misfits = [
        (keys.get(name, name), _kind(found[name]), _kind(place))
        for name, place in places.items()
        if name in found and not _fits(found[name], place)
    ]
    homeless = [keys.get(name, name) for name in found if name not in places]
    unused = {*homeless, *(key for key, _, _ in misfits)}
    filled = replace(
        coverage,
        architecture=architecture.name,
        dtypes=dict(Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())),
        places=len(places),
        used=tuple(key for key in keys.values() if key not in unused),
        absent=tuple(absent),
        missing=tuple(name for name in without if name not in absent),
        left_over=coverage.left_over + tuple(homeless),
        misfits=tuple(misfits),
    )
    if filled.complete:
        dim = dim_of(architecture, preprocessing.size)
        filled = replace(filled, dim=dim, h=f"{architecture.h}, {dim:,} features")
    return Match(filled, preprocessing, architecture, found)


def _resized(positions: Tensor, architecture: Architecture) -> Tensor:
    """Position embeddings for the image size of the architecture; as they are where they are none of a square."""
    arguments = dict(architecture.arguments)
    side = arguments["size"] // arguments["patch"]
    tokens = positions.shape[1] - 1 if positions.ndim == 3 else 0
    if tokens < 1 or math.isqrt(tokens) ** 2 != tokens or tokens == side * side:
        return positions
    return resampled_positions(positions, side, antialias=arguments["registers"] > 0)


def _fits(tensor: Tensor, place: Tensor) -> bool:
    same_type = tensor.dtype == place.dtype or (tensor.is_floating_point() and place.is_floating_point())
    return same_type and tensor.shape == place.shape


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _unknown(checkpoint: Checkpoint, layout: str | None) -> Coverage:
    """The coverage of a file that no row, or not the row asked for, has any key of."""
    tree = checkpoint.tree
    first = ", ".join(map(str, list(tree)[:5])) if isinstance(tree, dict) else f"a {type(tree).__name__}"
    rows = (
        f"the layout {layout} has none" if layout else f"no layout ({', '.join(row.name for row in LAYOUTS)}) has any"
    )
    return replace(file_coverage(checkpoint), why=f"{rows} of the keys that the file holds: {first}, ...")


def file_coverage(checkpoint: Checkpoint) -> Coverage:
    """What is known of a file before a layout is tried."""
    tree = checkpoint.tree if isinstance(checkpoint.tree, dict) else {}
    says = {key: str(tree[key]) for key in _SAYS if isinstance(tree.get(key), str | int | float)}
    return Coverage(checkpoint.path.name, checkpoint.sha256, checkpoint.format, says)
