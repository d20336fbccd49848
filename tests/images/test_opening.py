"""What open_images takes; what every source promises: pickling, threads, processes, digests."""

from __future__ import annotations

import dataclasses
import io
import multiprocessing
import os
import pickle
import re
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from karat.errors import InputError, InputTypeError
from karat.images import ImageSource, open_images

from .pictures import RED, archive_of, colour, encoded, numbered, put


def test_open_source_is_returned_as_it_is() -> None:
    source = open_images(np.zeros((1, 1, 1, 3), np.uint8))
    assert open_images(source) is source


def test_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist"):
        open_images(tmp_path / "nowhere")


def test_single_image_file_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "one.png", encoded(colour(RED)))
    with pytest.raises(InputError, match=r"neither a folder nor an \.npz"):
        open_images(tmp_path / "one.png")


def test_other_types_are_refused() -> None:
    with pytest.raises(InputTypeError, match="images is a list"):
        open_images([1, 2])  # type: ignore[arg-type]


# what every source promises


def make_tar(path: Path, files: list[bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for number, file in enumerate(files):
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(file)
            tar.addfile(member, io.BytesIO(file))


def every_kind(folder: Path, files: list[bytes]) -> dict[str, str]:
    """The same encoded images in every kind of source that needs no optional library: kind -> what names it."""
    for number, file in enumerate(files):
        put(folder / "files" / f"{number}.png", file)
    put(folder / "files" / "list.txt", "".join(f"{number}.png\n" for number in range(len(files))).encode())
    np.savez(folder / "archive.npz", **archive_of(files))
    pq.write_table(pa.table({"image": files}), folder / "table.parquet", row_group_size=7)
    make_tar(folder / "shard.tar", files)
    paths = ("files", "files/list.txt", "archive.npz", "table.parquet", "shard.tar")
    return {path: f"{'wds:' if path.endswith('.tar') else ''}{folder / path}" for path in paths}


KINDS = ("files", "files/list.txt", "archive.npz", "table.parquet", "shard.tar")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return every_kind(tmp_path_factory.mktemp("kinds"), numbered(10))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_files(kinds: dict[str, str], kind: str) -> None:
    source = open_images(kinds[kind])
    assert [source.encoded(i) for i in range(10)] == numbered(10)
    assert source.labels is None
    assert len(set(source.ids.tolist())) == len(source) == 10
    assert [source.encoded(i) for i in np.arange(10)[::-1]] == numbered(10)[::-1]


@pytest.mark.parametrize("kind", KINDS)
def test_sources_are_pickled_without_their_images(kinds: dict[str, str], kind: str) -> None:
    source = open_images(kinds[kind])
    source.read(4)
    copy = pickle.loads(pickle.dumps(source))
    assert [copy.encoded(i) for i in range(10)] == numbered(10)
    assert copy.ids.tolist() == source.ids.tolist()
    assert copy.digest == source.digest


def read_some(source: ImageSource) -> list[int]:
    return [int(source.read(i)[0, 0, 0]) for i in range(len(source))]


def test_forked_processes_and_threads_read_at_once(kinds: dict[str, str]) -> None:
    sources = [open_images(name) for name in kinds.values()]
    for source in sources:
        source.read(5)  # whatever is opened lazily is open before the fork
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool, ThreadPoolExecutor(4) as threads:
        pending = pool.map_async(read_some, sources * 4)
        here = list(threads.map(read_some, sources * 4))
        assert pending.get(60) == here == [list(range(10))] * 20


def test_spawned_process_reads(kinds: dict[str, str]) -> None:
    sources = [open_images(name) for name in kinds.values()]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(read_some, sources) == [list(range(10))] * len(sources)


@pytest.mark.parametrize("kind", KINDS)
def test_digest_is_that_of_the_images_wherever_and_whenever_they_lie(tmp_path: Path, kind: str) -> None:
    first = open_images(every_kind(tmp_path / "a", numbered(10))[kind]).digest
    other = every_kind(tmp_path / "b" / "deeper", numbered(10))[kind]
    for file in (tmp_path / "b").rglob("*"):
        os.utime(file, (1, 1))
    assert open_images(other).digest == first
    assert re.fullmatch("[0-9a-f]{32}", first)


@pytest.mark.parametrize("kind", KINDS)
def test_digest_tells_other_images_apart(tmp_path: Path, kind: str) -> None:
    longer = [*numbered(9), numbered(1)[0] + b" "]
    sets = {"same": numbered(10), "fewer": numbered(9), "longer": longer}
    assert len({open_images(every_kind(tmp_path / name, files)[kind]).digest for name, files in sets.items()}) == 3


def test_digest_tells_ids_labels_and_pixels_apart() -> None:
    pixels = np.zeros((3, 2, 2, 3), np.uint8)
    source = open_images(pixels)
    other = pixels.copy()
    other[2, 1, 1, 2] = 1
    named = dataclasses.replace(source, ids=np.array(["a", "b", "c"]))
    labelled = [dataclasses.replace(source, labels=np.array(labels)) for labels in ([1, 2, 3], [1, 2, 4])]
    reshaped = open_images(pixels.reshape(3, 1, 4, 3))
    digests = {each.digest for each in (source, open_images(other), named, *labelled, reshaped)}
    assert len(digests) == 6


def test_digest_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = every_kind(tmp_path, [b"no image", b"none either"])
    monkeypatch.setattr("karat.images.source.decode", lambda *_: pytest.fail("decoded"))
    assert all(open_images(name).digest for name in names.values())


# names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvison:CIFAR10:data", r"torchvison: is no kind of source \(did you mean torchvision:\?\)"),
        ("Torchvision:CIFAR10:data", "did you mean torchvision:"),
        ("wbds:data/*.tar", r"did you mean wds:\?"),
        ("HF:some/set", r"did you mean hf:\?"),
        ("s3://bucket/images", "did you mean hf: or torchvision: or wds:"),
        ("nowhere/at/all", r"nowhere/at/all does not exist: give a folder of images, an \.npz"),
        ("no:where", "does not exist"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_images(name)


def test_folder_with_a_colon_in_its_name_is_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "a:b" / "x.png", numbered(1)[0])
    assert len(open_images(tmp_path / "a:b")) == 1


def test_tar_without_its_prefix_is_explained(tmp_path: Path) -> None:
    make_tar(tmp_path / "a.tar", numbered(1))
    with pytest.raises(InputError, match=r"a tar is wds:.*a\.tar"):
        open_images(tmp_path / "a.tar")
