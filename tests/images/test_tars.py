"""WebDataset tars."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karat.errors import FileFormatError, InputError
from karat.images import open_images
from karat.images.shards import expand_braces

from .pictures import numbered


def tar_of(
    path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]], *, format: int = tarfile.PAX_FORMAT
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name) if isinstance(name, str) else name
            if member.isreg():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def labels_of(source: object) -> list[object] | None:
    labels = getattr(source, "labels")  # noqa: B009
    return None if labels is None else labels.tolist()


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_every_sample_is_its_members(tmp_path: Path, format: int) -> None:
    files = numbered(5)
    members = [
        (f"./some/deep.er/folder/{i:03d}.{kind}", content)
        for i, file in enumerate(files)
        for kind, content in (("png", file), ("cls", str(i % 2).encode()))
    ]
    tar_of(tmp_path / "train.tar", members, format=format)
    source = open_images(f"wds:{tmp_path}/train.tar")
    assert source.name == "train.tar"
    assert source.ids.tolist() == [f"some/deep.er/folder/{i:03d}" for i in range(5)]
    assert source.paths.tolist() == [f"train.tar/some/deep.er/folder/{i:03d}.png" for i in range(5)]
    assert labels_of(source) == [0, 1, 0, 1, 0]
    assert [source.encoded(i) for i in range(5)] == files
    assert source.read(3).tolist() == [[[3, 0, 0]]]


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_unicode_names_are_ids(tmp_path: Path, format: int) -> None:
    names = ["x" * 300, "ü 猫\nnew line", "y/" * 100 + "z"]
    tar_of(tmp_path / "a.tar", [(f"{name}.jpg", name.encode()) for name in names], format=format)
    source = open_images(f"wds:{tmp_path}/a.tar")
    assert source.ids.tolist() == names
    assert [source.encoded(i).decode() for i in range(3)] == names


@pytest.mark.parametrize(
    ("members", "labels"),
    [
        ({"a.jpg": b"", "a.cls": b" cat\n", "b.jpg": b"", "b.cls": b"dog"}, ["cat", "dog"]),
        ({"a.jpg": b"", "b.jpg": b"", "b.cls": b"dog"}, ["", "dog"]),
        ({"a.jpg": b"", "a.json": b'{"label": 3, "caption": "x"}', "b.jpg": b"", "b.json": b'{"cls": 4}'}, [3, 4]),
        ({"a.jpg": b"", "a.json": b"7", "b.jpg": b"", "b.json": b'{"caption": "x"}'}, [7, None]),
        ({"a.jpg": b"", "a.json": b'{"label": 1}', "a.cls": b"2"}, [2]),
        ({"a.jpg": b"", "a.json": b'{"label": 1}', "a.cls": b" "}, [1]),
        ({"a.jpg": b"", "a.json": b'{"caption": "x"}', "a.txt": b"5"}, None),
        ({"a.jpg": b"", "a.cls": b"007"}, ["007"]),
    ],
)
def test_labels_are_what_cls_or_json_says(
    tmp_path: Path, members: dict[str, bytes], labels: list[object] | None
) -> None:
    tar_of(tmp_path / "a.tar", members.items())
    assert labels_of(open_images(f"wds:{tmp_path}/a.tar")) == labels


def test_samples_without_an_image_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    members = {
        "README": b"",
        ".hidden.png": b"",
        "a.txt": b"",
        "b.png": b"b",
        "b.txt": b"",
        "._b.png": b"",
        "c.cls": b"1",
    }
    tar_of(tmp_path / "a.tar", members.items())
    assert open_images(f"wds:{tmp_path}/a.tar").ids.tolist() == ["b"]


def test_of_several_images_the_plainly_named_one_is_taken(tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar", {"a.seg.png": b"mask", "a.jpg": b"image", "b.input.JPG": b"only"}.items())
    source = open_images(f"wds:{tmp_path}/a.tar")
    assert [source.encoded(i) for i in range(2)] == [b"image", b"only"]
    tar_of(tmp_path / "b.tar", {"a.left.png": b"", "a.right.png": b""}.items())
    with pytest.raises(InputError, match=r"b\.tar: sample 'a' has 2 images \(a\.left\.png, a\.right\.png\)"):
        open_images(f"wds:{tmp_path}/b.tar")


def test_shards_come_in_the_patterns_order_and_globs_sorted(tmp_path: Path) -> None:
    for number in range(9, 12):
        tar_of(tmp_path / f"t-{number:04d}.tar", [(f"{number}.png", str(number).encode())])
    braces = open_images(f"wds:{tmp_path}/t-{{0009..0011}}.tar")
    assert braces.ids.tolist() == ["9", "10", "11"]
    assert [braces.encoded(i) for i in range(3)] == [b"9", b"10", b"11"]
    assert braces.name == "t-{0009..0011}.tar"
    assert open_images(f"wds:{tmp_path}/t-*.tar").ids.tolist() == ["9", "10", "11"]
    assert open_images(f"wds:{tmp_path}/t-00{{11,09,11}}.tar").ids.tolist() == ["11", "9"]


def test_keys_that_repeat_get_their_shards_name(tmp_path: Path) -> None:
    for shard, name in itertools.product(("a/0.tar", "b/0.tar"), ("x", "y")):
        if name == "x":
            tar_of(tmp_path / shard, [("x.png", shard.encode()), ("y.png", b"")])
    source = open_images(f"wds:{tmp_path}/{{a,b}}/0.tar")
    assert source.ids.tolist() == ["a/0/x", "a/0/y", "b/0/x", "b/0/y"]
    assert source.encoded(2) == b"b/0.tar"
    tar_of(tmp_path / "c.tar", [("x.png", b""), ("y.png", b""), ("x.png", b"")])
    with pytest.raises(InputError, match=r"c\.tar holds 2 different values, but 3 are needed.*'c/x' is there 2 times"):
        open_images(f"wds:{tmp_path}/c.tar")


def test_tar_whose_name_looks_like_a_pattern_is_opened(tmp_path: Path) -> None:
    tar_of(tmp_path / "a[1]{2,3}.tar", [("x.png", b"")])
    assert open_images(f"wds:{tmp_path}/a[1]{{2,3}}.tar").ids.tolist() == ["x"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_what_is_no_regular_file_is_a_bad_image_and_never_followed(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    link = special("link.png", kind, f"{tmp_path}/secret.png")
    tar_of(tmp_path / "a.tar", [("a.png", b"a"), (link, b""), ("b.png", b"b")])
    source = open_images(f"wds:{tmp_path}/a.tar")
    assert source.ids.tolist() == ["a", "link", "b"]
    assert source.encoded(2) == b"b"
    with pytest.raises(InputError, match="image link cannot be read: it is no regular file in its tar"):
        source.encoded(1)


def test_a_label_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    members = [("secret", b"secret"), ("a.png", b""), (special("a.cls", tarfile.LNKTYPE, "secret"), b"")]
    tar_of(tmp_path / "a.tar", members)
    assert open_images(f"wds:{tmp_path}/a.tar").labels is None


@pytest.mark.parametrize("name", ["/etc/passwd.png", "../a.png", "a/../../b.png", "./../c.png"])
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    tar_of(tmp_path / "a.tar", [("a.png", b""), (name, b"")])
    with pytest.raises(InputError, match=r"a\.tar holds .*, whose name leads out of the archive"):
        open_images(f"wds:{tmp_path}/a.tar")


def test_opening_writes_nothing(tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar", [("a.png", numbered(1)[0])])
    open_images(f"wds:{tmp_path}/a.tar").read(0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_tar_that_is_cut_anywhere_is_an_error_that_names_it(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "whole.tar", [("a.png", b"a" * 700), ("b.png", b"b" * 700), ("b.cls", b"1")]).read_bytes()
    members = 2 * (512 + 1024) + 1024  # headers and content in blocks of 512 bytes; zeros follow
    for end in [0, 1, 511, 512, 513, 1200, 1535, 1536, 2047, 2048, 3000, members - 511, members - 1, members]:
        (tmp_path / "cut.tar").write_bytes(whole[:end])
        with pytest.raises(FileFormatError, match=r"cut\.tar is truncated, damaged or no tar"):
            open_images(f"wds:{tmp_path}/cut.tar")
    (tmp_path / "cut.tar").write_bytes(whole[: members + 512])
    assert open_images(f"wds:{tmp_path}/cut.tar").ids.tolist() == ["a", "b"]


def test_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", [("a.png", b"a"), ("b.png", b"b")])
    content = bytearray(path.read_bytes())
    content[1024 + 148 : 1024 + 156] = b"9999999\0"  # the checksum of the second header
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="a header within it is invalid"):
        open_images(f"wds:{path}")


@pytest.mark.timeout(20)
def test_member_of_negative_size_does_not_send_the_reader_round_for_ever(tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar", [("a.png", b"a"), ("b.png", b"b")])
    member = tarfile.TarInfo("c.png")
    member.size = -1536  # back to the header of b.png
    content = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(content[:2048] + member.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(FileFormatError, match=r"a\.tar is truncated, damaged or no tar"):
        open_images(f"wds:{tmp_path}/a.tar")


def test_tars_put_together_by_cat_are_refused_not_cut_short(tmp_path: Path) -> None:
    one = tar_of(tmp_path / "a.tar", [("a.png", b"")]).read_bytes()
    (tmp_path / "both.tar").write_bytes(one + one)
    with pytest.raises(FileFormatError, match="data follow its end"):
        open_images(f"wds:{tmp_path}/both.tar")


@given(start=st.integers(0, 5000), noise=st.binary(min_size=1, max_size=600))
def test_noise_in_a_tar_gives_an_error_or_whole_samples(
    tmp_path_factory: pytest.TempPathFactory, start: int, noise: bytes
) -> None:
    path = tmp_path_factory.mktemp("noise") / "a.tar"
    tar_of(path, [("a.png", b"a"), ("a.cls", b"1"), ("b.png", b"b" * 600), ("b.json", b'{"label": 2}')])
    content = bytearray(path.read_bytes())
    content[start : start + len(noise)] = noise
    path.write_bytes(content)
    try:
        source = open_images(f"wds:{path}")
    except InputError:
        return
    for i in range(len(source)):
        try:
            source.encoded(i)
        except InputError:
            continue


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is truncated, damaged or no tar: empty file"),
        (b"<html>" * 200, "is truncated, damaged or no tar"),
        (gzip.compress(b"x" * 5000), r"is compressed \(gzip\).*decompress it first"),
        (bytes(10240), "holds no image"),
    ],
    ids=["empty", "web page", "gzip", "no members"],
)
def test_file_that_is_no_tar_of_images_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.tar {message}"):
        open_images(f"wds:{tmp_path}/a.tar")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.json": b"{", "a.png": b""}, r"a\.tar: a\.json cannot be read as a label"),
        ({"a.json": b"[" * 100_000, "a.png": b""}, r"a\.json cannot be read as a label"),
        ({"a.cls": b"\xff", "a.png": b""}, r"a\.cls cannot be read as a label"),
        ({"a.cls": b"1" * (1 << 21), "a.png": b""}, "2,097,152 bytes, too many for a label"),
    ],
)
def test_label_that_is_none_is_named(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    tar_of(tmp_path / "a.tar", members.items())
    with pytest.raises(FileFormatError, match=message):
        open_images(f"wds:{tmp_path}/a.tar")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("nowhere.tar", r"nowhere\.tar does not exist"),
        ("{0..3}.tar", r"0\.tar does not exist"),
        ("*.tar", "nothing matches wds:"),
        ("", "is a folder, but a tar is needed"),
        ("pipe:touch gone", "is no local file"),
        ("http://x/y.tar", "is no local file"),
    ],
)
def test_pattern_that_names_no_tar_is_refused(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_images(f"wds:{pattern}" if ":" in pattern else f"wds:{tmp_path}/{pattern}")
    assert list(tmp_path.iterdir()) == []


def test_tar_that_became_shorter_is_a_bad_image(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", [("a.png", b"x" * 5000)])
    source = open_images(f"wds:{path}")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="image a cannot be read: its tar has become shorter"):
        source.encoded(0)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a", ["a"]),
        ("{b,a}{1..3}", ["b1", "b2", "b3", "a1", "a2", "a3"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a}{}", ["{a}{}"]),
        ("{x,}", ["x", ""]),
    ],
)
def test_braces_expand_as_in_bash(pattern: str, names: list[str]) -> None:
    assert list(expand_braces(pattern)) == names


def test_json_of_image_data_sets_made_by_img2dataset_is_no_label(tmp_path: Path) -> None:
    described = {"caption": "a cat", "url": "https://x", "key": "00000", "status": "success", "width": 3}
    tar_of(tmp_path / "00000.tar", [("00000.jpg", b"x"), ("00000.json", json.dumps(described).encode())])
    assert open_images(f"wds:{tmp_path}/00000.tar").labels is None
