"""A run on disk: what is added comes back, what is damaged is named, nothing escapes the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from karat import runs
from karat._files import digest_bytes, one_writer
from karat.errors import FileFormatError, InputError, OutputError, OutputExistsError
from karat.records import ProbeResult, Scores
from karat.records.tables import write_table
from karat.runs import Images, add_images, add_record, check_name, is_run, load_record, open_run, refuse_record
from tests.test_records import METRICS, PROBE, RECORDS, SCORES


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a record of each kind."""
    folder = tmp_path / "run"
    for record in RECORDS:
        add_record(folder, record)
    return folder


def rewrite(file: Path, change: Callable[[Any], Any]) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def test_what_was_added_comes_back_in_order(run: Path) -> None:
    found = open_run(run)
    assert list(found.records.values()) == RECORDS
    assert list(found.records) == [record.kind for record in RECORDS]
    assert (found.damaged, found.images, found.path) == ({}, None, run)
    scores, probe = found.records["scores"], found.records["probe"]
    assert isinstance(scores, Scores) and isinstance(probe, ProbeResult)
    np.testing.assert_array_equal(scores.q_score, SCORES.q_score)
    np.testing.assert_array_equal(probe.logits, PROBE.logits)


def test_a_run_holds_the_files_that_are_promised(run: Path) -> None:
    assert sorted(contents(run)) == [
        ".lock",
        "records/calibration.json",
        "records/calibration.parquet",
        "records/comparison.json",
        "records/comparison.parquet",
        "records/compression.json",
        "records/evaluation.json",
        "records/finetuning.json",
        "records/metrics.json",
        "records/probe.json",
        "records/probe.parquet",
        "records/scores.json",
        "records/selection.json",
        "records/selection.parquet",
        "run.json",
        "scores.parquet",
    ]
    index = json.loads((run / "run.json").read_text())
    assert index["schema"] == 1
    for entry in index["records"]:
        assert entry["file"] == f"records/{entry['name']}.json"
        assert entry["digest"] == digest_bytes((run / entry["file"]).read_bytes())


def test_equal_work_gives_equal_bytes_that_name_no_place(run: Path, tmp_path: Path) -> None:
    for record in RECORDS:
        add_record(tmp_path / "again", record)
    assert contents(tmp_path / "again") == contents(run)
    assert not any(str(tmp_path).encode() in content for content in contents(run).values())


def test_a_record_under_another_name_stands_beside(run: Path) -> None:
    add_record(run, replace(PROBE, accuracy=0.5), name="probe-small")
    found = open_run(run)
    assert found.records["probe"] == PROBE
    assert found.records["probe-small"] == replace(PROBE, accuracy=0.5)


def test_a_record_that_exists_is_refused_and_left_alone(run: Path) -> None:
    before = contents(run)
    with pytest.raises(OutputExistsError, match=r"run has a record 'scores' already.*--overwrite"):
        add_record(run, replace(SCORES, epsilon=1.0))
    with pytest.raises(OutputExistsError):
        refuse_record(run, "probe", overwrite=False)
    assert contents(run) == before
    refuse_record(run, "probe", overwrite=True)
    refuse_record(run, "other", overwrite=False)
    refuse_record(run / "missing", "probe", overwrite=False)


def test_a_record_can_be_overwritten_and_is_listed_once(run: Path) -> None:
    columns = {name: values[:1] for name, values in SCORES.columns.items()}
    add_record(run, replace(SCORES, epsilon=1.0, columns=columns), overwrite=True)
    found = open_run(run)
    assert list(found.records) == [*(record.kind for record in RECORDS[1:]), "scores"] and found.damaged == {}
    assert len(json.loads((run / "run.json").read_text())["records"]) == len(RECORDS)
    scores = found.records["scores"]
    assert isinstance(scores, Scores) and scores.epsilon == 1.0 and scores.ids.tolist() == ["a"]


def test_scores_can_be_added_from_the_table_that_they_replace(run: Path) -> None:
    scores = load_record(run / "scores.parquet")
    add_record(run, scores, overwrite=True)
    assert load_record(run / "scores.parquet") == SCORES


@pytest.mark.parametrize("name", [record.kind for record in RECORDS])
def test_one_record_is_loaded_with_its_columns(run: Path, name: str) -> None:
    record = load_record(run / "records" / f"{name}.json")
    assert record == {record.kind: record for record in RECORDS}[name]
    if isinstance(record, Scores | ProbeResult):
        assert record.ids.tolist() == {"scores": ["a", "b"], "probe": [0, 1]}[name]


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("a.json", None, "cannot be read"),
        ("a.json", b"", "is damaged"),
        ("a.json", b"\xff", "is damaged"),
        ("a.json", b"[1]", "is no JSON object"),
        ("a.json", b"{}", "no record of karat"),
        ("a.parquet", None, "does not exist"),
        ("a.parquet", b"PAR1", "no readable Parquet file"),
        ("a", b"text", "no readable Parquet file"),
    ],
)
def test_what_is_no_record_is_refused_with_its_path(tmp_path: Path, file: str, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(FileFormatError, match=why):
        load_record(tmp_path / file)


def tampered(run: Path) -> None:
    rewrite(run / "records" / "probe.json", lambda content: content | {"accuracy": 1.0})


def truncated(run: Path) -> None:
    file = run / "records" / "probe.json"
    file.write_bytes(file.read_bytes()[:-9])


def missing(run: Path) -> None:
    (run / "records" / "probe.json").unlink()


def rewritten_by_another_version(run: Path) -> None:
    """Digest and all."""
    file = run / "records" / "probe.json"
    rewrite(file, lambda content: content | {"schema": 2})
    digest = digest_bytes(file.read_bytes())

    def sign(index: dict[str, Any]) -> dict[str, Any]:
        entries = [entry | {"digest": digest} if entry["name"] == "probe" else entry for entry in index["records"]]
        return index | {"records": entries}

    rewrite(run / "run.json", sign)


def no_json(run: Path) -> None:
    (run / "records" / "probe.json").write_bytes(b"no JSON")
    digest = digest_bytes(b"no JSON")
    rewrite(
        run / "run.json",
        lambda index: (
            index | {"records": [e | {"digest": digest} if e["name"] == "probe" else e for e in index["records"]]}
        ),
    )


def damaged_table(run: Path) -> None:
    (run / "records" / "probe.parquet").write_bytes(b"PAR1")


def table_of_another_record(run: Path) -> None:
    write_table(run / "records" / "probe.parquet", replace(PROBE, accuracy=0.1))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (tampered, r"probe\.json has changed since it was written"),
        (truncated, r"probe\.json has changed since it was written"),
        (missing, r"probe\.json cannot be read"),
        (rewritten_by_another_version, "has schema 2"),
        (no_json, r"probe\.json is damaged"),
        (damaged_table, r"probe\.parquet is no readable Parquet file"),
        (table_of_another_record, r"probe\.parquet belongs to another probe record"),
    ],
)
def test_a_damaged_record_is_named_and_the_rest_is_shown(run: Path, damage: Callable[[Path], None], why: str) -> None:
    damage(run)
    found = open_run(run)
    assert list(found.records) == [record.kind for record in RECORDS if record is not PROBE]
    assert list(found.damaged) == ["probe"]
    with pytest.raises(InputError, match=why):
        raise InputError(found.damaged["probe"])


def test_a_record_whose_table_is_missing_is_shown_without_columns(run: Path) -> None:
    (run / "scores.parquet").unlink()
    scores = open_run(run).records["scores"]
    assert isinstance(scores, Scores) and scores == SCORES
    with pytest.raises(FileFormatError, match="lacks the column 'q_score'"):
        _ = scores.q_score


@pytest.mark.parametrize("step", range(3))
def test_a_disk_that_fills_up_while_scores_are_replaced_is_noticed(
    run: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table, record and index are three files: a stop between them must not join new scores to an old record."""
    written: list[Path] = []

    def until_full(write: Callable[[Path, Any], None]) -> Callable[[Path, Any], None]:
        def limited(path: Path, content: Any) -> None:
            if len(written) == step:
                raise OutputError("the disk is full")
            written.append(path)
            write(path, content)

        return limited

    monkeypatch.setattr(runs, "write_table", until_full(runs.write_table))
    monkeypatch.setattr(runs, "write_bytes", until_full(runs.write_bytes))
    changed = replace(SCORES, epsilon=1.0, columns={**SCORES.columns, "q_score": np.array([7.0, 8.0])})
    with pytest.raises(OutputError):
        add_record(run, changed, overwrite=True)
    found = open_run(run)
    assert "metrics" in found.records
    if step == 0:
        assert found.records["scores"] == SCORES
    else:
        assert "scores" in found.damaged and "scores" not in found.records


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", ".hidden", "", "a/b", "a\\b", "/etc/x", "nul\0", "a b", "a:b", "a\n", "*", "~"]
)
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be used: letters, digits"):
        check_name(name)
    if name:  # the empty one stands for the kind
        with pytest.raises(InputError):
            add_record(tmp_path / "run", METRICS, name=name)
    assert list(tmp_path.iterdir()) == []


def test_plain_names_can_be_used() -> None:
    for name in ("scores", "probe-2", "a_b.c", "Ü7"):
        check_name(name)


def test_a_hostile_name_in_an_index_is_named_and_never_followed(run: Path) -> None:
    add_record(run.parent / "outside", METRICS)
    for name in ("../../outside/records/metrics", "", "nul\0"):
        digest = digest_bytes((run.parent / "outside" / "records" / "metrics.json").read_bytes())
        entry = {"name": name, "kind": "metrics", "file": "records/metrics.json", "digest": digest}
        rewrite(
            run / "run.json", lambda index, entry=entry: index | {"records": [*index["records"][: len(RECORDS)], entry]}
        )
        found = open_run(run)
        assert list(found.records) == [record.kind for record in RECORDS]
        assert "cannot be used" in found.damaged[name]


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"schema": 2, "records": []}',
        b'{"schema": 1}',
        b'{"schema": 1, "records": {}}',
        b'{"schema": 1, "records": [7]}',
        b'{"schema": 1, "records": [{}]}',
        b'{"schema": 1, "records": [{"name": "a", "file": "a"}]}',
        b'{"schema": 1, "records": [{"name": ["a"], "file": "a", "digest": "0"}]}',
        b'{"schema": 1, "records": [{"name": "a", "file": "a", "digest": 0}]}',
    ],
)
def test_a_damaged_index_is_refused_and_never_overwritten(run: Path, index: bytes) -> None:
    (run / "run.json").write_bytes(index)
    with pytest.raises(FileFormatError, match=r"run\.json is damaged"):
        open_run(run)
    with pytest.raises(FileFormatError, match=r"run\.json is damaged"):
        add_record(run, METRICS, overwrite=True)
    assert (run / "run.json").read_bytes() == index


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert not is_run(folder)
        with pytest.raises(FileFormatError, match=r"is no run of karat: it has no run\.json"):
            open_run(folder)
    add_record(tmp_path, METRICS)
    assert is_run(tmp_path) and is_run(str(tmp_path))


def test_a_second_writer_is_refused_and_changes_nothing(run: Path) -> None:
    before = contents(run)
    with one_writer(run), pytest.raises(OutputError, match="is being written by another process"):
        add_record(run, METRICS, overwrite=True)
    assert contents(run) == before
    add_record(run, METRICS, overwrite=True)


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    for add in (lambda: add_record(tmp_path / "run", METRICS), lambda: add_images(tmp_path / "run", Images("x", {}))):
        with pytest.raises(OutputError, match="run could not be written"):
            add()


def test_images_come_back(run: Path) -> None:
    images = Images("images/test.npz", {"7": "cat/1.png", "é": "2.png"})
    add_images(run, images)
    assert open_run(run).images == images
    add_images(run, replace(images, source="elsewhere"))
    assert open_run(run).images == replace(images, source="elsewhere")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"source": "a"}', b'{"source": 7, "paths": {}}', b'{"source": "a", "paths": []}']
)
def test_damaged_images_are_named_and_the_rest_is_shown(run: Path, content: bytes) -> None:
    (run / "images.json").write_bytes(content)
    found = open_run(run)
    assert found.images is None and "is damaged" in found.damaged["images"]
    assert list(found.records.values()) == RECORDS
