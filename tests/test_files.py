"""Files on disk: content before or after, never a part; one writer at a time; digests."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import xxhash

from karat._files import (
    atomic_path,
    digest_bytes,
    digest_file,
    one_writer,
    reason,
    refuse_existing,
    remove_temporaries,
    scratch_folder,
    write_bytes,
    writing,
)
from karat.errors import InputError, OutputError, OutputExistsError

FULL = OSError(errno.ENOSPC, "No space left on device")
HOLD_THE_LOCK = """
import pathlib, sys, time
from karat._files import one_writer
with one_writer(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(params=["new", "there"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path that is free, and one that holds a file."""
    path = tmp_path / "result.bin"
    if request.param == "there":
        path.write_bytes(b"old")
    return path


@pytest.fixture
def untouched(target: Path) -> Iterator[None]:
    """When the test ends, the folder holds what it held, and no more."""
    before = {path: path.read_bytes() for path in target.parent.iterdir()}
    yield
    assert {path: path.read_bytes() for path in target.parent.iterdir()} == before


def test_an_atomic_write_leaves_the_new_content_and_nothing_else(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists() or target.read_bytes() == b"old"
        assert temporary.parent == target.parent
    assert target.read_bytes() == b"new"
    assert listing(target.parent) == ["result.bin"]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), InputError("no")])
def test_an_exception_midway_leaves_what_was_there(target: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, atomic_path(target) as temporary:
        temporary.write_bytes(b"half of the n")
        raise error
    assert caught.value is error


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fills_up_leaves_what_was_there(target: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OutputError, match=r"result\.bin could not be written: the disk is full"):
        write_bytes(target, b"new")


@pytest.mark.usefixtures("untouched")
def test_a_write_that_fails_leaves_what_was_there(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, content: bytes) -> int:
        with open(path, "wb") as file:
            file.write(content[:1])
        raise FULL

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OutputError, match="the disk is full; nothing that was there has changed"):
        write_bytes(target, b"new")


def test_the_data_are_synced_before_the_rename_and_the_folder_after(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def sync(handle: int) -> None:
        events.append("sync folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "sync file")
        fsync(handle)

    def rename(old: str, new: str) -> None:
        events.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    write_bytes(target, b"new")
    assert events == ["sync file", "rename", "sync folder"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_the_umask_of_the_process_is_never_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread could create a file, or read the umask, in between."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask belongs to the whole process"))
    write_bytes(tmp_path / "a", b"x")


def test_two_threads_can_write_one_file_at_once(tmp_path: Path) -> None:
    target = tmp_path / "a"
    barrier = threading.Barrier(2, timeout=30)

    def write(content: bytes) -> None:
        with atomic_path(target) as temporary:
            temporary.write_bytes(content)
            barrier.wait()

    contents = [b"1" * 1000, b"2" * 2000]
    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() in contents
    assert listing(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("missing/a", "no such file or directory"),
        ("file/a", "not a directory"),
        ("folder", "is a directory"),
        ("/", ""),
    ],
)
def test_a_place_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=f"{path} could not be written: {why}"):
        write_bytes(tmp_path / path, b"x")
    assert listing(tmp_path) == ["file", "folder"]


def test_an_output_that_exists_is_refused_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a"
    refuse_existing(path, overwrite=False)
    path.touch()
    refuse_existing(path, overwrite=True)
    with pytest.raises(OutputExistsError, match=r"a exists already and was left alone.*--overwrite"):
        refuse_existing(path, overwrite=False)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FULL, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "permission denied"),
        (OSError("Broken"), "broken"),
    ],
)
def test_a_reason_is_in_words(error: OSError, words: str) -> None:
    assert reason(error) == words


def test_only_errors_of_the_system_are_turned_into_output_errors(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"{tmp_path} could not be written: the disk is full"), writing(tmp_path):
        raise FULL
    with pytest.raises(OutputExistsError, match=r"^mine$"), writing(tmp_path):
        raise OutputExistsError("mine")
    with pytest.raises(KeyError), writing(tmp_path):
        raise KeyError


def test_a_scratch_folder_lies_beside_and_is_always_removed(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "scores.parquet") as folder:
        assert folder.parent == tmp_path
        (folder / "deep").mkdir()
        (folder / "deep" / "spill").write_bytes(b"x")
    assert listing(tmp_path) == []
    with pytest.raises(ZeroDivisionError), scratch_folder(tmp_path / "scores.parquet") as folder:
        (folder / "spill").write_bytes(b"x")
        raise ZeroDivisionError
    assert listing(tmp_path) == []


def test_two_scratch_folders_beside_one_file_differ(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "a") as one, scratch_folder(tmp_path / "a") as two:
        assert one != two


def test_a_scratch_folder_in_a_missing_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file"), scratch_folder(tmp_path / "missing" / "a"):
        pass


def test_a_second_writer_is_refused_and_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    source = str(Path(__file__).parents[1] / "src")
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": source}) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            with pytest.raises(OutputError, match="is being written by another process"), one_writer(tmp_path):
                pass
        finally:
            holder.kill()
    with one_writer(tmp_path):
        pass


def test_a_second_writer_in_the_same_process_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    with one_writer(tmp_path), pytest.raises(OutputError, match="another process"), one_writer(tmp_path):
        pass
    with pytest.raises(ZeroDivisionError), one_writer(tmp_path):
        raise ZeroDivisionError
    with one_writer(tmp_path):
        pass


def test_a_process_that_was_forked_under_a_lock_does_not_keep_it(tmp_path: Path) -> None:
    with one_writer(tmp_path):
        child = os.fork()
        if child == 0:
            (tmp_path / "forked").touch()
            while True:
                signal.pause()
        while not (tmp_path / "forked").exists():
            time.sleep(0.001)
        with pytest.raises(OutputError), one_writer(tmp_path):
            pass  # the child has closed its copy, which has not released the lock of this process
    try:
        with one_writer(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_only_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    left = [".part-00000.npy.0123abcd.tmp", ".manifest.json.deadbeef.tmp"]
    kept = [".lock", "manifest.json", "notes.tmp", ".notes.tmp"]
    for name in [*left, *kept]:
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    assert listing(tmp_path) == sorted(kept)


def test_an_error_while_a_lock_is_held_is_not_blamed_on_the_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="an image cannot be read") as caught, one_writer(tmp_path):
        raise OSError("an image cannot be read")
    assert not isinstance(caught.value, OutputError)


def test_a_lock_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file or directory"), one_writer(tmp_path / "missing"):
        pass


def test_the_digest_is_xxh3_128_of_all_bytes(tmp_path: Path) -> None:
    assert digest_bytes() == "99aa06d3014798d86001c324468d497f"  # of nothing, from the xxHash reference
    content = bytes(range(256)) * 5000  # more than one chunk
    (tmp_path / "a").write_bytes(content)
    expected = xxhash.xxh3_128_hexdigest(content)
    assert digest_file(tmp_path / "a") == expected
    assert digest_bytes(content[:777], memoryview(content)[777:]) == expected
    assert digest_bytes(content[1:]) != expected
