"""Folders: order, ids, labels, links, what cannot be read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from karat.errors import InputError
from karat.images import open_images

from .pictures import BLUE, GREEN, RED, colour, encoded, put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    put(root / "dog" / "b.png", encoded(colour(GREEN)))
    put(root / "cat" / "deep" / "a.JPG", encoded(colour(BLUE), "JPEG"))
    put(root / "cat" / "c.png", encoded(colour(RED)))
    put(root / "cat" / "notes.txt", b"no image")
    put(root / "cat" / ".hidden.png", b"no image")
    put(root / ".thumbnails" / "d.png", b"no image")
    return root


def test_folder_ids_are_sorted_relative_posix_paths(folder: Path) -> None:
    source = open_images(folder)
    assert source.ids.tolist() == ["cat/c.png", "cat/deep/a.JPG", "dog/b.png"]
    assert source.paths.tolist() == source.ids.tolist()
    assert len(source) == 3


def test_folder_labels_are_first_level_sub_folders(folder: Path) -> None:
    labels = open_images(folder).labels
    assert labels is not None
    assert labels.tolist() == ["cat", "cat", "dog"]


def test_folder_has_no_labels_when_an_image_lies_at_the_top(folder: Path) -> None:
    put(folder / "top.png", encoded(colour(RED)))
    assert open_images(folder).labels is None


def test_folder_name_is_its_last_component(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_images(f"{folder}/").name == "pets"
    monkeypatch.chdir(folder)
    assert open_images(".").name == "pets"


def test_folder_reads_pixels_and_gives_the_file_as_it_is(folder: Path) -> None:
    source = open_images(folder)
    assert source.read(2).tolist() == [[list(GREEN)] * 3] * 2
    assert source.read(2).dtype == np.uint8
    assert source.encoded(1) == (folder / "cat/deep/a.JPG").read_bytes()


def test_folder_with_link_loops_is_read_once(folder: Path) -> None:
    (folder / "cat" / "up").symlink_to(folder)
    (folder / "cat" / "self").symlink_to("self")
    for name in ("aaa", "zzz"):
        (folder / name).symlink_to(folder / "dog")
    assert open_images(folder).ids.tolist() == ["cat/c.png", "cat/deep/a.JPG", "dog/b.png"]


def test_folder_of_links_to_classes_elsewhere_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "subset").mkdir()
    (tmp_path / "subset" / "hund").symlink_to(folder / "dog")
    source = open_images(tmp_path / "subset")
    assert source.ids.tolist() == ["hund/b.png"]
    assert source.read(0)[0, 0].tolist() == list(GREEN)


def test_folder_image_that_vanishes_is_named(folder: Path) -> None:
    source = open_images(folder)
    (folder / "dog" / "b.png").unlink()
    with pytest.raises(InputError, match=r"dog/b\.png cannot be read"):
        source.read(2)


def test_folder_image_name_that_is_no_text_is_refused(folder: Path) -> None:
    try:
        put(folder / "dog" / "b\udcff.png", b"")
    except OSError:
        pytest.skip("this file system holds no such names")
    with pytest.raises(InputError, match="cannot be stored as text"):
        open_images(folder)


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "deep" / "notes.txt", b"")
    with pytest.raises(InputError, match=r"holds no image: files that end in .*\.png"):
        open_images(tmp_path)


def test_links_that_lead_nowhere_are_images_that_cannot_be_read(folder: Path) -> None:
    (folder / "cat" / "gone.png").symlink_to("nowhere.png")
    (folder / "cat" / "loop.png").symlink_to("loop.png")
    (folder / "cat" / "into_itself").symlink_to("into_itself/deeper")
    source = open_images(folder)
    assert source.ids.tolist() == ["cat/c.png", "cat/deep/a.JPG", "cat/gone.png", "cat/loop.png", "dog/b.png"]
    with pytest.raises(InputError, match=r"image cat/gone\.png cannot be read: no such file or directory"):
        source.read(2)
    with pytest.raises(InputError, match=r"image cat/loop\.png cannot be read: too many levels of symbolic links"):
        source.read(3)


def test_pipes_and_folders_with_an_images_name_are_no_images(folder: Path) -> None:
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "cat" / "folder.png").mkdir()
    assert open_images(folder).ids.tolist() == ["cat/c.png", "cat/deep/a.JPG", "dog/b.png"]


def test_an_image_that_becomes_a_pipe_is_refused_not_waited_for(folder: Path) -> None:
    source = open_images(folder)
    (folder / "cat" / "c.png").unlink()
    os.mkfifo(folder / "cat" / "c.png")
    with pytest.raises(InputError, match=r"image cat/c\.png cannot be read: it is no regular file"):
        source.read(0)


def test_a_file_of_more_than_a_gibibyte_is_refused_unread(folder: Path) -> None:
    with open(folder / "cat" / "c.png", "wb") as file:
        file.truncate((1 << 30) + 1)  # takes no place on the disk
    with pytest.raises(InputError, match=r"cat/c\.png cannot be read: it has 1,073,741,825 bytes, more than"):
        open_images(folder).read(0)


@pytest.mark.parametrize(
    "name", ["with space.png", "eñe–猫.png", "two\nlines.png", "quo'te\".png", "[x].png", "-n.png"]
)
def test_any_name_that_is_text_is_an_id(tmp_path: Path, name: str) -> None:
    put(tmp_path / "set" / name, encoded(colour(RED)))
    source = open_images(tmp_path / "set")
    assert source.ids.tolist() == [name]
    assert source.read(0)[0, 0].tolist() == list(RED)


@contextmanager
def another_user(folder: Path) -> Iterator[None]:
    """Without the rights of root, where the tests have them, in a folder that anybody may enter."""
    user = os.geteuid()
    folder.chmod(0o755)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_unreadable_folders_and_files_are_named() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        put(root / "open" / "secret.png", encoded(colour(RED)))
        put(root / "closed" / "a.png", encoded(colour(RED)))
        (root / "open" / "secret.png").chmod(0)
        (root / "closed").chmod(0)
        with another_user(root):
            with pytest.raises(InputError, match=r"image secret\.png cannot be read: permission denied"):
                open_images(root / "open").read(0)
            with pytest.raises(InputError, match=r"closed cannot be read: permission denied"):
                open_images(root)
            with pytest.raises(InputError, match=r"closed.*cannot be read|closed.*does not exist"):
                open_images(root / "closed" / "a.png")


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: put(path / "cat" / "notes.txt", b"")])
def test_empty_folders_are_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "empty")
    with pytest.raises(InputError, match="empty holds no image"):
        open_images(tmp_path / "empty")
