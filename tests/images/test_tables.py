"""Parquet files of image bytes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from karat.errors import FileFormatError, InputError
from karat.images import open_images
from karat.images.tables import ImageColumn

from .pictures import numbered

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def written(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "images.parquet", **options)
    return folder / "images.parquet"


def structs(files: Sequence[bytes | None]) -> pa.Array:
    return pa.array([None if file is None else {"bytes": file, "path": None} for file in files], STRUCT)


@pytest.mark.parametrize("kind", ["binary", "large", "struct"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_every_row_is_its_file(tmp_path: Path, kind: str, compression: str) -> None:
    files = numbered(50)
    types = {"binary": pa.binary(), "large": pa.large_binary()}
    column = structs(files) if kind == "struct" else pa.array(files, types[kind])
    path = written(tmp_path, {"picture": column}, row_group_size=7, compression=compression)
    source = open_images(path)
    assert source.name == "images.parquet"
    assert source.ids.tolist() == source.paths.tolist() == [f"{row:02d}" for row in range(50)]
    assert source.labels is None
    assert [source.encoded(i) for i in range(50)] == files
    assert source.read(30).tolist() == [[[30, 0, 0]]]


@pytest.mark.parametrize("row_group_size", [1, 16, 17, 200])
def test_rows_come_in_any_order(tmp_path: Path, row_group_size: int) -> None:
    files = numbered(100)
    source = open_images(written(tmp_path, {"image": files}, row_group_size=row_group_size))
    for i in np.random.default_rng(0).permutation(100):
        assert source.encoded(i) == files[i]


def test_threads_that_read_at_once_get_their_own_rows(tmp_path: Path) -> None:
    files = numbered(240)
    source = open_images(written(tmp_path, {"image": files}, row_group_size=60))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(source.encoded, [*range(240), *range(239, -1, -1)])) == files + files[::-1]


def test_ids_labels_and_paths_are_taken(tmp_path: Path) -> None:
    columns = {"id": [9, 4, 7], "image": numbered(3), "label": ["cat", None, "dog"], "path": ["a.png", None, "c.png"]}
    source = open_images(written(tmp_path, columns))
    assert source.ids.tolist() == ["9", "4", "7"]
    assert source.paths.tolist() == ["a.png", "", "c.png"]
    assert source.labels is not None
    assert source.labels.tolist() == ["cat", "", "dog"]


@pytest.mark.parametrize(("values", "labels"), [([3, 1], [3, 1]), ([None, None], None), (["3", "1"], ["3", "1"])])
def test_labels_keep_their_type(tmp_path: Path, values: list[Any], labels: list[Any] | None) -> None:
    found = open_images(written(tmp_path, {"image": numbered(2), "y": values})).labels
    assert (None if found is None else found.tolist()) == labels


def test_of_several_columns_of_bytes_the_one_named_image_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, {"thumbnail": [b"x"], "image": structs(numbered(1)), "hash": [b"y"]})
    assert open_images(path).encoded(0) == numbered(1)[0]


def test_row_without_bytes_is_one_bad_image(tmp_path: Path) -> None:
    files = numbered(3)
    for column in (structs([files[0], None, files[2]]), pa.array([files[0], None, files[2]])):
        source = open_images(written(tmp_path, {"image": column}))
        assert source.encoded(2) == files[2]
        with pytest.raises(InputError, match="image 1 cannot be read: its row holds no bytes"):
            source.read(1)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"front": [b"x"], "back": [b"y"]}, r"2 columns of bytes \(front, back\), but none of them is named image"),
        ({"image": pa.array([], pa.binary())}, "has no rows"),
        ({"image": [b"x", b"y"], "id": ["a", "a"]}, "column 'id' holds 1 different values, but 2"),
        ({"image": [b"x", b"y"], "id": ["a", None]}, "row 1 of column 'id' is empty"),
        ({"h": [[1.0, 2.0]]}, "columns h, but one of paths|but one of paths"),
    ],
)
def test_parquet_without_images_is_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_images(written(tmp_path, columns))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([[b"x"], [b"y"]], names=["image", "image"]), tmp_path / "images.parquet")
    with pytest.raises(FileFormatError, match="two columns of one name"):
        open_images(tmp_path / "images.parquet")


def test_damage_costs_only_the_rows_of_its_row_group_and_names_no_folder(tmp_path: Path) -> None:
    files = [np.random.default_rng(row).bytes(500) for row in range(40)]
    path = written(tmp_path, {"image": files}, row_group_size=20, compression="zstd", use_dictionary=False)
    source = open_images(path)
    content = bytearray(path.read_bytes())
    content[200:4000] = bytes(3800)
    path.write_bytes(content)
    for row in (0, 5, 19):
        with pytest.raises(InputError, match=rf"image {row:02d} cannot be read: images\.parquet is damaged") as refusal:
            source.encoded(row)
        assert str(tmp_path) not in str(refusal.value)
    assert source.encoded(25) == files[25]


def test_rows_behind_a_failure_are_refused_not_mixed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = numbered(100)
    source = open_images(written(tmp_path, {"image": files}, row_group_size=50))
    batches = ImageColumn._batches

    def failing(self: ImageColumn, group: int) -> Iterator[pa.Array]:
        whole = batches(self, group)
        yield next(whole)
        if group == 0:
            raise OSError("page is corrupt")
        yield from whole

    monkeypatch.setattr(ImageColumn, "_batches", failing)
    for row in range(100):
        if 16 <= row < 50:
            with pytest.raises(InputError, match=rf"image {row:02d} cannot be read"):
                source.encoded(row)
        else:
            assert source.encoded(row) == files[row]
    assert source.encoded(3) == files[3]


def test_file_that_vanishes_is_named(tmp_path: Path) -> None:
    source = open_images(written(tmp_path, {"image": numbered(1)}))
    (tmp_path / "images.parquet").unlink()
    with pytest.raises(InputError, match=r"image 0 cannot be read: images\.parquet .*No such file") as refusal:
        source.read(0)
    assert str(tmp_path) not in str(refusal.value)


def test_row_group_is_read_forward_not_again_for_each_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_images(written(tmp_path, {"image": numbered(100)}, row_group_size=50))
    opened = []
    batches = ImageColumn._batches
    monkeypatch.setattr(ImageColumn, "_batches", lambda self, group: opened.append(group) or batches(self, group))
    for i in range(0, 100, 3):
        source.read(i)
    assert opened == [0, 1]


MEMORY = """
import resource, sys
from karat.images import open_images
source = open_images(sys.argv[1])
total = sum(len(source.encoded(i)) for i in range(len(source)))
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    peaks = []
    for rows in (200, 4000):
        path = tmp_path / f"{rows}.parquet"
        file = np.random.default_rng(0).bytes(50_000)
        with pq.ParquetWriter(path, pa.schema([("image", pa.binary())]), use_dictionary=False) as writer:
            for _ in range(rows // 100):
                writer.write_table(pa.table({"image": [file] * 100}))
        done = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True)
        total, peak = map(int, done.stdout.split())
        assert total == rows * 50_000
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 40_000  # kilobytes; the larger file has 190 MB more
