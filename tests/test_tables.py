"""Tables on disk: one row a sample, the record in the metadata."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from karat.errors import FileFormatError, InputError, OutputError
from karat.records import ProbeResult, Scores, tables
from karat.records.tables import Columns, TableWriter, open_table, read_record, to_arrow, to_numpy, write_table
from tests.test_records import PROBE, SCORES

NAN = math.nan
TABLE: dict[str, np.ndarray] = {
    "id": np.array(["a", "bb", "", "é✓", "0"]),
    "number": np.array([3, -1, 2**62, 0, 5]),
    "real": np.array([0.1, NAN, -0.0, 1e-320, np.inf]),
    "half": np.array([0.5, NAN, 1, 2, 3], np.float16),
    "single": np.array([0.1, NAN, 1, 2, 3], np.float32),
    "flag": np.array([True, False, True, True, False]),
    "logits": np.arange(10, dtype=np.float32).reshape(5, 2) / 3,
    "a.b": np.array([1, 2, 3, 4, 5]),
    "q [score]": np.array([1.0, 2, 3, 4, 5]),
}
RECORD = replace(SCORES, columns=TABLE)


def bits(values: np.ndarray) -> bytes:
    """All NaN alike."""
    return np.where(values == values, values, np.array(NAN if values.dtype.kind == "f" else 0, values.dtype)).tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_table(tmp_path / "scores.parquet", RECORD)
    return tmp_path / "scores.parquet"


@pytest.mark.parametrize("name", TABLE)
def test_a_column_comes_back_to_the_last_bit(path: Path, name: str) -> None:
    column = Columns(path)[name]
    assert column.dtype.kind == TABLE[name].dtype.kind
    assert column.shape == TABLE[name].shape
    if column.dtype.kind == "U":
        assert column.tolist() == TABLE[name].tolist()
    else:
        assert bits(column) == bits(TABLE[name].astype(column.dtype))
        assert column.dtype == TABLE[name].dtype


def test_nan_is_null_on_disk_and_null_is_nan_in_memory(path: Path) -> None:
    table = pq.read_table(path)
    assert table.column("real").null_count == table.column("half").null_count == 1
    assert table.column("real").to_pylist()[1] is None
    assert np.isnan(Columns(path)["real"]).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("values", "back"),
    [
        (np.array(["a", None, "b"], object), ["a", None, "b"]),
        (np.array([1, None, 3], object), [1, None, 3]),
        (np.array([1, 2.5, None], object), [1, 2.5, None]),
        (np.array([True, None, False], object), [True, None, False]),
        (np.array([None, None], object), [None, None]),
        (np.array(["a", "b"], np.dtypes.StringDType()), ["a", "b"]),
    ],
)
def test_missing_labels_stay_missing(values: np.ndarray, back: list[Any]) -> None:
    column = to_numpy(pa.chunked_array([to_arrow(values, "label")]))
    assert [None if value is None or value != value else value for value in column.tolist()] == back


def test_a_column_is_read_when_it_is_asked_for_and_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    read = pq.ParquetFile.read

    def counted(file: pq.ParquetFile, *, columns: list[str]) -> pa.Table:
        asked.append(columns)
        return read(file, columns=columns)

    monkeypatch.setattr(tables.pq.ParquetFile, "read", counted)
    columns = Columns(path)
    assert list(columns) == list(TABLE) and len(columns) == len(TABLE) and "real" in columns
    assert asked == []
    assert columns["real"] is columns["real"]
    assert columns["id"].tolist() == TABLE["id"].tolist()
    assert asked == [["real"], ["id"]]
    with pytest.raises(KeyError):
        columns["absent"]


def test_logits_are_a_list_of_fixed_size(path: Path) -> None:
    kind = pq.read_schema(path).field("logits").type
    assert pa.types.is_fixed_size_list(kind) and kind.list_size == 2
    assert kind.value_type == pa.float32()


def test_logits_in_several_row_groups_come_back_in_order(tmp_path: Path) -> None:
    logits = np.arange(14, dtype=np.float32).reshape(7, 2)
    with TableWriter(tmp_path / "a.parquet") as writer:
        for rows in (slice(0, 3), slice(3, 4), slice(4, 7)):
            writer.append({"logits": logits[rows]})
        writer.finish(PROBE)
    np.testing.assert_array_equal(Columns(tmp_path / "a.parquet")["logits"], logits)


def test_the_record_is_in_the_metadata_and_the_table_its_columns(path: Path) -> None:
    record = read_record(path)
    assert isinstance(record, Scores) and record == RECORD
    np.testing.assert_array_equal(record.columns["real"], TABLE["real"])
    text = pq.read_metadata(path).metadata[b"karat"]
    assert json.loads(text)["kind"] == "scores"
    assert b"NaN" not in text


def test_a_probe_is_read_as_a_probe(tmp_path: Path) -> None:
    write_table(tmp_path / "probe.parquet", PROBE)
    probe = read_record(tmp_path / "probe.parquet")
    assert isinstance(probe, ProbeResult) and probe == PROBE
    np.testing.assert_array_equal(probe.logits, PROBE.logits)
    np.testing.assert_array_equal(probe.correct, PROBE.correct)


def test_equal_work_gives_equal_bytes(path: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "again.parquet", RECORD)
    content = path.read_bytes()
    assert (tmp_path / "again.parquet").read_bytes() == content
    assert str(tmp_path).encode() not in content
    write_table(tmp_path / "again.parquet", replace(RECORD, epsilon=1.25))
    assert (tmp_path / "again.parquet").read_bytes() != content


def test_each_append_is_a_row_group_and_the_first_decides_the_types(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "a.parquet") as writer:
        writer.append({"x": np.array([1.5, NAN])})
        writer.append({"x": np.array([2])})
        writer.finish(SCORES)
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [2, 1]
    assert str(Columns(tmp_path / "a.parquet")["x"].tolist()) == "[1.5, nan, 2.0]"


@pytest.mark.parametrize(
    "labels",
    [
        np.array([None, None, "dog"], object),
        np.array([None, NAN, 7], object),
        np.array([1, 2, 2.5], object),
    ],
    ids=["text late", "number late", "fraction late"],
)
def test_a_column_has_the_type_of_all_its_values_wherever_they_begin(tmp_path: Path, labels: np.ndarray) -> None:
    with TableWriter(tmp_path / "a.parquet", whole={"label": labels}) as writer:
        for row in range(3):
            writer.append({"label": labels[row : row + 1]})
        writer.finish(SCORES)
    back = Columns(tmp_path / "a.parquet")["label"].tolist()
    assert [None if value is None or value != value else value for value in back] == [
        None if value is None or value != value else value for value in labels
    ]


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, "a"], object),
        np.array([1 + 2j, 0]),
        np.array([{"a": 1}, 5], object),
        np.array([2**70, 1], object),
        np.array(["a", "\udc80"]),
        np.array([object(), object()]),
    ],
    ids=["mixed", "complex", "dict and number", "huge", "surrogate", "objects"],
)
def test_a_column_that_no_table_can_hold_is_refused_by_name(tmp_path: Path, values: np.ndarray) -> None:
    with (
        pytest.raises(InputError, match="the column 'kind' holds values that no table can hold"),
        TableWriter(tmp_path / "a.parquet", whole={"kind": values}) as writer,
    ):
        writer.append({"kind": values})
    assert list(tmp_path.iterdir()) == []


def test_types_are_checked_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="column 'kind'"):
        TableWriter(tmp_path / "a.parquet", whole={"kind": np.array([1, "a"], object)})
    with pytest.raises(InputError, match="column 'kind'"):
        TableWriter(tmp_path / "a.parquet", whole={"kind": np.array([1j])})


def test_a_table_appears_whole_or_not_at_all(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), TableWriter(path) as writer:
        writer.append({"id": np.arange(3)})
        raise ZeroDivisionError
    with pytest.raises(InputError, match="without rows"), TableWriter(path) as writer:
        writer.finish(SCORES)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["scores.parquet"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    for method in ("write_table", "close", "add_key_value_metadata"):
        with monkeypatch.context() as patch:
            patch.setattr(pq.ParquetWriter, method, full)
            with pytest.raises(OutputError, match=r"scores\.parquet could not be written: the disk is full"):
                write_table(path, RECORD)
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == ["scores.parquet"]


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file or directory"):
        write_table(tmp_path / "missing" / "a.parquet", RECORD)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "does not exist"),
        (b"", "no readable Parquet file"),
        (b"PAR1", "no readable Parquet file"),
        (b"hello, world " * 10, "no readable Parquet file"),
        ("truncated", "no readable Parquet file"),
        ("folder", "no readable Parquet file"),
    ],
)
def test_what_is_no_parquet_file_is_refused_with_its_path(path: Path, content: Any, why: str) -> None:
    whole = path.read_bytes()
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(whole[:-20] if content == "truncated" else content)
    for read in (open_table, read_record, Columns):
        with pytest.raises(FileFormatError, match=rf"scores\.parquet.*{why}"):
            read(path)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (None, "holds no record of karat"),
        ({"pandas": "{}"}, "holds no record of karat"),
        ({"karat": "{"}, "the record in its metadata is damaged"),
        ({"karat": b"\xff"}, "the record in its metadata is damaged"),
        ({"karat": "[]"}, "no record of karat"),
        ({"karat": '{"kind": "scores", "schema": 9}'}, "schema 9"),
        ({"karat": '{"kind": "scores", "schema": 1}'}, "it lacks provenance"),
    ],
)
def test_absent_or_damaged_metadata_is_refused(tmp_path: Path, metadata: dict[str, Any] | None, why: str) -> None:
    pq.write_table(pa.table({"id": [1]}).replace_schema_metadata(metadata), tmp_path / "a.parquet")
    with pytest.raises(FileFormatError, match=why):
        read_record(tmp_path / "a.parquet")


def test_damaged_pages_are_refused_when_they_are_read(path: Path) -> None:
    content = bytearray(path.read_bytes())
    metadata = pq.read_metadata(path).row_group(0).column(1)
    start = metadata.dictionary_page_offset or metadata.data_page_offset
    content[start : start + metadata.total_compressed_size] = b"\xff" * metadata.total_compressed_size
    path.write_bytes(content)
    columns = Columns(path)
    assert columns["id"].tolist() == TABLE["id"].tolist()
    with pytest.raises(FileFormatError, match=r"scores\.parquet: the column 'number' is damaged"):
        columns["number"]
