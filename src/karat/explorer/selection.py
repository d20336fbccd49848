"""Tagged sets of samples, which survive a restart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from time import monotonic, sleep

from .._files import one_writer, write_bytes, writing
from ..errors import FileFormatError, InputError, OutputError
from .opened import OpenedRun

SCHEMA = 1
_LONGEST = 80
_PATIENCE, _PAUSE = 5.0, 0.02  # seconds to wait for another process that writes, and between two tries
Tags = Mapping[str, Mapping[str, None]]  # tag -> its ids, in the order they were added


class Selection:
    """The tagged sets of a run, in RUN/explorer/selections.json; any number of browsers and processes at once.

    A tag is 1 to 80 printable characters. A file that is damaged is left as it is, and nothing can be tagged.
    """

    def __init__(self, run: OpenedRun) -> None:
        self._folder = run.path / "explorer"
        self._file = self._folder / "selections.json"
        self._lock = Lock()
        self._seen: tuple[object, Tags] = None, {}  # the state of the file, and what it holds

    @property
    def problems(self) -> list[str]:
        """Sentences: why the stored sets cannot be read."""
        try:
            self._read()
        except FileFormatError as error:
            return [f"{error}."]
        return []

    def tags(self) -> dict[str, int]:
        """Tag -> how many samples it has, in the order of their names; none where they cannot be read."""
        return {name: len(ids) for name, ids in sorted(self._known().items())}

    def ids(self, name: str) -> list[str]:
        """The ids of a tagged set, in the order they were added; empty where there is none."""
        return list(self._known().get(name, ()))

    def tags_of(self, id: str) -> list[str]:
        """The tags of a sample."""
        return [name for name, ids in sorted(self._known().items()) if id in ids]

    def tag(self, name: str, ids: Iterable[str]) -> int:
        """Add samples to a tagged set, which is made where there is none; how many it has now.

        Raises:
            InputError: a name that is no tag.
            FileFormatError: the stored sets are damaged.
            OutputError: they could not be stored.
        """
        if not 1 <= len(name) <= _LONGEST or not name.isprintable() or name != name.strip():
            raise InputError(f"tag is {name[:_LONGEST]!r}, but 1 to {_LONGEST} printable characters are needed")
        with self._changing() as tags:
            tagged = {**tags.get(name, {}), **dict.fromkeys(map(str, ids))}
            if tagged:
                tags[name] = tagged
        return len(tagged)

    def untag(self, name: str, ids: Iterable[str] | None = None) -> int:
        """Take samples out of a tagged set (None: all); how many are left. An empty one is gone.

        Raises:
            FileFormatError: the stored sets are damaged.
            OutputError: they could not be stored.
        """
        with self._changing() as tags:
            gone = None if ids is None else set(map(str, ids))
            left = {} if gone is None else {id: None for id in tags.get(name, {}) if id not in gone}
            tags.pop(name, None)
            if left:
                tags[name] = left
        return len(left)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Mapping[str, None]]]:
        """The sets as they are now, to be changed; stored when the block ends well. One at a time, across processes."""
        with self._lock, writing(self._file):
            self._folder.mkdir(exist_ok=True)
            with _only_writer(self._folder):
                tags = dict(self._read())
                yield tags
                content = {"schema": SCHEMA, "tags": {name: list(ids) for name, ids in sorted(tags.items())}}
                write_bytes(self._file, (json.dumps(content, indent=1) + "\n").encode())

    def _known(self) -> Tags:
        try:
            return self._read()
        except FileFormatError:
            return {}

    def _read(self) -> Tags:
        """The stored sets, read again when another process has written them."""
        try:
            status = self._file.stat()
            state = status.st_ino, status.st_size, status.st_mtime_ns
            if state != self._seen[0]:
                self._seen = state, _parsed(self._file.read_bytes())
        except FileNotFoundError:
            self._seen = None, {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileFormatError(
                f"explorer/selections.json cannot be read ({error}): move it away to tag samples again"
            ) from error
        return self._seen[1]


def _parsed(content: bytes) -> Tags:
    stored = json.loads(content)
    if stored["schema"] != SCHEMA:
        raise ValueError(f"its schema is {stored['schema']!r}, but {SCHEMA} is needed")
    tags = {str(name): [str(id) for id in list(ids)] for name, ids in stored["tags"].items()}
    return {name: dict.fromkeys(ids) for name, ids in tags.items()}


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; another process that holds it is waited for.

    Raises:
        OutputError: it still does after some seconds.
    """
    until = monotonic() + _PATIENCE
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(one_writer(folder))
                break
            except OutputError:
                if monotonic() > until:
                    raise
                sleep(_PAUSE)
        yield
