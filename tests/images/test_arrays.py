"""Arrays and .npz files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karat.errors import FileFormatError, InputError
from karat.images import open_images

from .pictures import BLUE, GREEN, RED, archive_of, colour, encoded, put


def test_encoded_archive_gives_files_labels_and_row_numbers(tmp_path: Path) -> None:
    files = [encoded(colour(rgb, (2, n + 1))) for n, rgb in enumerate([RED, GREEN, BLUE] * 4)]
    y = np.array([0, 1, 1] * 4, np.uint8)
    np.savez(tmp_path / "some.npz", **archive_of(files), y=y, classes=["cat", "dog"])
    source = open_images(tmp_path / "some.npz")
    assert source.name == "some.npz"
    assert source.ids.tolist() == source.paths.tolist() == [f"{row:02d}" for row in range(12)]
    assert source.labels is not None
    assert source.labels.tolist() == ["cat", "dog", "dog"] * 4
    assert [source.encoded(i) for i in range(12)] == files
    assert source.read(11).tolist() == [[list(BLUE)] * 2] * 12


def test_archive_ids_are_taken_and_rows_stay_the_paths(tmp_path: Path) -> None:
    pixels = np.zeros((2, 1, 1, 3), np.uint8)
    np.savez(tmp_path / "some.npz", images=pixels, ids=["train/00007", "train/00001"], y=[4, 9])
    source = open_images(tmp_path / "some.npz")
    assert source.ids.tolist() == ["train/00007", "train/00001"]
    assert source.paths.tolist() == ["0", "1"]
    assert source.labels is not None
    assert source.labels.tolist() == [4, 9]


def test_raw_archive_and_array_give_their_pixels_and_make_png(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)
    np.savez(tmp_path / "raw.npz", images=pixels)
    for source in (open_images(tmp_path / "raw.npz"), open_images(pixels)):
        assert source.labels is None
        for i in range(3):
            assert (source.read(i) == pixels[i]).all()
            with Image.open(io.BytesIO(source.encoded(i))) as image:
                assert image.format == "PNG"
                assert (np.asarray(image) == pixels[i]).all()


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 4, 4, 3)),
        np.zeros((2, 4, 4), np.uint8),
        np.zeros((2, 3, 4, 4), np.uint8),
        np.zeros((0, 4, 4, 3), np.uint8),
    ],
    ids=["float", "grey", "channels first", "none"],
)
def test_array_of_another_kind_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"but uint8 \[n, h, w, 3\]"):
        open_images(pixels)


ONE = archive_of([encoded(colour(RED))])
PIXELS = np.zeros((2, 1, 1, 3), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": PIXELS}, "holds pictures, but either images"),
        ({"bytes": ONE["bytes"]}, "holds bytes, but either images"),
        ({"images": PIXELS, **ONE}, "but either images"),
        ({"bytes": ONE["bytes"].astype(float), "offsets": ONE["offsets"]}, r"bytes is float64 \[\d+\]"),
        ({"bytes": ONE["bytes"], "offsets": np.array([0])}, r"offsets is int64 \[1\]"),
        ({"bytes": ONE["bytes"], "offsets": ONE["offsets"].astype(float)}, r"offsets is float64"),
        ({"bytes": ONE["bytes"], "offsets": ONE["offsets"] + 1}, "offsets run from 1 to"),
        ({"bytes": ONE["bytes"][:-1], "offsets": ONE["offsets"]}, "offsets run from 0 to"),
        ({"bytes": ONE["bytes"], "offsets": np.array([0, 5, 3, len(ONE["bytes"])])}, "offsets fall after entry 1"),
        ({"images": PIXELS, "y": [1]}, "y has 1 entries, but there are 2 samples"),
        ({"images": PIXELS, "ids": ["a", "a"]}, "ids holds 1 different values, but 2 are needed"),
        ({"images": PIXELS, "ids": ["a"]}, "ids has 1 entries"),
        ({"images": PIXELS, "y": [0, 2], "classes": ["a", "b"]}, "y runs from 0 to 2, but there are 2 classes"),
        ({"images": PIXELS, "y": [-1, 0], "classes": ["a", "b"]}, "y runs from -1 to 0"),
        ({"images": PIXELS, "y": [0.0, 1.0], "classes": ["a", "b"]}, "y is float64"),
    ],
)
def test_archive_whose_parts_do_not_fit_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=message):
        open_images(tmp_path / "bad.npz")


def test_archive_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", images=np.array([None, "x"], object))
    with pytest.raises(FileFormatError, match="never unpickled"):
        open_images(tmp_path / "bad.npz")


def test_broken_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", images=np.zeros((9, 9, 9, 3), np.uint8))
    content = (tmp_path / "good.npz").read_bytes()
    for name, part in (("empty", b""), ("truncated", content[:-30]), ("text", b"hello")):
        put(tmp_path / f"{name}.npz", part)
        with pytest.raises(FileFormatError, match=rf"{name}\.npz is no \.npz archive"):
            open_images(tmp_path / f"{name}.npz")


@pytest.mark.parametrize(("keep", "message"), [(0, "images is"), (200, "cannot be read as an .npz of images")])
def test_archive_with_a_broken_array_is_refused(tmp_path: Path, keep: int, message: str) -> None:
    content = io.BytesIO()
    np.save(content, np.zeros((9, 9, 9, 3), np.uint8))
    with zipfile.ZipFile(tmp_path / "inside.npz", "w") as archive:
        archive.writestr("images.npy", content.getvalue()[:keep])
    with pytest.raises(InputError, match=message):
        open_images(tmp_path / "inside.npz")


def test_an_archived_file_of_no_bytes_is_one_bad_image(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", **archive_of([encoded(colour(RED)), b"", encoded(colour(BLUE))]))
    source = open_images(tmp_path / "some.npz")
    assert source.read(2)[0, 0].tolist() == list(BLUE)
    with pytest.raises(InputError, match=r"image 1 cannot be decoded: it is empty \(0 bytes\)"):
        source.read(1)


def test_pixels_that_are_read_are_a_copy() -> None:
    source = open_images(np.zeros((2, 1, 1, 3), np.uint8))
    source.read(0)[:] = 255
    assert source.read(0).max() == 0
