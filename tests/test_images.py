"""Image sources: order, ids, labels, decoding, refusals."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karat.errors import FileFormatError, InputError, InputTypeError
from karat.images import open_images

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def colour(rgb: tuple[int, int, int], size: tuple[int, int] = (3, 2)) -> Image.Image:
    return Image.new("RGB", size, rgb)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def archive_of(files: list[bytes]) -> dict[str, np.ndarray]:
    return {
        "bytes": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0] + [len(file) for file in files]),
    }


def decoded(tmp_path: Path, content: bytes, suffix: str = ".png") -> np.ndarray:
    """What the only image of a folder is read as."""
    put(tmp_path / "one" / f"image{suffix}", content)
    return open_images(tmp_path / "one").read(0)


# folders


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


# archives and arrays


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


def test_open_source_is_returned_as_it_is() -> None:
    source = open_images(np.zeros((1, 1, 1, 3), np.uint8))
    assert open_images(source) is source


# decoding


def test_grey_image_has_three_equal_channels(tmp_path: Path) -> None:
    assert decoded(tmp_path, encoded(Image.new("L", (1, 1), 77))).tolist() == [[[77, 77, 77]]]


def test_bilevel_image_is_black_and_white(tmp_path: Path) -> None:
    assert decoded(tmp_path, encoded(Image.new("1", (1, 1), 1))).tolist() == [[list(WHITE)]]


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    pixels = np.array([[0, 1000, 30000, 65535]], np.uint16)
    assert decoded(tmp_path, encoded(Image.fromarray(pixels)))[0, :, 0].tolist() == [0, 4, 117, 255]


def test_numbers_of_unknown_range_are_refused(tmp_path: Path) -> None:
    for pixels in (np.array([[70000]], np.int32), np.array([[0.5]], np.float32)):
        with pytest.raises(InputError, match=r"image\.tif cannot be decoded: it holds .* of unknown range"):
            decoded(tmp_path, encoded(Image.fromarray(pixels), "TIFF"), ".tif")


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (*RED, 255))
    image.putpixel((1, 0), (*RED, 0))
    assert decoded(tmp_path, encoded(image)).tolist() == [[list(RED), list(WHITE)]]


def test_transparent_palette_colour_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    assert decoded(tmp_path, encoded(image)).tolist() == [[list(RED), list(BLUE)]]
    assert decoded(tmp_path, encoded(image, transparency=1)).tolist() == [[list(RED), list(WHITE)]]


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # magenta and yellow ink: red
    pixels = decoded(tmp_path, encoded(image, "JPEG"), ".jpg")
    assert np.abs(pixels.astype(int) - RED).max() < 8


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = colour(RED, (2, 1))
    image.putpixel((1, 0), BLUE)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    assert decoded(tmp_path, encoded(image, exif=exif)).tolist() == [[list(RED)], [list(BLUE)]]


def test_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    content = encoded(colour(RED), "GIF", save_all=True, append_images=[colour(BLUE)])
    assert decoded(tmp_path, content, ".gif")[0, 0].tolist() == list(RED)


# refusals


@pytest.mark.parametrize("content", [b"", b"no image at all", encoded(colour(RED, (40, 40)), "JPEG")[:-200]])
def test_corrupt_image_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"image image\.jpg cannot be decoded"):
        decoded(tmp_path, content, ".jpg")


@pytest.mark.parametrize("pixels", [101, 1000])
def test_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"image image\.png cannot be decoded: .*pixels"):
        decoded(tmp_path, encoded(colour(RED, (pixels, 1))))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb_is_refused_where_pillow_only_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="101 x 1 pixels, more than the 100 allowed"):
        decoded(tmp_path, encoded(colour(RED, (101, 1))))


def test_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist"):
        open_images(tmp_path / "nowhere")


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "deep" / "notes.txt", b"")
    with pytest.raises(InputError, match=r"holds no image: files that end in .*\.png"):
        open_images(tmp_path)


def test_single_image_file_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "one.png", encoded(colour(RED)))
    with pytest.raises(InputError, match=r"neither a folder nor an \.npz"):
        open_images(tmp_path / "one.png")


def test_other_types_are_refused() -> None:
    with pytest.raises(InputTypeError, match="images is a list"):
        open_images([1, 2])  # type: ignore[arg-type]


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
        ({"bytes": ONE["bytes"], "offsets": np.array([0, 5, 3, len(ONE["bytes"])])}, "do not rise after entry 1"),
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
