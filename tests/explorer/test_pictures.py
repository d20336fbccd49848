"""Thumbnails, and that nothing but the images of a run is ever read."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karat import runs
from karat.errors import InputError
from karat.explorer.image_files import inside
from karat.explorer.opened import open_run
from karat.explorer.pictures import Pictures

from .small_run import HOSTILE, ids


def pictures(run: Path, images: object = None) -> Pictures:
    return Pictures(open_run(run), images)


def rename(run: Path, source: str, paths: dict[str, str]) -> Pictures:
    runs.add_images(run, runs.Images(source, paths))
    return pictures(run)


def test_a_thumbnail_is_a_jpeg_of_the_pixels(small_run: Path) -> None:
    content = pictures(small_run).thumbnail(ids()[30], 16)
    assert content is not None
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.size) == ("JPEG", (16, 11))
    assert np.abs(np.asarray(image).astype(int) - (30, 100, 200)).max() <= 3


def test_an_image_keeps_its_size_where_it_is_smaller(small_run: Path) -> None:
    made = pictures(small_run)
    for content in (made.full(ids()[8]), made.thumbnail(ids()[8], 512)):
        assert content is not None and Image.open(io.BytesIO(content)).size == (30, 20)


def test_hostile_ids_are_looked_up_and_never_opened(small_run: Path) -> None:
    made = pictures(small_run)
    for name in HOSTILE:  # images.json says which image is meant
        assert made.thumbnail(name) is not None
    for name in ("../run.json", "/etc/passwd", "train/0000.png", "images/train/0001.png", "\ud800"):
        assert name == "train/0000.png" or made.thumbnail(name) is None


def test_a_missing_image_is_none_and_named(small_run: Path) -> None:
    made = pictures(small_run)
    assert made.thumbnail(ids()[100]) is None and made.thumbnail("nobody") is None
    (problem,) = made.problems
    assert ids()[100] in problem and "nobody" in problem


@pytest.mark.parametrize("side", [0, 15, 513, -1])
def test_a_side_out_of_range_is_refused(small_run: Path, side: int) -> None:
    with pytest.raises(InputError, match=f"side is {side}"):
        pictures(small_run).thumbnail(ids()[30], side)


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "/SECRET",
        "train/../../secret.png",
        "link.png",
        "folder/secret.png",
        "",
        "\0.png",
        "loop.png",
        ".",
    ],
)
def test_a_path_that_leaves_the_folder_is_refused(copied_run: Path, path: str) -> None:
    secret = copied_run / "secret.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(secret)
    root = copied_run / "images"
    (root / "link.png").symlink_to(secret)
    (root / "folder").symlink_to(copied_run)
    (root / "loop.png").symlink_to(root / "loop.png")
    made = rename(copied_run, "images", {"x": path.replace("/SECRET", str(secret))})
    assert made.thumbnail("x") is None and made.full("x") is None
    assert len(made.problems) == 1


def test_a_file_that_is_no_image_gives_nothing(copied_run: Path) -> None:
    (copied_run / "images" / "text.png").write_text("<svg onload=alert(1)>")
    (copied_run / "images" / "page.html").write_text("<html>")
    os.mkfifo(copied_run / "images" / "pipe.png")
    made = rename(copied_run, "images", {"t": "text.png", "p": "page.html", "f": "pipe.png", "d": "train"})
    assert [made.thumbnail(name) for name in "tpfd"] == [None] * 4


def test_metadata_of_an_image_is_not_passed_on(copied_run: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(copied_run / "images" / "e.jpg", exif=exif, comment=b"secret")
    content = rename(copied_run, "images", {"x": "e.jpg"}).thumbnail("x")
    assert content is not None and b"secret" not in content


def test_links_are_followed_where_the_user_names_the_folder(copied_run: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.png").symlink_to(copied_run / "images" / "train" / "0001.png")
    assert pictures(copied_run, tmp_path / "links").thumbnail("a.png") is not None


@pytest.mark.parametrize("source", ["hf:somebody/photographs", "torchvision:CIFAR10:images"])
def test_a_named_set_is_not_opened_because_a_run_says_so(copied_run: Path, source: str) -> None:
    made = rename(copied_run, source, {"x": "0"})
    assert made.thumbnail("x") is None
    assert "opened only where you name it" in made.problems[0]


def test_a_list_in_the_run_may_name_files_of_its_folder_only(copied_run: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "outside.png")
    (copied_run / "list.txt").write_text(f"images/train/0001.png\n{tmp_path / 'outside.png'}\n")
    source_paths = {"in": "copied/images/train/0001.png", "out": "outside.png"}
    made = rename(copied_run, "list.txt", source_paths)
    assert made.thumbnail("in") is not None and made.thumbnail("out") is None


def test_images_that_moved_are_a_sentence(copied_run: Path) -> None:
    (copied_run / "images").rename(copied_run / "elsewhere")
    made = pictures(copied_run)
    assert made.available and made.thumbnail(ids()[3]) is None
    assert "There are no pictures" in made.problems[0]
    found = pictures(copied_run, copied_run / "elsewhere")
    assert found.thumbnail("train/0003.png") is not None and found.problems == []


def test_a_run_without_images_has_no_pictures_and_no_problem(copied_run: Path) -> None:
    (copied_run / "images.json").unlink()
    made = pictures(copied_run)
    assert (made.available, made.thumbnail(ids()[3]), made.problems) == (False, None, [])


def test_a_damaged_images_file_is_a_sentence(copied_run: Path) -> None:
    (copied_run / "images.json").write_text(json.dumps({"source": "images"}))
    made = pictures(copied_run)
    assert made.thumbnail(ids()[3]) is None and "images.json is damaged" in made.problems[0]


def test_images_in_an_archive_are_found_by_their_path(copied_run: Path) -> None:
    np.savez(copied_run / "a.npz", images=np.stack([np.full((8, 8, 3), value, np.uint8) for value in (10, 200)]))
    made = rename(copied_run, "a.npz", {"bright": "1", "gone": "2"})
    pixels = made.pixels("bright")
    assert pixels is not None and pixels.max() == 200 and made.pixels("gone") is None


def test_kept_thumbnails_are_not_made_again(copied_run: Path) -> None:
    made = pictures(copied_run)
    first = made.thumbnail(ids()[5])
    (copied_run / "images" / "train" / "0005.png").unlink()
    assert made.thumbnail(ids()[5]) == first is not None and made.thumbnail(ids()[5], 64) is None


def test_a_path_inside_is_returned(small_run: Path) -> None:
    root = small_run / "images"
    assert inside(root, "train/0001.png", "x") == (root / "train" / "0001.png").resolve()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("train/../train/0001.png", "leads out of the folder"),
        ("/train/0001.png", "leads out of the folder"),
        ("train/0001.html", "is not that of an image file"),
        ("train", "is not that of an image file"),
        ("train/none.png", "there is no such file"),
        (f"{'a' * 5000}.png", "there is no such file"),
    ],
)
def test_a_path_is_refused_before_anything_is_opened(small_run: Path, path: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        inside(small_run / "images", path, "x")
