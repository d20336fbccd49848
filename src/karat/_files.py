"""Files: atomic writes, one writer at a time, digests."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import xxhash

from .errors import KaratError, OutputError, OutputExistsError

_CHUNK = 1 << 20


def digest_bytes(*parts: bytes | memoryview) -> str:
    """The xxh3-128 of all parts, one after the other, as 32 hexadecimal digits.

    >>> digest_bytes(b"karat") == digest_bytes(b"ka", b"rat")
    True
    """
    state = xxhash.xxh3_128()
    for part in parts:
        state.update(part)
    return state.hexdigest()


def digest_file(path: Path) -> str:
    """The xxh3-128 of a file's bytes."""
    state = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists, unless it may be overwritten.

    Raises:
        OutputExistsError: `path` exists and `overwrite` is false.
    """
    if path.exists() and not overwrite:
        raise OutputExistsError(
            f"{path} exists already and was left alone: choose another output, or overwrite it (--overwrite)"
        )


def reason(error: OSError) -> str:
    """An OSError in words: 'the disk is full', 'permission denied', ..."""
    return "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error)).lower()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn any OSError inside into one sentence that names the output.

    Raises:
        OutputError: with the reason (full disk, no permission, no such folder).
    """
    try:
        yield
    except KaratError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path} could not be written: {reason(error)}; nothing that was there has changed"
        ) from error


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it when the block ends well, removed when it does not.

    The data are synced before the rename, so that after a crash `path` holds the old content or the new, never a part.

    Raises:
        OutputError: the disk is full, the folder is missing or not writable.
    """
    target = Path(path)
    with writing(target):
        temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
        temporary.touch(exist_ok=False)  # with the permissions of any new file, which mkstemp would not give
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, target)
            _sync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path`, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process left behind in `atomic_path`. Only who holds the folder's lock may do so."""
    for path in folder.glob(".*.????????.tmp"):
        path.unlink(missing_ok=True)


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A temporary folder on the same disk as `beside`, always removed."""
    with writing(beside):
        folder = Path(tempfile.mkdtemp(prefix=f".{beside.name}.", suffix=".spill", dir=beside.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`: a second writer is refused. The kernel releases it when the process ends.

    Raises:
        OutputError: another process writes there.
    """
    with writing(folder):
        lock = _lock(folder)
    with lock:
        yield


def _lock(folder: Path) -> TextIO:
    """The lock of a folder, held until it is closed."""
    import fcntl

    file = open(folder / ".lock", "w")  # noqa: SIM115 (closed by who holds it)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if not isinstance(error, BlockingIOError):
            raise
        raise OutputError(
            f"{folder} is being written by another process: wait for it, or choose another output"
        ) from error
    os.register_at_fork(after_in_child=file.close)  # else workers that outlive a killed process keep its lock
    return file


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
