"""Runs that are damaged, moved, incomplete or still being written: what is wrong is named, the rest is shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from karat.errors import FileFormatError
from karat.explorer.opened import open_run
from karat.explorer.query import Query
from karat.explorer.samples import Samples
from karat.explorer.verdicts import verdict

from .small_run import N, ids


def test_a_whole_run_has_no_problems(small_run: Path) -> None:
    run = open_run(small_run)
    assert (run.problems, run.being_written, run.has_changed) == ((), False, False)
    assert (run.title, list(run.records), run.scores) == ("run", ["scores", "probe"], "scores")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="is no run of karat"):
        open_run(tmp_path)
    with pytest.raises(FileFormatError, match="is no run of karat"):
        open_run(tmp_path / "nowhere")


def test_a_damaged_record_is_named_and_the_rest_is_shown(copied_run: Path) -> None:
    (copied_run / "records" / "probe.json").write_text("{")
    run = open_run(copied_run)
    (problem,) = run.problems
    assert "'probe'" in problem and "records/probe.json" in problem and str(copied_run) not in problem
    samples = Samples(run)
    assert samples.count(Query()) == N and "correct" not in [column.name for column in samples.columns]


def test_scores_whose_record_is_damaged_are_read_from_their_table(copied_run: Path) -> None:
    (copied_run / "records" / "scores.json").write_text("{")
    run = open_run(copied_run)
    assert "'scores'" in run.problems[0]
    assert Samples(run).columns[0].name == "q_score"


def test_without_a_table_of_scores_the_samples_are_those_of_the_probe(copied_run: Path) -> None:
    (copied_run / "scores.parquet").write_bytes(b"PAR1 not at all PAR1")
    run = open_run(copied_run)
    assert any("'scores'" in problem for problem in run.problems)
    samples = Samples(run)
    assert len(samples) == N - 20 and samples.count(Query(correct=True)) > 0
    assert samples.page(Query(), offset=0, limit=1)[0].values.keys() == {"label", "correct", "prediction", "id"}


def test_without_any_table_the_samples_are_those_of_the_embeddings_then_of_the_images(copied_run: Path) -> None:
    shutil.rmtree(copied_run / "records")
    (copied_run / "scores.parquet").unlink()
    assert [row.id for row in Samples(open_run(copied_run)).page(Query(sort="id"), offset=0, limit=3)] == sorted(ids())[
        :3
    ]
    shutil.rmtree(copied_run / "embeddings")
    samples = Samples(open_run(copied_run))
    assert len(samples) == N and [column.name for column in samples.columns] == ["id"]
    (copied_run / "images.json").write_text("[]")
    empty = Samples(open_run(copied_run))
    assert (len(empty), empty.page(Query(), offset=0, limit=5), empty.labels()) == (0, [], [])
    assert "No samples are known yet" in empty.problems[-1] and "images.json" in empty.problems[0]


def test_a_damaged_column_is_named_and_shown_as_missing(copied_run: Path) -> None:
    import pyarrow.parquet as pq

    path = copied_run / "scores.parquet"
    group = pq.read_metadata(path).row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    chunk = next(chunk for chunk in chunks if chunk.path_in_schema == "random")
    content = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(bytes(content))
    samples = Samples(open_run(copied_run))
    page = samples.page(Query(sort="random"), offset=0, limit=2)
    assert [row.values["random"] for row in page] == [None, None] and page[0].values["q_score"] is not None
    assert "'random' is damaged" in samples.problems[0]


def test_a_run_that_is_still_being_written_says_so(copied_run: Path) -> None:
    manifest = copied_run / "embeddings" / "val.emb" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "complete": False}))
    (copied_run / ".scores.parquet.0a1b2c3d.tmp").touch()
    run = open_run(copied_run)
    assert run.being_written
    assert [problem.partition(" is incomplete")[0] for problem in run.problems] == [
        "embeddings/val.emb",
        "scores.parquet",
    ]
    assert Samples(run).count(Query()) == N


def test_a_run_without_its_index_yet_shows_what_is_there(copied_run: Path) -> None:
    (copied_run / "run.json").unlink()
    run = open_run(copied_run)
    assert run.being_written and list(run.records) == ["scores"]
    assert len(Samples(run)) == N


def test_a_run_that_changes_says_so(copied_run: Path) -> None:
    run = open_run(copied_run)
    assert not run.has_changed
    (copied_run / "scores.parquet").unlink()
    assert run.has_changed
    assert Samples(open_run(copied_run)).count(Query()) == N - 20


def test_an_open_table_is_read_on_when_it_is_replaced(copied_run: Path) -> None:
    samples = Samples(open_run(copied_run))
    other = copied_run / "other.parquet"
    other.write_bytes(b"something else")
    other.replace(copied_run / "scores.parquet")
    assert samples.page(Query(sort="random"), offset=0, limit=1)[0].values["random"] is not None


def test_a_verdict_is_the_softmax_of_the_logits(small_run: Path) -> None:
    import numpy as np

    from karat import runs

    run, name = open_run(small_run), ids()[77]
    columns = runs.open_run(small_run).records["probe"].columns
    row = columns["id"].tolist().index(name)
    logits = columns["logits"][row].astype(float)
    expected = np.exp(logits) / np.exp(logits).sum()
    said = verdict(run, name, top=2)
    assert said is not None and said.prediction == str(columns["prediction"][row])
    assert said.correct == bool(columns["correct"][row]) and said.probe == "probe"
    assert [probability for _, probability in said.top] == pytest.approx(np.sort(expected)[:0:-1])
    assert said.top[0][0] == said.prediction
    assert verdict(run, ids()[0]) is None and verdict(run, "nobody") is None
