"""Lists of image files: text, .csv and Parquet with a column of paths."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from karat.errors import InputError
from karat.images import open_images

from .pictures import BLUE, GREEN, RED, colour, encoded, put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rgb in (("a.png", RED), ("deep/b c.png", GREEN), ("deep/ü.png", BLUE)):
        put(tmp_path / "set" / name, encoded(colour(rgb)))
    return tmp_path / "set"


def first_pixels(path: Path) -> list[list[int]]:
    source = open_images(path)
    return [source.read(i)[0, 0].tolist() for i in range(len(source))]


def test_text_list_names_files_beside_it_in_its_own_order(folder: Path) -> None:
    (folder / "val.txt").write_text("\ufeffdeep/ü.png\r\n\n./a.png\ndeep/b c.png", encoding="utf-8")
    source = open_images(folder / "val.txt")
    assert source.name == "val.txt"
    assert source.ids.tolist() == source.paths.tolist() == ["deep/ü.png", "a.png", "deep/b c.png"]
    assert source.labels is None
    assert first_pixels(folder / "val.txt") == [list(BLUE), list(RED), list(GREEN)]


def test_list_that_leads_out_of_its_folder_has_ids_below_the_folder_that_all_share(folder: Path) -> None:
    put(folder / "lists" / "val.txt", f"../a.png\n{folder}/deep/ü.png\n".encode())
    source = open_images(folder / "lists" / "val.txt")
    assert source.ids.tolist() == ["a.png", "deep/ü.png"]
    assert first_pixels(folder / "lists" / "val.txt") == [list(RED), list(BLUE)]


def test_absolute_paths_in_the_lists_folder_are_made_relative(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder / "val.txt", f"{folder}/a.png\ndeep/ü.png\n".encode())
    assert open_images(folder / "val.txt").ids.tolist() == ["a.png", "deep/ü.png"]
    monkeypatch.chdir(folder)
    assert first_pixels(Path("val.txt")) == [list(RED), list(BLUE)]


def test_csv_gives_paths_ids_and_labels(folder: Path) -> None:
    (folder / "val.csv").write_text('label,file_name,id,size\ncat,"deep/b c.png",x1,3\n,a.png,x2,4\n', encoding="utf-8")
    source = open_images(folder / "val.csv")
    assert source.ids.tolist() == ["x1", "x2"]
    assert source.paths.tolist() == ["deep/b c.png", "a.png"]
    assert source.labels is not None
    assert source.labels.tolist() == ["cat", ""]
    assert first_pixels(folder / "val.csv") == [list(GREEN), list(RED)]


@pytest.mark.parametrize(
    ("written", "labels"),
    [(["3", "12"], [3, 12]), (["3", ""], [3, None]), (["03", "4"], ["03", "4"]), (["3.0", "4"], ["3.0", "4"])],
)
def test_csv_labels_are_numbers_only_where_each_is_written_as_one(
    folder: Path, written: list[str], labels: list[object]
) -> None:
    (folder / "val.csv").write_text(f"path,y\na.png,{written[0]}\ndeep/ü.png,{written[1]}\n", encoding="utf-8")
    found = open_images(folder / "val.csv").labels
    assert found is not None
    assert found.tolist() == labels


def test_column_of_labels_without_any_is_no_labels(folder: Path) -> None:
    (folder / "val.csv").write_text("path,y\na.png,\n", encoding="utf-8")
    assert open_images(folder / "val.csv").labels is None


def test_parquet_of_paths_is_a_list(folder: Path) -> None:
    table = pa.table({"path": ["deep/ü.png", "a.png"], "id": [7, 5], "label": ["3", None], "size": [1, 2]})
    pq.write_table(table, folder / "val.parquet")
    source = open_images(folder / "val.parquet")
    assert source.ids.tolist() == ["7", "5"]
    assert source.labels is not None
    assert source.labels.tolist() == ["3", ""]
    assert first_pixels(folder / "val.parquet") == [list(BLUE), list(RED)]


def test_listed_file_that_is_missing_is_one_bad_image(folder: Path) -> None:
    put(folder / "val.txt", b"a.png\nnowhere.png\n")
    source = open_images(folder / "val.txt")
    assert source.read(0)[0, 0].tolist() == list(RED)
    with pytest.raises(InputError, match=r"image nowhere\.png cannot be read: no such file"):
        source.read(1)


def test_listed_device_is_refused_not_read(folder: Path) -> None:
    put(folder / "val.txt", b"a.png\n/dev/zero\n")
    with pytest.raises(InputError, match="cannot be read: it is no regular file"):
        open_images(folder / "val.txt").read(1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("val.txt", b"\n \n", "names no image"),
        ("val.txt", b"a.png\n./a.png\n", r"holds 1 different values, but 2 are needed.*'a\.png' is there 2 times"),
        ("val.txt", b"\xff\xfe", "is not UTF-8 text"),
        ("val.csv", b"", r"columns \(none\), but one of paths"),
        ("val.csv", b"name,label\na.png,1\n", "columns name, label, but one of paths"),
        ("val.csv", b"path,label\n", "names no image"),
        ("val.csv", b"path,label\na.png\n", "row 0 has 1 values, but there are 2 columns"),
        ("val.csv", b"path,label\na,b.png,1\n", "row 0 has 3 values"),
        ("val.csv", b"path,label\n,1\n", "row 0 of column 'path' is empty"),
        ("val.csv", b"path,path\na.png,b.png\n", "two columns of one name"),
        ("val.csv", b'path,label\n"a.png,1\n', "cannot be read as comma-separated values"),
        ("val.csv", b"path\n\xff.png\n", "cannot be read as comma-separated values"),
        ("val.csv", b"path,id\na.png,x\ndeep/b c.png,x\n", "column 'id' holds 1 different values"),
        ("val.csv", b"path,id\na.png,\n", "row 0 of column 'id' is empty"),
        ("val.parquet", b"PAR1 and no more", "is truncated or damaged"),
        ("val.parquet", b"<html></html>", "its content is a web page"),
        ("val.parquet", b"", "is empty"),
    ],
)
def test_list_that_is_none_is_refused(folder: Path, name: str, content: bytes, message: str) -> None:
    put(folder / name, content)
    with pytest.raises(InputError, match=message):
        open_images(folder / name)
