"""WebDataset tars: images are read in place, by offsets that one pass over the headers finds."""

from __future__ import annotations

import itertools
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from .._files import reason
from ..errors import FileFormatError, InputError, KaratError
from ..store.content import COLUMN_NAMES
from .decoding import SUFFIXES
from .files import base_name, refuse_large
from .shards import shard_paths
from .source import ImageSource, as_ids, as_labels

_KEY = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)  # up to the first dot of the file's name
_JSON_LABELS = (*COLUMN_NAMES["labels"], "cls", "class")
_MOST_LABEL_BYTES = 1 << 20
_TAIL = 1 << 20
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zX": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, eq=False)
class Tars(ImageSource):
    """Members of tar files, read by offset."""

    shards: tuple[Path, ...] = field(repr=False)
    shard: np.ndarray = field(repr=False)  # [n] which of them
    start: np.ndarray = field(repr=False)  # [n] first byte
    size: np.ndarray = field(repr=False)  # [n] bytes; -1: no regular file

    def encoded(self, i: int) -> bytes:
        name, size = str(self.ids[i]), int(self.size[i])
        if size < 0:
            raise InputError(f"image {name} cannot be read: it is no regular file in its tar; links are never followed")
        refuse_large(size, name)
        try:
            with open(self.shards[self.shard[i]], "rb", buffering=0) as file:
                data = os.pread(file.fileno(), size, int(self.start[i]))
        except OSError as error:
            raise InputError(f"image {name} cannot be read: {reason(error)}") from error
        if len(data) < size:
            raise InputError(f"image {name} cannot be read: its tar has become shorter")
        return data

    def _extent(self) -> bytes:
        return np.stack([self.shard, self.start, self.size]).tobytes()


@dataclass(frozen=True, slots=True)
class _Member:
    """A member with a key: part of a sample."""

    name: str
    key: str
    extension: str
    start: int
    size: int
    label: str | int | None

    @property
    def is_image(self) -> bool:
        return f".{self.extension.rpartition('.')[2]}" in SUFFIXES


def open_tars(pattern: str) -> Tars:
    """The samples of WebDataset tars that have an image; see `open_images`.

    Raises:
        InputError: no such tar, no images, a name that leads out of the archive, a key twice in one tar.
        FileFormatError: a tar is truncated, damaged, compressed or none.
    """
    shards = shard_paths(pattern)
    found = [(number, image, label) for number, shard in enumerate(shards) for image, label in _samples(shard)]
    if not found:
        raise InputError(
            f"wds:{pattern} holds no image: members that end in {' '.join(sorted(SUFFIXES))} are needed "
            f"({len(shards)} tars were read)"
        )
    numbers, images, labels = zip(*found, strict=True)
    folder = os.path.commonpath([shard.parent for shard in shards])
    names = [shard.relative_to(folder).as_posix() for shard in shards]
    return Tars(
        name=base_name(Path(pattern)),
        ids=_ids([image.key for image in images], [names[number] for number in numbers], f"wds:{pattern}"),
        paths=np.array([f"{names[number]}/{image.name}" for number, image in zip(numbers, images, strict=True)]),
        labels=as_labels(labels),
        shards=tuple(shards),
        shard=np.array(numbers),
        start=np.array([image.start for image in images]),
        size=np.array([image.size for image in images]),
    )


def _ids(keys: list[str], shards: list[str], where: str) -> np.ndarray:
    """The keys; where one is there twice, all with their shard's name before them."""
    if len(set(keys)) < len(keys):
        keys = [f"{shard.removesuffix('.tar')}/{key}" for shard, key in zip(shards, keys, strict=True)]
    return as_ids(keys, where)


def _samples(shard: Path) -> Iterator[tuple[_Member, str | int | None]]:
    """The image and the label of each sample: consecutive members of one key. A sample without an image is none."""
    for key, group in itertools.groupby(_members(shard), key=lambda member: member.key):
        members = list(group)
        image = _image(shard, key, members)
        if image is None:
            continue
        labels = {member.extension: member.label for member in members if member.label is not None}
        yield image, labels.get("cls", labels.get("json"))


def _image(shard: Path, key: str, members: Sequence[_Member]) -> _Member | None:
    """The image of a sample: KEY.jpg and the like, or else the only KEY.SOMETHING.jpg."""
    images = [member for member in members if member.is_image]
    images = [member for member in images if "." not in member.extension] or images
    if len(images) > 1:
        names = ", ".join(member.name for member in images)
        raise InputError(f"{shard}: sample {key!r} has {len(images)} images ({names}), but one a sample is needed")
    return images[0] if images else None


def _members(shard: Path) -> Iterator[_Member]:
    """The regular members of a tar that have a key, and images that are no regular ones."""
    try:
        with open(shard, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in _headers(tar):
                name = member.name.removeprefix("./")
                if not (found := _KEY.fullmatch(name)):
                    continue
                _refuse_unsafe(shard, name)
                regular = member.isreg() and not member.issparse()
                key, extension = found[1], found[2].lower()
                size = member.size if regular else -1
                yield _Member(name, key, extension, member.offset_data, size, _label(shard, tar, member))
            _check_end(os.pread(file.fileno(), _TAIL, tar.offset))
    except KaratError:
        raise
    except OSError as error:
        raise InputError(f"{shard} cannot be read: {reason(error)}") from error
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"{shard} {_damage(shard, error)}") from error


def _headers(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members in order; none is kept, so that memory does not grow with them."""
    last = -1
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]
        if member.offset <= last:  # else tarfile would go round for ever
            raise tarfile.ReadError("a header within it leads backwards")
        last = member.offset
        yield member


def _label(shard: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> str | int | None:
    """What a .cls or .json member says of its sample's class."""
    extension = member.name.rpartition(".")[2].lower()
    if extension not in ("cls", "json") or not member.isreg():
        return None
    if member.size > _MOST_LABEL_BYTES:
        raise FileFormatError(f"{shard}: {member.name} has {member.size:,} bytes, too many for a label")
    file = tar.extractfile(member)
    try:
        text = "" if file is None else file.read().decode()
        described = text.strip() or None if extension == "cls" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{shard}: {member.name} cannot be read as a label: {error}") from error
    if isinstance(described, dict):
        described = next((described[name] for name in _JSON_LABELS if name in described), None)
    return described if isinstance(described, str | int) else None


def _refuse_unsafe(shard: Path, name: str) -> None:
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise InputError(
            f"{shard} holds {name!r}, whose name leads out of the archive: make the tar with relative names"
        )


def _check_end(tail: bytes) -> None:
    """Check what follows the last member: blocks of zeros. tarfile ends quietly at a damaged header."""
    if len(tail) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")
    if any(tail[: tarfile.BLOCKSIZE]):
        raise tarfile.ReadError("a header within it is invalid")
    if any(tail):
        raise tarfile.ReadError("data follow its end (tars are not put together by cat: give them one by one)")


def _damage(shard: Path, error: Exception) -> str:
    with open(shard, "rb") as file:
        start = file.read(4)
    packed = next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)
    if packed is not None:
        return f"is compressed ({packed}), but images are read in place from plain tars: decompress it first"
    return f"is truncated, damaged or no tar: {error}"
