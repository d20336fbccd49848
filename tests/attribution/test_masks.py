"""Masks are read from published sets and folders, matched to images, and brought to the encoder's input."""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karat.attribution.masks import align_masks, in_input_space, open_masks
from karat.attribution.masks.archive import Archive
from karat.attribution.masks.source import decode_mask
from karat.encoders import Preprocessing
from karat.errors import FileFormatError, InputError, InputTypeError
from karat.images import open_images

from .archives import ROOT, file_of, square, votes, write_answers, write_salient

CROP = Preprocessing(224, (0, 0, 0), (1, 1, 1), resize=256)
WHOLE = Preprocessing(32, (0, 0, 0), (1, 1, 1))
WNID = "n01440764"


def images_in(folder: Path, names: list[str], size: tuple[int, int] = (40, 40)) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(path)
    return folder


@pytest.fixture
def salient(tmp_path: Path) -> str:
    """One image with two core features and a spurious one, one with a spurious one only."""
    masks = {
        (WNID, 3, "a"): square(0, 0, 40),
        (WNID, 5, "a"): square(100, 100, 40),
        (WNID, 7, "a"): square(200, 0, 24),
        (WNID, 7, "b"): square(8, 8, 16),
        (WNID, 99, "b"): square(0, 0, 224),  # a feature that nobody judged
    }
    archive = write_salient(tmp_path / "salient.zip", masks, {0: WNID})
    answers = {(WNID, 0, 3): votes(0), (WNID, 0, 5): votes(2), (WNID, 0, 7): votes(3)}
    return f"salient-imagenet:{archive}:{write_answers(tmp_path / 'answers.csv', answers)}"


def test_salient_core_is_the_union_of_core_features_by_three_of_five(salient: str) -> None:
    source = open_masks(salient, [])
    assert (source.space, source.kinds, source.ids.tolist()) == (
        "crop",
        ("core", "spurious"),
        [f"{WNID}/a", f"{WNID}/b"],
    )
    core = source.read(f"{WNID}/a", "core")
    np.testing.assert_array_equal(core, (square(0, 0, 40) | square(100, 100, 40)) > 0)
    np.testing.assert_array_equal(source.read(f"{WNID}/a", "spurious"), square(200, 0, 24) > 0)
    np.testing.assert_array_equal(source.read(f"{WNID}/b", "spurious"), square(8, 8, 16) > 0)
    assert source.read(f"{WNID}/b", "core") is None


@pytest.mark.parametrize(("spurious", "kind"), [(0, "core"), (2, "core"), (3, "spurious"), (5, "spurious")])
def test_three_answers_of_five_make_a_feature_spurious(tmp_path: Path, spurious: int, kind: str) -> None:
    archive = write_salient(tmp_path / "s.zip", {(WNID, 1, "a"): square(0, 0, 8)}, {0: WNID})
    answers = write_answers(tmp_path / "a.csv", {(WNID, 0, 1): votes(spurious)})
    source = open_masks(f"salient-imagenet:{archive}:{answers}", [])
    assert [name for name in source.kinds if source.read(f"{WNID}/a", name) is not None] == [kind]


def test_salient_masks_are_used_as_stored_and_not_zoomed(salient: str, tmp_path: Path) -> None:
    images = open_images(images_in(tmp_path / "train", [f"{WNID}/a.JPEG", f"{WNID}/b.JPEG"], (500, 375)))
    aligned = align_masks(open_masks(salient, images.ids.tolist()), images, CROP)
    np.testing.assert_array_equal(aligned.masks["spurious"][1], square(8, 8, 16) > 0)
    zoomed = in_input_space(square(8, 8, 16) > 0, CROP)  # what the authors' loader does with it
    assert not np.array_equal(aligned.masks["spurious"][1], zoomed)
    assert aligned.present["core"].tolist() == [True, False]
    assert (aligned.extra, aligned.without_mask) == (0, 0)


def test_salient_masks_refuse_an_encoder_that_sees_another_part_of_the_image(salient: str, tmp_path: Path) -> None:
    images = open_images(images_in(tmp_path / "train", [f"{WNID}/a.JPEG"]))
    with pytest.raises(InputError, match=r"the middle 224 of 256 pixels.*but the encoder sees 224 of 224"):
        align_masks(open_masks(salient, []), images, Preprocessing(224, (0, 0, 0), (1, 1, 1)))


def test_salient_masks_fit_an_encoder_of_another_resolution_by_nearest_pixels(salient: str, tmp_path: Path) -> None:
    images = open_images(images_in(tmp_path / "train", [f"{WNID}/b.JPEG"]))
    half = Preprocessing(112, (0, 0, 0), (1, 1, 1), resize=128)
    aligned = align_masks(open_masks(salient, []), images, half)
    np.testing.assert_array_equal(aligned.masks["spurious"][0], square(4, 4, 8, 112) > 0)
    assert aligned.extra == 1


def test_a_soft_mask_is_inside_from_one_half(tmp_path: Path) -> None:
    pixels = np.repeat(np.array([127, 128], np.uint8), 112)[None].repeat(224, 0)
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(f"{ROOT}/wordnet_dict.py", repr({0: WNID}))
        archive.writestr(f"{ROOT}/{WNID}/feature_1/a.JPEG", file_of(pixels))  # PNG bytes: no loss at the limit
    answers = write_answers(tmp_path / "a.csv", {(WNID, 0, 1): votes(0)})
    mask = open_masks(f"salient-imagenet:{tmp_path / 's.zip'}:{answers}", []).read(f"{WNID}/a")
    np.testing.assert_array_equal(mask, pixels == 128)


def test_the_dictionary_is_read_as_a_literal_and_never_run(tmp_path: Path) -> None:
    trap = f"__import__('pathlib').Path({str(tmp_path / 'run')!r}).touch() or {{0: {WNID!r}}}"
    archive = write_salient(tmp_path / "s.zip", {(WNID, 1, "a"): square(0, 0, 8)}, {}, dictionary=trap)
    answers = write_answers(tmp_path / "a.csv", {(WNID, 0, 1): votes(0)})
    with pytest.raises(FileFormatError, match="no literal dict"):
        open_masks(f"salient-imagenet:{archive}:{answers}", [])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["../out.JPEG", "/etc/a.JPEG", "a/../../b.JPEG", "..\\b.JPEG", "C:/b.JPEG"])
def test_a_zip_whose_paths_lead_out_is_refused(tmp_path: Path, name: str) -> None:
    masks = {(WNID, 1, "a"): square(0, 0, 8)}
    archive = write_salient(tmp_path / "s.zip", masks, {0: WNID}, extra={name: b""})
    answers = write_answers(tmp_path / "a.csv", {(WNID, 0, 1): votes(0)})
    with pytest.raises(InputError, match="leads out of the archive"):
        open_masks(f"salient-imagenet:{archive}:{answers}", [])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_zip_is_refused(tmp_path: Path, salient: str, share: float) -> None:
    path = Path(salient.split(":")[1])
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(FileFormatError, match="truncated, damaged or no zip"):
        open_masks(salient, [])


def test_a_damaged_member_names_itself(salient: str) -> None:
    path = Path(salient.split(":")[1])
    source = open_masks(salient, [])
    content = path.read_bytes()
    path.write_bytes(content.replace(file_of(square(8, 8, 16), "JPEG")[-60:], bytes(60)))
    with pytest.raises(FileFormatError, match=r"feature_7/b.JPEG is truncated or damaged"):
        source.read(f"{WNID}/b", "spurious")


def test_a_zip_bomb_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", bytes(1 << 20))
    with pytest.raises(InputError, match="1,048,576 bytes, more than the 1,000 allowed"):
        Archive(path).read("big", most=1000)
    content = path.read_bytes()  # a directory that lies about the size
    path.write_bytes(content.replace(struct.pack("<I", 1 << 20), struct.pack("<I", 10)))
    try:
        assert len(Archive(path).read("big", most=1000)) <= 1000
    except FileFormatError as error:
        assert "damaged" in str(error)


def test_a_mask_of_many_pixels_in_few_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("karat.attribution.masks.source._MOST_PIXELS", 100)
    with pytest.raises(InputError, match="20 x 20 pixels, more than the 100 allowed"):
        decode_mask(file_of(square(0, 0, 4, 20)), "m.png")


def test_a_salient_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    archive = write_salient(tmp_path / "s.zip", {(WNID, 1, "a"): square(0, 0, 8, 100)}, {0: WNID})
    answers = write_answers(tmp_path / "a.csv", {(WNID, 0, 1): votes(0)})
    with pytest.raises(InputError, match=r"has 100 x 100 pixels, but those of Salient ImageNet have 224 x 224"):
        open_masks(f"salient-imagenet:{archive}:{answers}", []).read(f"{WNID}/a")


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({(WNID, 0, 1): votes(0)[:4]}, "feature 1 of class 0 has 4 answers, but 5 are needed"),
        ({(WNID, 0, 1): ["who knows"] * 5}, "line 2: the answer is 'who knows'"),
        ({("n00000001", 0, 1): votes(0)}, f"class 0 is {WNID} in .*, but n00000001 among the answers"),
        ({(WNID, "x", 1): votes(0)}, "line 2: no number of a class and a feature"),
    ],
)
def test_answers_of_another_form_are_refused(tmp_path: Path, answers: dict, fault: str) -> None:
    archive = write_salient(tmp_path / "s.zip", {(WNID, 1, "a"): square(0, 0, 8)}, {0: WNID})
    with pytest.raises(FileFormatError, match=fault):
        open_masks(f"salient-imagenet:{archive}:{write_answers(tmp_path / 'a.csv', answers)}", [])


def test_answers_without_their_columns_are_refused(tmp_path: Path) -> None:
    archive = write_salient(tmp_path / "s.zip", {}, {0: WNID})
    (tmp_path / "a.csv").write_text("Answer.main\nmain_object\n")
    with pytest.raises(FileFormatError, match=r"lacks the columns Input.class_index, Input.feature_index"):
        open_masks(f"salient-imagenet:{archive}:{tmp_path / 'a.csv'}", [])


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [("hard-imagenet", "train"), ("hard-imagenet", "val"), ("rival10", "train/entire_object_masks")],
)
def test_wordnet_files_are_matched_by_class_and_name(tmp_path: Path, prefix: str, folder: str) -> None:
    masks = tmp_path / "set" / folder
    masks.mkdir(parents=True)
    (masks / f"{WNID}_{WNID}_17.JPEG").write_bytes(file_of(square(10, 10, 20, 40, value=9)))
    (tmp_path / "set" / "meta").mkdir()
    (tmp_path / "set" / "meta" / "idx_to_wnid.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")  # never opened
    source = open_masks(f"{prefix}:{tmp_path / 'set'}", [])
    assert (source.ids.tolist(), source.kinds, source.space) == ([f"{WNID}/{WNID}_17"], ("core",), "image")
    names = (f"{WNID}/{WNID}_17.JPEG", f"{WNID}_17.JPEG", f"{WNID}_{WNID}_17.JPEG", f"val/{WNID}_17.JPEG")
    assert {source.find(name) for name in names} == {f"{WNID}/{WNID}_17"}
    np.testing.assert_array_equal(source.read(f"{WNID}/{WNID}_17"), square(10, 10, 20, 40) > 0)
    assert source.read(f"{WNID}/{WNID}_17", "spurious") is None


def test_a_published_set_that_is_not_there_says_its_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape("holds no mask {train,test}/entire_object_masks/<wnid>_<image>")):
        open_masks(f"rival10:{tmp_path}", [])


def folder_of(path: Path, masks: dict[str, np.ndarray]) -> Path:
    for name, pixels in masks.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(file_of(pixels))
    return path


def test_a_folder_is_matched_by_path_by_file_name_and_by_prefix(tmp_path: Path) -> None:
    ids = ["x/dog.jpg", "y/cat.jpg", "cat_1.jpg", "z/twin.jpg", "w/twin.jpg"]
    one, other = square(0, 0, 4, 40), square(8, 8, 4, 40)
    names = ["x/dog.png", "cat_mask.png", "cat_2_head.png", "cat_1.png", "twin.png", "stray.png"]
    folder = folder_of(tmp_path / "m", dict(zip(names, [one, one, other, other, one, one], strict=True)))
    source = open_masks(folder, ids)
    assert [source.find(name) for name in ids] == ["x/dog", "y/cat", "cat_1", None, None]
    np.testing.assert_array_equal(source.read("y/cat"), (one | other) > 0)
    np.testing.assert_array_equal(source.read("cat_1"), other > 0)


def test_a_folder_may_hold_core_and_spurious(tmp_path: Path) -> None:
    one, other = square(0, 0, 4, 40), square(8, 8, 4, 40)
    folder = folder_of(tmp_path / "m", {"core/a.png": one, "spurious/a.png": other, "spurious/b.png": other})
    source = open_masks(folder, ["a.jpg", "b.jpg"])
    assert source.kinds == ("core", "spurious")
    np.testing.assert_array_equal(source.read("a", "spurious"), other > 0)
    assert source.read("b", "core") is None


def test_masks_of_0_and_1_are_read_and_others_need_a_threshold(tmp_path: Path) -> None:
    soft = np.array([[0, 127, 128, 255]], np.uint8)
    folder = folder_of(tmp_path / "m", {"a.png": square(0, 0, 2, 4, value=1), "b.png": soft})
    assert open_masks(folder, ["a.jpg"]).read("a").sum() == 4
    with pytest.raises(InputError, match=r"mask b.png has 4 values from 0 to 255.*threshold=0.5"):
        open_masks(folder, ["b.jpg"]).read("b")
    assert open_masks(folder, ["b.jpg"], threshold=0.5).read("b").tolist() == [[False, False, True, True]]
    with pytest.raises(InputError, match="threshold is 0"):
        open_masks(folder, [], threshold=0)


def test_what_is_in_a_folder_is_aligned_and_what_is_missing_or_empty_is_counted(tmp_path: Path) -> None:
    images = open_images(images_in(tmp_path / "i", ["a.png", "b.png", "c.png", "d.png"], (64, 32)))
    drawn = np.zeros((32, 64), np.uint8)
    drawn[8:16, 16:32] = 255
    outside = np.zeros((32, 64), np.uint8)
    outside[:, :8] = 255  # nothing of it is left after the crop
    names = {"a.png": drawn, "b.png": np.zeros_like(drawn), "c.png": outside, "e.png": drawn}
    source = open_masks(folder_of(tmp_path / "m", names), images.ids.tolist())
    told: list[tuple[int, int]] = []
    aligned = align_masks(source, images, WHOLE, progress=lambda *done: told.append(done))
    np.testing.assert_array_equal(aligned.masks["core"][0], drawn[:, 16:48] > 0)
    assert aligned.used("core").tolist() == [True, False, False, False]
    assert (aligned.empty("core"), aligned.without_mask, aligned.extra, len(aligned)) == (2, 1, 1, 4)
    assert told[-1] == (4, 4)


def test_a_mask_goes_through_the_very_resize_and_crop_of_its_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        shape = tuple(rng.integers(20, 200, 2))
        resize = int(rng.integers(16, 60))
        preprocessing = Preprocessing(16, (0, 0, 0), (1, 1, 1), resize=resize)
        mask = np.zeros(shape, bool)
        mask[: int(rng.integers(5, shape[0])), int(rng.integers(0, shape[1] - 5)) :] = True
        image = np.where(mask[..., None], np.uint8(255), np.uint8(0)).repeat(3, 2)
        seen = preprocessing(image)[0].numpy()
        np.testing.assert_array_equal(in_input_space(mask, preprocessing), seen >= 0.5)


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path: Path) -> None:
    images = open_images(images_in(tmp_path / "i", ["a.png"], (64, 32)))
    source = open_masks(folder_of(tmp_path / "m", {"a.png": square(0, 0, 4, 32)}), images.ids.tolist())
    with pytest.raises(InputError, match=r"mask of image a.png in m has 32 x 32 pixels, but the image has 64 x 32"):
        align_masks(source, images, WHOLE)


def test_masks_of_no_image_are_refused_with_names_of_both(tmp_path: Path) -> None:
    images = open_images(images_in(tmp_path / "i", ["a.png"]))
    source = open_masks(folder_of(tmp_path / "m", {"x.png": square(0, 0, 4, 40)}), images.ids.tolist())
    with pytest.raises(
        InputError, match=r"none of the 1 masks of m belongs to any of the 1 images.*named x, images a.png"
    ):
        align_masks(source, images, WHOLE)


@pytest.mark.parametrize(
    ("masks", "fault"),
    [
        ("nowhere", "nowhere is no folder: give a folder of mask images"),
        ("salient-imagenet:a.zip", "names one file, but two are needed"),
        ("salient-imagenet:a.zip:b.csv", "b.csv cannot be read: no such file"),
    ],
)
def test_what_is_no_source_is_refused(masks: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        open_masks(masks, [])


def test_another_type_is_refused_and_a_source_is_returned(tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match="masks is a int"):
        open_masks(7, [])  # type: ignore[arg-type]
    source = open_masks(folder_of(tmp_path / "m", {"a.png": square(0, 0, 4, 40)}), [])
    assert open_masks(source, []) is source


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", [0, 255]), ("L", [0, 255]), ("RGB", [0, 255]), ("RGBA", [0, 255]), ("LA", [0, 255]), ("P", [0, 1])],
)
def test_a_mask_is_decoded_from_any_mode(tmp_path: Path, mode: str, expected: list[int]) -> None:
    if mode == "P":
        image = Image.new("P", (2, 1))
        image.putpalette([0, 0, 0, 200, 10, 10])
        image.putpixel((1, 0), 1)
    else:
        image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert(mode)
    image.save(tmp_path / "m.png")
    assert decode_mask((tmp_path / "m.png").read_bytes(), "m.png").tolist() == [expected]


@pytest.mark.parametrize("content", [b"", b"no image", file_of(square(0, 0, 8))[:60]])
def test_what_is_no_image_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(InputError, match=r"mask m.png cannot be decoded"):
        decode_mask(content, "m.png")


def test_sixteen_bits_are_refused() -> None:
    with pytest.raises(InputError, match="8 bits a pixel are needed"):
        decode_mask(file_of(np.zeros((2, 2), np.uint16)), "m.png")
