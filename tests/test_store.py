"""Reading embeddings of every format, refusing what is broken, and embeddings folders."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from karat.embeddings import Embeddings, Shards
from karat.errors import FileFormatError, InputError, InputTypeError, OutputError, OutputExistsError
from karat.store import EmbeddingsWriter, load, read_column, save

MATRIX = np.arange(35).reshape(7, 5)
NAMES = ["a", "b", "c", "d", "e", "f", "g"]


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """The format's own description: header length, JSON header, data one after the other."""
    names = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "int64": "I64", "int8": "I8"}
    header: dict[str, Any] = {"__metadata__": {"by": "a test"}}
    data = b""
    for name, tensor in tensors.items():
        ends = [len(data), len(data) + tensor.nbytes]
        header[name] = {"dtype": names[tensor.dtype.name], "shape": list(tensor.shape), "data_offsets": ends}
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_torch(path: Path, value: Any) -> None:
    import torch

    torch.save(value, path)


def tensor(array: np.ndarray) -> Any:
    import torch

    return (
        torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        if array.dtype.kind == "V"
        else torch.from_numpy(array)
    )


def vectors(matrix: np.ndarray, size: int | None = -1) -> pa.Array:
    """A column of lists, of fixed size (-1: the matrix') or not (None)."""
    return pa.array(list(matrix), pa.list_(pa.from_numpy_dtype(matrix.dtype), matrix.shape[1] if size == -1 else -1))


def write_parquet(path: Path, matrix: np.ndarray, size: int | None = -1) -> None:
    pq.write_table(pa.table({"vector": vectors(matrix, size)}), path, row_group_size=3)


def write_arrow(path: Path, matrix: np.ndarray, stream: bool = False) -> None:
    table = pa.table({"vector": vectors(matrix)})
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "h.npy": np.save,
    "fortran.npy": lambda path, matrix: np.save(path, np.asfortranarray(matrix)),
    "h.npz": lambda path, matrix: np.savez(path, h=matrix),
    "small.npz": lambda path, matrix: np.savez_compressed(path, h=matrix),
    "h.safetensors": lambda path, matrix: write_safetensors(path, {"h": matrix}),
    "h.pt": lambda path, matrix: write_torch(path, tensor(matrix)),
    "H.PTH": lambda path, matrix: write_torch(path, {"h": tensor(matrix)}),
    "fixed.parquet": write_parquet,
    "list.parquet": lambda path, matrix: write_parquet(path, matrix, None),
    "h.arrow": write_arrow,
    "stream.arrow": lambda path, matrix: write_arrow(path, matrix, stream=True),
    "h.feather": lambda path, matrix: pyarrow.feather.write_feather(
        pa.table({"v": vectors(matrix)}), path, chunksize=3
    ),
    "h.emb": lambda path, matrix: save(Embeddings(matrix), path),
}
TYPES = ["float16", "bfloat16", "float32", "float64", "int64", "int8"]
TABLES = (".parquet", ".arrow", ".feather")


@pytest.mark.parametrize(
    ("name", "dtype"),
    # Arrow has no bfloat16.
    [(name, dtype) for name in WRITERS for dtype in TYPES if dtype != "bfloat16" or not name.endswith(TABLES)],
)
def test_every_format_gives_the_same_matrix(tmp_path: Path, name: str, dtype: str) -> None:
    matrix = MATRIX.astype(dtype)
    WRITERS[name](tmp_path / name, matrix)
    embeddings = load(tmp_path / name)
    assert embeddings.dtype == (np.float64 if name == "h.emb" and dtype.startswith("int") else matrix.dtype)
    assert (embeddings.n, embeddings.d) == (7, 5)
    np.testing.assert_array_equal(embeddings.h[:], matrix)
    np.testing.assert_array_equal(embeddings.h[2:5], matrix[2:5])
    assert embeddings.ids is None
    assert embeddings.labels is None
    assert str(tmp_path) not in json.dumps(embeddings.provenance)


def test_big_endian_numbers_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "h.npy", MATRIX.astype(">f4"))
    np.testing.assert_array_equal(load(tmp_path / "h.npy").h[:], MATRIX)


@pytest.mark.parametrize("name", ["h.npy", "fortran.npy", "h.safetensors"])
def test_the_matrix_is_mapped_and_not_read(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, MATRIX)
    h = load(tmp_path / name).h
    assert isinstance(h, np.memmap)
    assert not h.flags.writeable


def test_a_folder_maps_its_shards_only_while_they_are_read(tmp_path: Path) -> None:
    with EmbeddingsWriter(tmp_path / "h.emb", dim=5, shard_rows=2) as writer:
        writer.append(MATRIX)
    before = len(os.listdir("/proc/self/fd"))
    h = load(tmp_path / "h.emb").h
    assert isinstance(h, Shards)
    assert isinstance(h[2:4], np.memmap)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_large_parquet_is_read_in_any_order(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    pq.write_table(pa.table({"vector": vectors(matrix)}), tmp_path / "h.parquet", row_group_size=2100)
    embeddings = load(tmp_path / "h.parquet")
    for start, block in embeddings.blocks(rows=777):
        np.testing.assert_array_equal(block, matrix[start : start + 777])
    rows = np.random.default_rng(1).permutation(5000)[:300]
    np.testing.assert_array_equal(embeddings[rows].h, matrix[rows])


def test_columns_of_a_table_travel(tmp_path: Path) -> None:
    table = pa.table(
        {
            "row": range(7),
            "id": NAMES,
            "label": pa.array(["x", "y", None, "x", "y", "x", "x"]).dictionary_encode(),
            "embedding": vectors(MATRIX.astype(np.float32)),
            "width": [1, 2, None, 4, 5, 6, 7],
            "sharpness": [0.5, None, 1, 2, 3, 4, 5],
            "image": [b"1", b"2", b"3", b"4", b"5", b"6", b"7"],
            "tags": [["p"], [], ["q"], [], [], [], []],
        }
    )
    pq.write_table(table, tmp_path / "h.parquet")
    pyarrow.feather.write_feather(table, tmp_path / "h.feather")
    for name in ("h.parquet", "h.feather"):
        embeddings = load(tmp_path / name)
        assert embeddings.sample_ids.tolist() == NAMES
        assert embeddings.labels.tolist() == ["x", "y", None, "x", "y", "x", "x"]
        assert list(embeddings.extra) == ["width", "sharpness"]
        assert embeddings.extra["width"].tolist() == [1, 2, None, 4, 5, 6, 7]
        np.testing.assert_array_equal(embeddings.extra["sharpness"], [0.5, np.nan, 1, 2, 3, 4, 5])
        assert embeddings.provenance == {"source": name, "column": "embedding"}


@pytest.mark.parametrize("name", ["h.npz", "h.safetensors", "h.pt", "h.parquet"])
def test_a_key_chooses_and_names_of_a_matrix_are_known(tmp_path: Path, name: str) -> None:
    other, matrix = np.zeros((7, 2)), MATRIX.astype(float)

    def write(**arrays: np.ndarray) -> None:
        if name == "h.npz":
            np.savez(tmp_path / name, **arrays)
        elif name == "h.safetensors":
            write_safetensors(tmp_path / name, arrays)
        elif name == "h.pt":
            write_torch(tmp_path / name, {key: tensor(array) for key, array in arrays.items()})
        else:
            pq.write_table(pa.table({key: vectors(array) for key, array in arrays.items()}), tmp_path / name)

    write(z=other, features=matrix)
    assert load(tmp_path / name).d == 5
    assert load(tmp_path / name, key="z").d == 2
    if name == "h.parquet":
        assert load(tmp_path / name, column="z").d == 2
    with pytest.raises(InputError, match=r"has no 'x'; it has z .*, features "):
        load(tmp_path / name, key="x")
    write(z=other, y=matrix)
    with pytest.raises(InputError, match=r"several matrices, and karat cannot tell which: .*; it has z .*, y "):
        load(tmp_path / name)
    write(h=other, features=matrix)
    with pytest.raises(InputError, match="several matrices"):
        load(tmp_path / name)


@pytest.mark.parametrize("name", ["h.npz", "h.safetensors", "h.pt"])
def test_labels_and_ids_beside_the_matrix_are_picked_up(tmp_path: Path, name: str) -> None:
    columns = {"y": np.arange(7) % 3, "ids": np.arange(7) + 100, "id": np.arange(6), "label": np.zeros((7, 1))}
    arrays = {"h": MATRIX.astype(float), **columns}
    writers = {
        "h.npz": lambda path: np.savez(path, **arrays),
        "h.safetensors": lambda path: write_safetensors(path, arrays),
        "h.pt": lambda path: write_torch(path, {key: tensor(array) for key, array in arrays.items()}),
    }
    writers[name](tmp_path / name)
    embeddings = load(tmp_path / name)
    assert embeddings.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert embeddings.sample_ids.tolist() == [100, 101, 102, 103, 104, 105, 106]


def test_ambiguous_or_pickled_labels_are_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", h=MATRIX, y=np.zeros(7), labels=np.ones(7))
    assert load(tmp_path / "two.npz").labels is None
    np.savez(tmp_path / "pickled.npz", h=MATRIX, y=np.array(NAMES, dtype=object))
    assert load(tmp_path / "pickled.npz").labels is None


def column_file(folder: Path, name: str) -> str:
    """One of the files that labels may be in; each holds 0, 1, 2, 0, 1, 2, 0."""
    values = np.arange(7) % 3
    path = folder / name.partition(":")[0]
    texts = {
        "y.txt": "0\n1\n2\n0\n1\n2\n0\n",
        "windows.txt": "\ufeff0\r\n1\r\n2\r\n0\r\n1\r\n2\r\n0",
        "first.csv": "0,a\n1,b\n2,c\n0,d\n1,e\n2,f\n0,g\n",
        "header.csv": 'file,label\n"a,1",0\nb,1\nc,2\nd,0\ne,1\nf,2\ng,0\n',
        "other.csv:breed": "breed,label\n0,x\n1,x\n2,x\n0,x\n1,x\n2,x\n0,x\n",
    }
    if name in texts:
        path.write_bytes(texts[name].encode())
    elif name.endswith(".npy"):
        np.save(path, values)
    else:
        columns = {"only.parquet": ["k"], "named.parquet": ["k", "label"], "chosen.parquet:c": ["k", "label", "c"]}[
            name
        ]
        pq.write_table(pa.table({column: values if column == columns[-1] else NAMES for column in columns}), path)
    return str(folder / name)


@pytest.mark.parametrize(
    "name",
    [
        *["y.npy", "y.txt", "windows.txt", "first.csv", "header.csv", "other.csv:breed"],
        *["only.parquet", "named.parquet", "chosen.parquet:c"],
    ],
)
def test_labels_come_from_a_file_of_their_own(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "h.npz", h=MATRIX, y=np.full(7, 9))
    labels = load(tmp_path / "h.npz", labels=column_file(tmp_path, name)).labels
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_labels_and_ids_may_be_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "h.npy", MATRIX)
    embeddings = load(tmp_path / "h.npy", labels=[0, 1, 0, 1, 0, 1, 0], ids=NAMES)
    assert embeddings.labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert embeddings.sample_ids.tolist() == NAMES


def test_text_becomes_integers_only_where_nothing_is_lost(tmp_path: Path) -> None:
    for text, expected in (
        ("1\n-2", [1, -2]),
        ("007\n1", ["007", "1"]),
        ("1\n\n2", ["1", "", "2"]),
        ("9" * 20, ["9" * 20]),
    ):
        (tmp_path / "ids.txt").write_text(text)
        assert read_column(tmp_path / "ids.txt", "ids").tolist() == expected


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "labels: .*none.csv does not exist"),
        ("y.json", b"[1]", r"suffix '.json', but one of .npy, .txt, .csv, .parquet is needed"),
        ("latin.txt", "é\n".encode("latin-1"), r"latin.txt is not UTF-8 text \(byte 0\)"),
        ("y.csv:breed", b"file,label\na,1\n", "y.csv has no column 'breed'; it has file, label"),
        ("short.csv", b"a,label\n1,2\n1\n", r"short.csv: row 1 is \['1'\], but 2 columns are needed"),
        ("five.txt", b"0\n1\n2\n3\n4\n", "labels has 5 entries, but there are 7 samples"),
        ("empty.csv", b"", "labels has 0 entries"),
        ("page.npy", b"<html></html>", "a web page"),
    ],
)
def test_labels_that_cannot_be_read_are_refused(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    np.save(tmp_path / "h.npy", MATRIX)
    if content is not None:
        (tmp_path / name.partition(":")[0]).write_bytes(content)
    with pytest.raises(InputError, match=words):
        load(tmp_path / "h.npy", labels=str(tmp_path / name))


def test_labels_that_are_one_of_several_columns_must_be_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "y.parquet")
    with pytest.raises(
        InputError, match=r"2 columns that may be the labels; it has a, b: choose one, y.parquet:COLUMN"
    ):
        read_column(tmp_path / "y.parquet", "labels")
    with pytest.raises(InputError, match="no scalar column 'c'; it has a, b"):
        read_column(f"{tmp_path}/y.parquet:c", "labels")


# ------------------------------------------------------------------ what bad input gets


def cut(name: str, share: float) -> Callable[[Path], None]:
    """The file of a writer above without its end."""

    def write(path: Path) -> None:
        whole = path.with_name(name)
        WRITERS[name](whole, np.arange(5000.0).reshape(-1, 5))
        content = whole.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return write


def as_bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def as_table(**columns: Any) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table(columns), path)


def as_array(array: Any) -> Callable[[Path], None]:
    return lambda path: np.save(path, array, allow_pickle=True)


def as_archive(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


def as_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def as_damaged_archive(path: Path) -> None:
    np.savez(path, h=MATRIX)
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)


class Opaque:
    """Pickled into a .pt, it needs more than weights-only loading."""


def lists(*rows: list[float] | None) -> pa.Array:
    return pa.array(rows, pa.list_(pa.float32()))


BAD: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "missing": ("h.npy", lambda path: None, "h.npy does not exist"),
    "empty": ("h.npy", as_bytes(b""), r"is empty \(0 bytes\)"),
    "empty parquet": ("h.parquet", as_bytes(b""), r"is empty \(0 bytes\)"),
    "unknown suffix": (
        "h.csv",
        as_bytes(b"1,2"),
        r"suffix '.csv', but one of .npy, .npz, .*\.feather or an .emb folder",
    ),
    "no suffix": ("h", as_bytes(b"1,2"), "suffix '', but one of"),
    "web page": ("h.npy", as_bytes(b"<!DOCTYPE html><html>"), "named .npy, but its content is a web page"),
    "text": ("h.safetensors", as_bytes(b"0.1 0.2\n0.3 0.4\n"), "named .safetensors, but its content is text"),
    "LFS pointer": ("h.pt", as_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer"),
    "npz named npy": ("h.npy", cut("h.npz", 1), r"content is a zip archive"),
    "npy named parquet": ("h.parquet", cut("h.npy", 1), r"content is an .npy array"),
    "pickle named npy": ("h.npy", as_bytes(pickle.dumps([1])), "a pickle, which can run code and is never loaded"),
    "noise": ("h.arrow", as_bytes(b"\x01\x02\x03\x04"), "content is something else"),
    "cut npy header": ("h.npy", cut("fortran.npy", 0.001), "truncated or damaged: no .npy header"),
    "cut npy": ("h.npy", cut("fortran.npy", 0.5), "truncated: its header promises 40128 bytes, but it has 20064"),
    "cut npz": ("h.npz", cut("small.npz", 0.5), "truncated or damaged: .*zip"),
    "cut safetensors": ("h.safetensors", lambda path: shorten(path, "h.safetensors"), "truncated or damaged"),
    "cut pt": ("h.pt", cut("H.PTH", 0.5), "truncated or damaged"),
    "cut parquet": ("h.parquet", cut("fixed.parquet", 0.5), "truncated or damaged"),
    "cut arrow": ("h.arrow", cut("stream.arrow", 0.5), "truncated or damaged"),
    "cut arrow file": ("h.feather", cut("h.arrow", 0.5), "truncated or damaged"),
    "damaged npz": ("h.npz", as_damaged_archive, "truncated or damaged"),
    "npy of objects": ("h.npy", as_array(np.array([["a", 1]], dtype=object)), "pickled objects"),
    "npz of objects": ("h.npz", as_archive(h=np.array([["a", 1]], dtype=object)), "h holds pickled objects"),
    "npz of structs of objects": ("h.npz", as_archive(h=np.zeros((2, 2), dtype=[("a", "O")])), "pickled objects"),
    "strings": ("h.npy", as_array(np.array([["a", "b"]])), "h has dtype <U1, but real numbers are needed"),
    "structs": ("h.npy", as_array(np.zeros((2, 2), dtype=[("a", "f4")])), "but real numbers are needed"),
    "complex": ("h.npy", as_array(np.zeros((2, 2), dtype=complex)), "h has dtype complex128"),
    "0-D": ("h.npy", as_array(np.float32(1)), r"h has shape \[\]"),
    "1-D": ("h.npy", as_array(np.zeros(4)), r"h has shape \[4\], but a matrix"),
    "3-D": ("h.npy", as_array(np.zeros((2, 3, 4))), r"h has shape \[2, 3, 4\], but a matrix"),
    "3-D npz": (
        "h.npz",
        as_archive(h=np.zeros((2, 3, 4)), y=np.zeros(2)),
        r"no matrix.*h \[2, 3, 4\] float64, y \[2\] float64",
    ),
    "zero rows": ("h.npy", as_array(np.zeros((0, 4))), r"h has shape \[0, 4\]: at least one sample"),
    "zero columns": ("h.npy", as_array(np.zeros((4, 0))), r"h has shape \[4, 0\]: at least one sample"),
    "zero rows npz": ("h.npz", as_archive(h=np.zeros((0, 4))), r"h has shape \[0, 4\]: at least one sample"),
    "zero rows safetensors": (
        "h.safetensors",
        lambda path: write_safetensors(path, {"h": np.zeros((0, 4))}),
        r"h has shape \[0, 4\]: at least one sample",
    ),
    "zero rows parquet": ("h.parquet", as_table(v=vectors(MATRIX)[:0]), r"h has shape \[0, 5\]: at least one sample"),
    "zip of nothing": ("h.npz", as_zip, "no matrix .*; it has nothing"),
    "safetensors of another type": (
        "h.safetensors",
        lambda path: path.write_bytes(
            with_header({"h": {"dtype": "F8_E4M3", "shape": [2, 2], "data_offsets": [0, 4]}}, 4)
        ),
        "h has the type F8_E4M3, but one of F16, BF16",
    ),
    "pickled pt": ("h.pt", lambda path: write_torch(path, {"h": Opaque()}), "pickled objects, which can run code"),
    "list in pt": (
        "h.pt",
        lambda path: write_torch(path, [tensor(MATRIX)]),
        "holds a list, but a tensor or a dictionary",
    ),
    "3-D pt": ("h.pt", lambda path: write_torch(path, tensor(np.zeros((2, 2, 2)))), r"h has shape \[2, 2, 2\]"),
    "sparse pt": ("h.pt", lambda path: write_torch(path, tensor(np.eye(3)).to_sparse()), "h is sparse or quantised"),
    "wide table": ("h.parquet", as_table(f0=[1.0], f1=[2.0]), "no matrix .*; it has f0 double, f1 double"),
    "two vectors": ("h.parquet", as_table(a=lists([1]), b=lists([2])), "several matrices"),
    "ragged": (
        "h.parquet",
        as_table(v=lists([1, 2], [1, 2], [1], [1, 2], [1, 2, 3])),
        r"'v' these rows are of another length than row 0, which has 2 numbers: 2, 4;",
    ),
    "null rows": ("h.parquet", as_table(v=lists([1, 2], None, [1, 2], None)), "these rows are null: 1, 3;"),
    "null first row": ("h.parquet", as_table(v=lists(None, [1, 2])), "these rows are null: 0;"),
    "holes": ("h.parquet", as_table(v=lists([1, 2], [1, 2], [None, 2])), "these rows are incomplete .*: 2;"),
    "null fixed rows": (
        "h.parquet",
        as_table(v=pa.array([[1, 2], None], pa.list_(pa.float32(), 2))),
        "these rows are null: 1;",
    ),
    "list of strings": ("h.parquet", as_table(v=[["a"], ["b"]]), "no matrix .*; it has v list<"),
    "ids of floats": ("h.parquet", as_table(v=vectors(MATRIX[:2]), id=[0.5, 1.5]), "h.parquet: ids has dtype float64"),
    "null ids": ("h.parquet", as_table(v=vectors(MATRIX[:2]), id=["a", None]), "the id of row 1 is None"),
    "folder": ("h", lambda path: path.mkdir(), "is a directory without manifest.json"),
}


def shorten(path: Path, name: str) -> None:
    WRITERS[name](path, MATRIX)
    path.write_bytes(path.read_bytes()[:-3])


def with_header(header: dict[str, Any], size: int) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize("case", BAD)
def test_a_file_that_cannot_be_used_gets_one_sentence(tmp_path: Path, case: str) -> None:
    name, write, words = BAD[case]
    write(tmp_path / name)
    with pytest.raises(InputError, match=words) as caught:
        load(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_behind_the_first_block_are_checked_when_they_are_read(tmp_path: Path) -> None:
    rows = [[1.0, 2.0]] * 3000 + [None, [1.0], None]
    for name, row in (("null", 3000), ("ragged", 3001)):
        pq.write_table(pa.table({"v": lists(*rows[:3000], rows[row])}), tmp_path / "h.parquet")
        embeddings = load(tmp_path / "h.parquet")
        with pytest.raises(FileFormatError, match=f"{'null' if name == 'null' else 'another length'}.*: 3000;"):
            embeddings.h[:]


def test_damage_behind_the_first_block_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "h.parquet"
    noise = np.random.default_rng(0).normal(size=(6000, 8))
    pq.write_table(pa.table({"v": vectors(noise)}), path, row_group_size=2000, use_dictionary=False)
    content = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(2).column(0).data_page_offset
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)
    embeddings = load(path)
    np.testing.assert_array_equal(embeddings.h[:2000], noise[:2000])
    with pytest.raises(FileFormatError, match=r"h\.parquet is truncated or damaged"):
        embeddings.h[:]


@pytest.mark.parametrize("stream", [False, True])
def test_an_impossible_number_of_values_is_one_sentence(tmp_path: Path, stream: bool) -> None:
    path = tmp_path / "h.arrow"
    with (
        pa.OSFile(str(path), "wb") as file,
        (pa.ipc.new_stream if stream else pa.ipc.new_file)(file, pa.schema({"v": pa.list_(pa.float64(), 2)})) as writer,
    ):
        writer.write_table(pa.table({"v": vectors(np.zeros((1237, 2)))}))
    path.write_bytes(path.read_bytes().replace(struct.pack("<q", 2474), struct.pack("<q", -2474)))
    with pytest.raises(FileFormatError, match=r"h\.arrow is truncated or damaged"):
        load(path)


def test_rows_that_are_promised_and_missing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "h.parquet"
    pq.write_table(pa.table({"v": vectors(np.random.default_rng(0).normal(size=(1237, 3)))}), path)
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    more = content[footer:].replace(b"\xaa\x13", b"\xac\x13")  # 1237 -> 1238 as Thrift writes them
    path.write_bytes(content[:footer] + more)
    embeddings = load(path)
    assert embeddings.n == 1238
    with pytest.raises(FileFormatError, match="it promises 1238 rows, but row 1237 is missing"):
        embeddings.h[:]


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "h.npy"
    np.save(path, MATRIX)
    path.chmod(0)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)  # root may read everything
        with pytest.raises(InputError, match=r"h\.npy cannot be read: permission denied"):
            load(path)
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("name", "choice", "words"),
    [
        ("h.npy", {"key": "h"}, "h.npy has one matrix, so there is nothing that 'h' could choose"),
        ("h.npy", {"column": "h"}, "h.npy has one matrix"),
        ("h.emb", {"key": "h"}, "h.emb has one matrix"),
        ("h.npz", {"column": "h"}, r"column \('h'\) is for Parquet and Arrow, but .*h.npz is neither: pass key"),
        ("h.pt", {"key": "z"}, r"has no 'z'; it has h \[7, 5\] int64"),
        ("fixed.parquet", {"column": "z"}, "has no 'z'; it has vector fixed_size_list"),
        ("fixed.parquet", {"column": "a", "key": "b"}, "select the same thing: give one"),
    ],
)
def test_a_choice_that_does_not_apply_is_refused(tmp_path: Path, name: str, choice: dict[str, str], words: str) -> None:
    WRITERS[name](tmp_path / name, MATRIX)
    with pytest.raises(InputError, match=words):
        load(tmp_path / name, **choice)


def test_a_column_that_is_no_list_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"v": vectors(MATRIX), "k": NAMES}), tmp_path / "h.parquet")
    with pytest.raises(InputError, match="column 'k' is string, but a list of numbers a row is needed"):
        load(tmp_path / "h.parquet", column="k")


# ------------------------------------------------------------------ embeddings folders


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_in_blocks(path: Path, sizes: list[int], **settings: Any) -> None:
    matrix = MATRIX.astype(np.float32)
    with EmbeddingsWriter(path, dim=5, shard_rows=3, **settings) as writer:
        start = 0
        for size in sizes:
            rows = slice(start, start + size)
            columns = {"path": NAMES[rows], "label": np.arange(7)[rows] % 2, "id": NAMES[rows]}
            writer.append(matrix[rows], dict(sorted(columns.items(), reverse=start > 0)))
            start += size


def test_a_folder_gives_back_everything(tmp_path: Path) -> None:
    embeddings = Embeddings(
        MATRIX.astype(np.float16),
        ids=NAMES,
        labels=np.array([0, 1, None, 0, 1, 0, 1], dtype=object),
        extra={"path": [f"{name}.jpg" for name in NAMES], "sharpness": np.linspace(0, 1, 7)},
        provenance={"encoder": "tiny", "preprocessing": {"size": 32}},
    )
    save(embeddings, tmp_path / "h.emb")
    back = load(tmp_path / "h.emb")
    np.testing.assert_array_equal(back.h[:], MATRIX)
    assert back.dtype == np.float16
    assert back.ids.tolist() == NAMES
    assert back.labels.tolist() == [0, 1, None, 0, 1, 0, 1]
    assert {name: values.tolist() for name, values in back.extra.items()} == {
        "path": [f"{name}.jpg" for name in NAMES],
        "sharpness": np.linspace(0, 1, 7).tolist(),
    }
    assert back.provenance == embeddings.provenance


def test_a_folder_is_shards_with_done_marks(tmp_path: Path) -> None:
    write_in_blocks(tmp_path / "h.emb", [7], provenance={"encoder": "tiny"})
    names = [f"part-{number:05d}.{suffix}" for number in range(3) for suffix in ("npy", "parquet")]
    assert sorted(contents(tmp_path / "h.emb")) == sorted([".lock", "manifest.json", *names])
    manifest = json.loads((tmp_path / "h.emb" / "manifest.json").read_text())
    marks = manifest.pop("shards")
    assert manifest == {
        "schema": 1,
        "complete": True,
        "n": 7,
        "d": 5,
        "dtype": "float32",
        "shard_rows": 3,
        "provenance": {"encoder": "tiny"},
    }
    assert [mark["rows"] for mark in marks] == [3, 3, 1]
    import xxhash

    for number, mark in enumerate(marks):
        for suffix in ("npy", "parquet"):
            content = (tmp_path / "h.emb" / f"part-{number:05d}.{suffix}").read_bytes()
            assert mark[suffix] == xxhash.xxh3_128_hexdigest(content)
    table = pq.read_table(tmp_path / "h.emb" / "part-00001.parquet")
    assert table.column_names == ["row", "id", "path", "label"]
    assert table.to_pydict() == {
        "row": [3, 4, 5],
        "id": ["d", "e", "f"],
        "path": ["d", "e", "f"],
        "label": [1, 0, 1],
    }
    np.testing.assert_array_equal(np.load(tmp_path / "h.emb" / "part-00001.npy"), MATRIX[3:6])


@pytest.mark.parametrize("sizes", [[1] * 7, [2, 5], [4, 3]])
def test_equal_work_gives_equal_bytes_whatever_the_blocks(tmp_path: Path, sizes: list[int]) -> None:
    write_in_blocks(tmp_path / "whole.emb", [7])
    write_in_blocks(tmp_path / "blocks.emb", sizes)
    assert contents(tmp_path / "whole.emb") == contents(tmp_path / "blocks.emb")
    np.testing.assert_array_equal(load(tmp_path / "blocks.emb").h[:], MATRIX)


def test_pages_of_columns_do_not_depend_on_the_blocks(tmp_path: Path) -> None:
    h, names = (
        np.zeros((40000, 1), np.float16),
        [f"photos/of/things/in/colour/{row * 7919 % 40009}.jpg" for row in range(40000)],
    )
    for folder, size in (("whole.emb", 40000), ("blocks.emb", 777)):
        with EmbeddingsWriter(tmp_path / folder, dim=1, shard_rows=40000) as writer:
            for start in range(0, 40000, size):
                writer.append(h[start : start + size], {"id": names[start : start + size]})
    assert contents(tmp_path / "whole.emb") == contents(tmp_path / "blocks.emb")


def test_a_folder_without_columns_keeps_its_rows(tmp_path: Path) -> None:
    with EmbeddingsWriter(tmp_path / "h.emb", dim=5) as writer:
        writer.append(MATRIX)
        writer.append(MATRIX)
    embeddings = load(tmp_path / "h.emb")
    assert (embeddings.n, embeddings.ids, embeddings.labels, dict(embeddings.extra)) == (14, None, None, {})


def test_a_buffer_may_be_used_again_after_append(tmp_path: Path) -> None:
    buffer = np.ones((2, 3), np.float32)
    with EmbeddingsWriter(tmp_path / "h.emb", dim=3) as writer:
        writer.append(buffer)
        buffer[:] = 0
    assert load(tmp_path / "h.emb").h[:].min() == 1


def test_finished_shards_survive_an_error_and_are_refused_as_incomplete(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="power"),
        EmbeddingsWriter(tmp_path / "h.emb", dim=5, shard_rows=3) as writer,
    ):
        writer.append(MATRIX)
        raise RuntimeError("power failure")
    manifest = json.loads((tmp_path / "h.emb" / "manifest.json").read_text())
    assert (manifest["complete"], manifest["n"]) == (False, 6)
    np.testing.assert_array_equal(np.load(tmp_path / "h.emb" / "part-00001.npy"), MATRIX[3:6])
    with pytest.raises(FileFormatError, match=r"h.emb is incomplete: .* after 2 shards \(6 rows\)"):
        load(tmp_path / "h.emb")
    with pytest.raises(OutputExistsError):
        save(Embeddings(MATRIX), tmp_path / "h.emb")
    save(Embeddings(MATRIX), tmp_path / "h.emb", overwrite=True)
    assert load(tmp_path / "h.emb").n == 7
    assert len(list((tmp_path / "h.emb").glob("part-*"))) == 2


def test_a_folder_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    save(Embeddings(MATRIX), tmp_path / "h.emb")
    (tmp_path / "h.emb" / "notes.txt").write_text("mine")
    before = contents(tmp_path / "h.emb")
    with (
        pytest.raises(RuntimeError),
        EmbeddingsWriter(tmp_path / "h.emb", dim=5, shard_rows=2, overwrite=True) as writer,
    ):
        writer.append(np.zeros((7, 5)))
        raise RuntimeError
    assert contents(tmp_path / "h.emb") == before
    halved = load(tmp_path / "h.emb")[::2, 1:]
    with EmbeddingsWriter(tmp_path / "h.emb", dim=4, shard_rows=2, overwrite=True) as writer:
        for _, block in load(tmp_path / "h.emb")[:, 1:].blocks(rows=3):  # from the very folder that is replaced
            writer.append(block)
    np.testing.assert_array_equal(load(tmp_path / "h.emb").h[:], MATRIX[:, 1:])
    save(halved, tmp_path / "h.emb", overwrite=True)
    np.testing.assert_array_equal(load(tmp_path / "h.emb").h[:], MATRIX[::2, 1:])
    names = [".lock", "manifest.json", "notes.txt", "part-00000.npy", "part-00000.parquet"]
    assert sorted(contents(tmp_path / "h.emb")) == names


def test_nothing_stays_where_no_shard_was_finished(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows were given"), EmbeddingsWriter(tmp_path / "none.emb", dim=5):
        pass
    with pytest.raises(RuntimeError), EmbeddingsWriter(tmp_path / "early.emb", dim=5) as writer:
        writer.append(MATRIX)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_left_alone(tmp_path: Path) -> None:
    save(Embeddings(MATRIX), tmp_path / "h.emb")
    before = contents(tmp_path / "h.emb")
    with pytest.raises(OutputExistsError, match=r"h.emb exists already"):
        save(Embeddings(MATRIX), tmp_path / "h.emb")
    assert contents(tmp_path / "h.emb") == before
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "part-00000.npy").write_bytes(b"mine")
    (tmp_path / "notes.txt").write_text("mine")
    for name in ("photos", "notes.txt"):
        with pytest.raises(OutputExistsError, match=f"{name} is no embeddings folder, so it was left alone"):
            save(Embeddings(MATRIX), tmp_path / name, overwrite=True)
    assert contents(tmp_path / "photos") == {"part-00000.npy": b"mine"}


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with EmbeddingsWriter(tmp_path / "h.emb", dim=5) as writer:
        writer.append(MATRIX)
        with pytest.raises(OutputError, match="being written by another process"):
            save(Embeddings(np.zeros((2, 2))), tmp_path / "h.emb", overwrite=True)
    np.testing.assert_array_equal(load(tmp_path / "h.emb").h[:], MATRIX)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere/h\.emb could not be written: no such file"):
        save(Embeddings(MATRIX), tmp_path / "nowhere" / "h.emb")


@pytest.mark.parametrize(
    ("h", "columns", "error", "words"),
    [
        (MATRIX[:, :4], {}, InputError, r"h has shape \[7, 4\], but 5 features are needed"),
        (MATRIX * 1e300, {"label": range(7)}, InputError, "beyond the range of float16: choose a wider dtype"),
        (MATRIX, {"id": NAMES[:3]}, InputError, "column 'id' has 3 entries, but there are 7 rows"),
        (MATRIX, {"row": NAMES}, InputError, "there is a column 'row', but row and h are taken"),
        (MATRIX, {"label": [1, "a"] + [2] * 5}, InputTypeError, "column 'label' cannot be stored"),
        (
            MATRIX,
            {"label": NAMES},
            InputError,
            r"\[row int64, label string\], but in earlier rows \[row int64, label int64\]",
        ),
        (MATRIX, {"id": NAMES}, InputError, "names and types must stay the same"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, h: np.ndarray, columns: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words), EmbeddingsWriter(tmp_path / "h.emb", dim=5, dtype="float16") as writer:
        writer.append(MATRIX[:2], {"label": [0, 1]})
        writer.append(h, columns)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"dim": 0}, InputError, "dim is 0"),
        ({"dim": 2, "shard_rows": 0}, InputError, "shard_rows is 0"),
        ({"dim": 2, "dtype": "int8"}, InputError, "dtype is int8, but one of float16, bfloat16, float32, float64"),
        ({"dim": 2, "provenance": {"when": np.float32(1)}}, InputTypeError, "provenance must be plain JSON"),
        ({"dim": 2, "provenance": {"loss": float("nan")}}, InputTypeError, "provenance must be plain JSON"),
    ],
)
def test_settings_of_a_writer_are_checked(
    tmp_path: Path, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        EmbeddingsWriter(tmp_path / "h.emb", **settings)
    assert list(tmp_path.iterdir()) == []


def change(**fields: Any) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return rewrite


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "manifest.json").write_text('{"schema": 1, '), "manifest.json is damaged"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json is damaged"),
        (lambda folder: (folder / "manifest.json").write_text('{"schema": 1, "n": 0}'), "manifest.json is damaged"),
        (change(schema=2), "has schema 2, but this karat reads 1"),
        (change(n=6), "damaged: n is 6, but the shards have 7 rows"),
        (change(d=4), r"part-00000.npy holds \[3, 5\] float32, but the manifest says \[3, 4\] float32"),
        (change(dtype="float16"), "but the manifest says"),
        (change(shards=[{"rows": "x", "npy": "", "parquet": ""}]), "manifest.json is damaged"),
        (change(n=0, shards=[]), "h.emb is truncated or damaged"),
        (lambda folder: (folder / "part-00001.npy").unlink(), "part-00001.npy is missing"),
        (lambda folder: (folder / "part-00001.parquet").unlink(), "part-00001.parquet is missing"),
        (lambda folder: os.truncate(folder / "part-00000.npy", 150), "part-00000.npy is truncated"),
        (lambda folder: os.truncate(folder / "part-00000.parquet", 150), "part-00000.parquet is truncated or damaged"),
        (
            lambda folder: shutil.copy(folder / "part-00002.parquet", folder / "part-00000.parquet"),
            "part-00000.parquet has 1 rows, but the manifest says 3",
        ),
    ],
)
def test_a_folder_is_checked_against_its_manifest(tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    write_in_blocks(tmp_path / "h.emb", [7])
    damage(tmp_path / "h.emb")
    with pytest.raises(InputError, match=words):
        load(tmp_path / "h.emb")


def test_a_manifest_reaches_no_file_outside_its_folder(tmp_path: Path) -> None:
    write_in_blocks(tmp_path / "h.emb", [7])
    mark = {"name": "../secret", "rows": 7, "npy": "", "parquet": ""}
    change(shards=[mark])(tmp_path / "h.emb")
    with pytest.raises(FileFormatError, match=r"manifest.json is damaged"):
        load(tmp_path / "h.emb")


def test_bfloat16_saved_by_numpy_is_recognised(tmp_path: Path) -> None:
    matrix = MATRIX.astype(ml_dtypes.bfloat16)
    buffer = io.BytesIO()
    np.save(buffer, matrix)
    assert np.load(io.BytesIO(buffer.getvalue())).dtype == np.dtype("V2")  # NumPy alone has forgotten what it was
    (tmp_path / "h.npy").write_bytes(buffer.getvalue())
    assert load(tmp_path / "h.npy").dtype == ml_dtypes.bfloat16
