"""Pages, histograms and labels of a run's samples, against plain loops over its rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karat import runs
from karat.errors import InputError
from karat.explorer import samples as module
from karat.explorer.opened import open_run
from karat.explorer.query import Query
from karat.explorer.samples import Samples
from karat.explorer.selection import Selection
from karat.records import Scores

from ..reference.queries import binned, found
from .small_run import COLUMN, HOSTILE, LABELS, N, ids

RANGES = st.floats(-2, 2).flatmap(lambda low: st.tuples(st.just(low), st.floats(low, 3)))


@pytest.fixture(scope="module")
def samples(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    run = open_run(small_run)
    selection = Selection(replace(run, path=tmp_path_factory.mktemp("tags")))
    selection.tag("worst", ids()[5:25])
    return Samples(run, selection)


@pytest.fixture(scope="module")
def rows(small_run: Path) -> list[dict[str, Any]]:
    """Every sample as plain values, read without the explorer."""
    run = runs.open_run(small_run)
    scores, probe = run.records["scores"].columns, run.records["probe"].columns
    said = {id: (str(p), bool(c)) for id, p, c in zip(probe["id"], probe["prediction"], probe["correct"], strict=True)}
    made = []
    for row, id in enumerate(scores["id"].tolist()):
        numbers = {name: float(scores[name][row]) for name in ("q_score", "random", COLUMN)}
        plain: dict[str, Any] = {name: None if math.isnan(value) else value for name, value in numbers.items()}
        prediction, correct = said.get(id, (None, None))
        texts = {"label": str(scores["label"][row]) or None, "note": str(scores["note"][row])}
        plain["flagged"] = bool(scores["flagged"][row])
        made.append({"id": id, "prediction": prediction, "correct": correct, **texts, **plain})
    return made


@st.composite
def queries(draw: st.DrawFn) -> Query:
    columns = draw(st.lists(st.sampled_from(["q_score", "random", COLUMN]), unique=True, max_size=2))
    return Query(
        sort=draw(
            st.sampled_from(["q_score", "random", COLUMN, "label", "prediction", "correct", "flagged", "id", "note"])
        ),
        descending=draw(st.booleans()),
        ranges=tuple((name, *draw(RANGES)) for name in columns),
        label=draw(st.none() | st.sampled_from([*filter(None, LABELS), "none of them"])),
        correct=draw(st.none() | st.booleans()),
        text=draw(st.sampled_from(["", "TRAIN/00", "'; ", "%", "_", "\\", "<B>", "\n", ".", "Ü", "NOTE 01"])),
        tag=draw(st.none() | st.just("worst")),
    )


@given(queries())
def test_any_query_finds_what_plain_loops_find(samples: Samples, rows: list[dict[str, Any]], query: Query) -> None:
    expected = [rows[row]["id"] for row in found(rows, query, ids()[5:25])]
    assert samples.count(query) == len(expected)
    assert samples.ids(query) == expected
    assert [row.id for row in samples.page(query, offset=3, limit=5)] == expected[3:8]


def test_the_first_rows_of_an_order_are_those_of_the_whole_order(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query(sort="random", text="train")
    shallow = [row.row for row in samples.page(query, offset=10, limit=50)]
    monkeypatch.setattr(module, "_SHALLOW", 0)
    assert [row.row for row in samples.page(query, offset=10, limit=50)] == shallow


def test_a_row_holds_every_column_as_it_was_stored(samples: Samples, rows: list[dict[str, Any]]) -> None:
    page = samples.page(Query(sort="id"), offset=0, limit=N)
    assert {row.row: (row.id, dict(row.values)) for row in page} == {n: (row["id"], row) for n, row in enumerate(rows)}


def test_missing_numbers_come_last_whichever_way_is_first(samples: Samples) -> None:
    for descending in (False, True):
        page = samples.page(Query(sort="random", descending=descending), offset=0, limit=N)
        assert [row.values["random"] for row in page[-3:]] == [None] * 3
        assert math.isinf(page[0].values["random"]) and math.isinf(page[-4].values["random"])


def test_columns_tell_kind_and_the_range_of_finite_numbers(samples: Samples, rows: list[dict[str, Any]]) -> None:
    columns = {column.name: column for column in samples.columns}
    assert list(columns) == ["q_score", "random", "label", "correct", "prediction", COLUMN, "flagged", "note", "id"]
    assert [columns[name].kind for name in ("random", "label", "flagged", COLUMN)] == [
        "number",
        "text",
        "flag",
        "number",
    ]
    finite = [row["random"] for row in rows if row["random"] is not None and math.isfinite(row["random"])]
    assert (columns["random"].low, columns["random"].high) == (min(finite), max(finite))
    assert (columns["label"].distinct, columns["label"].low) == (3, None)


@given(queries(), st.sampled_from(["q_score", "random", COLUMN]), st.integers(1, 30))
def test_a_histogram_counts_what_the_rest_of_the_query_finds(
    samples: Samples, rows: list[dict[str, Any]], query: Query, column: str, bins: int
) -> None:
    histogram = samples.histogram(query, column, bins=bins)
    rest = replace(query, ranges=tuple(part for part in query.ranges if part[0] != column))
    chosen = [rows[row] for row in found(rows, rest, ids()[5:25])]
    edges = histogram.edges
    assert len(histogram.counts) == bins and np.all(np.diff(edges) > 0)
    off_edges = [row for row in chosen if row[column] is None or not np.isclose(row[column], edges, atol=1e-9).any()]
    if len(off_edges) == len(chosen):  # else rounding decides between two bins
        counts, missing = binned([row[column] for row in chosen], edges.tolist())
        assert histogram.counts.tolist() == counts
        right, _ = binned([row[column] for row in chosen if row["correct"]], edges.tolist())
        assert histogram.correct is not None and histogram.correct.tolist() == right
        assert histogram.missing == missing
    assert histogram.counts.sum() + histogram.missing == len(chosen)


def test_a_brush_does_not_change_the_histogram_that_it_is_drawn_on(samples: Samples) -> None:
    brushed = Query(ranges=(("random", 0.2, 0.4),))
    assert samples.histogram(brushed, "random").counts.tolist() == samples.histogram(Query(), "random").counts.tolist()
    assert samples.histogram(brushed, "q_score").counts.sum() == samples.count(brushed) < N


def test_labels_are_found_by_their_beginning(samples: Samples) -> None:
    assert samples.labels() == [("<b>dog</b>", 50), ("bird'; --", 50), ("cat", 50)]
    assert samples.labels("CA") == [("cat", 50)]
    assert samples.labels("dog") == []
    assert len(samples.labels(limit=2)) == 2


def test_hostile_ids_are_only_data(samples: Samples) -> None:
    for number, name in enumerate(HOSTILE):
        row = samples.row(name)
        assert row is not None and (row.row, row.id) == (number, name)
    assert samples.row("nobody") is None and samples.row("\ud800") is None
    assert samples.count(Query(text="DROP TABLE")) == 1
    assert len(samples) == N


def test_neighbours_in_an_order_walk_through_it(samples: Samples) -> None:
    query = Query(sort="random", descending=True, correct=True)
    order = samples.ids(query)
    for place, name in enumerate(order):
        before = order[place - 1] if place else None
        after = order[place + 1] if place + 1 < len(order) else None
        assert samples.neighbour_in_order(query, name) == (before, after)
    assert samples.neighbour_in_order(query, ids()[0]) == (None, None)  # no probe has judged it


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (Query(sort="r; DROP TABLE samples"), "sort is 'r; DROP TABLE samples', but there is no such column"),
        (Query(sort="c0"), "sort is 'c0'"),
        (Query(ranges=(("nothing", 0.0, 1.0),)), "min and max of 'nothing'"),
        (Query(ranges=(("label", 0.0, 1.0),)), "min and max of 'label': there is no such column of numbers"),
    ],
)
def test_a_column_that_there_is_not_is_refused_by_its_name(samples: Samples, query: Query, words: str) -> None:
    for ask in (samples.count, samples.ids, lambda q: samples.page(q, offset=0, limit=1)):
        with pytest.raises(InputError, match=words):
            ask(query)


def test_a_histogram_of_texts_or_of_no_bins_is_refused(samples: Samples) -> None:
    with pytest.raises(InputError, match="the histogram of 'label'"):
        samples.histogram(Query(), "label")
    with pytest.raises(InputError, match="bins is 0"):
        samples.histogram(Query(), "random", bins=0)


def test_a_tag_that_changes_changes_what_is_found(small_run: Path, tmp_path: Path) -> None:
    run = open_run(small_run)
    selection = Selection(replace(run, path=tmp_path))
    tagged = Samples(run, selection)
    assert tagged.count(Query(tag="new")) == 0
    selection.tag("new", [ids()[1], "no sample of this run", "\ud800"])
    assert tagged.ids(Query(tag="new")) == [ids()[1]]
    selection.untag("new")
    assert tagged.ids(Query(tag="new")) == []


def test_a_run_without_a_probe_has_no_verdicts(copied_run: Path) -> None:
    (copied_run / "records" / "probe.parquet").unlink()
    run = open_run(copied_run)
    assert any("'probe'" in problem for problem in run.problems)
    alone = Samples(run)
    assert alone.histogram(Query(), "q_score").correct is None
    with pytest.raises(InputError, match="correct is given, but no probe"):
        alone.count(Query(correct=True))


def test_equal_ids_in_equal_order_are_joined_as_shuffled_ones_are(copied_run: Path, samples: Samples) -> None:
    record = runs.open_run(copied_run).records["probe"]
    by_id = {id: row for row, id in enumerate(record.columns["id"].tolist())}
    kept = [name for name in ids() if name in by_id]
    columns = {name: record.columns[name][[by_id[id] for id in kept]] for name in record.columns}
    runs.add_record(copied_run, replace(record, columns=columns), overwrite=True)
    sorted_probe = Samples(open_run(copied_run))
    assert sorted_probe.ids(Query(correct=True)) == samples.ids(Query(correct=True))


def test_a_probe_that_judged_all_in_another_order_is_joined_by_id(copied_run: Path) -> None:
    record = runs.open_run(copied_run).records["probe"]
    right = np.arange(N) % 3 == 0
    columns = {"id": np.array(ids())[::-1], "label": np.full(N, "cat"), "correct": right}
    runs.add_record(copied_run, replace(record, columns=columns), overwrite=True)
    found = Samples(open_run(copied_run)).ids(Query(correct=True))
    assert sorted(found) == sorted(np.array(ids())[::-1][right].tolist())


def test_numbers_of_any_size_have_a_histogram(copied_run: Path) -> None:
    record = runs.open_run(copied_run).records["scores"]
    assert isinstance(record, Scores)
    huge = np.where(np.arange(N) < 50, -1.7e308, 1.7e308)
    columns = {**record.columns, "q_score": huge, "random": np.full(N, 3.0)}
    runs.add_record(copied_run, replace(record, columns=columns), overwrite=True)
    made = Samples(open_run(copied_run))
    assert made.histogram(Query(), "q_score", bins=4).counts.tolist() == [50, 0, 0, N - 50]
    constant = made.histogram(Query(), "random", bins=3)
    assert constant.counts.tolist() == [0, N, 0] and constant.edges[0] == 2.5


def test_half_a_million_labels_are_searched(copied_run: Path) -> None:
    record = runs.open_run(copied_run).records["scores"]
    assert isinstance(record, Scores)
    many = [f"{i:07d}" for i in range(500_000)]
    columns = {"id": np.array(many), "label": np.char.add("class ", many), "q_score": np.arange(500_000.0)}
    runs.add_record(copied_run, replace(record, names=("q_score",), columns=columns), overwrite=True)
    made = Samples(open_run(copied_run))
    expected = [(f"class 01234{i:02d}", 1) for i in range(3)]
    assert made.labels("CLASS 01234", limit=3) == expected
    assert {column.name: column.distinct for column in made.columns}["label"] == 500_000
    assert made.ids(Query(label="class 0499999")) == ["0499999"]


def test_whole_numbers_as_labels_are_ordered_as_numbers(copied_run: Path) -> None:
    record = runs.open_run(copied_run).records["scores"]
    columns = {**record.columns, "label": np.arange(N) % 12}
    runs.add_record(copied_run, replace(record, columns=columns), overwrite=True)
    page = Samples(open_run(copied_run)).page(Query(sort="label", descending=True), offset=0, limit=N)
    found = [row.values["label"] for row in page]
    assert list(dict.fromkeys(found)) == [str(number) for number in range(11, -1, -1)]


def test_many_threads_see_the_same(small_run: Path) -> None:
    fresh = Samples(open_run(small_run))
    asked = [Query(sort=name, descending=way) for name in ("q_score", "random", "label", "id") for way in (False, True)]

    def first(query: Query) -> list[str]:
        return [row.id for row in fresh.page(query, offset=0, limit=20)]

    with ThreadPoolExecutor(8) as pool:
        together: Iterator[list[str]] = pool.map(first, asked * 4)
    assert list(together) == [first(query) for query in asked] * 4
