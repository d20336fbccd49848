"""Records for other libraries, spreadsheets and notebooks; each is read back by the other side's own rules."""

from __future__ import annotations

import csv
import json
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import karat
from karat.errors import (
    InputError,
    InputTypeError,
    KaratWarning,
    MissingDependencyError,
    OutputError,
    OutputExistsError,
)
from karat.integrations.export import to_cleanlab, to_fiftyone, to_lightly_studio
from karat.records import ClassEvaluation, Record, Scores, WithColumns, from_dict
from karat.records.files import spreadsheet
from tests import report_records as small
from tests.commands import features

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
NAMES = ["a.png", "b.png", "=c.png", "sub/d.png"]
COLUMNS: dict[str, np.ndarray] = {
    "id": np.array(NAMES),
    "label": np.array(["cat", "dog", "", "@SUM(A1)"]),
    "q_score": np.array([0.5, np.nan, 0.25, 0.75]),
    "single": np.array([0.1, 1, 2, np.inf], np.float32),
    "n.active": np.array([3, 0, 1, 2]),
    "correct": np.array([True, False, True, True]),
    "logits": np.arange(8, dtype=np.float32).reshape(4, 2),
}


def made() -> Scores:
    return small.scores(columns=COLUMNS, names=("q_score",))


RECORDS: tuple[Record, ...] = (
    small.scores(),
    small.probe(),
    small.evaluation(),
    small.judged(),  # with tests and classes
    small.measured(),
    small.compression(),
    small.calibration(),
    small.selection(),
    small.comparison(),
    small.explanation(),
    small.overlap(),
    small.faithfulness(),
)
TABLES: tuple[WithColumns, ...] = tuple(record for record in RECORDS if isinstance(record, WithColumns))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)
    return folder


# ---- tables of other libraries


@pytest.mark.parametrize("record", TABLES, ids=lambda record: record.kind)
def test_every_record_with_a_table_becomes_arrow_pandas_and_polars(record: WithColumns) -> None:
    flat = [name for name, values in record.columns.items() if values.ndim <= 2]
    arrow, pandas, polars = record.to_arrow(), record.to_pandas(), record.to_polars()
    assert isinstance(arrow, pa.Table) and isinstance(pandas, pd.DataFrame) and isinstance(polars, pl.DataFrame)
    assert arrow.column_names == list(pandas.columns) == polars.columns == flat
    assert arrow.column("id").to_pylist() == pandas["id"].tolist() == polars["id"].to_list()
    assert pandas["id"].tolist() == record.columns["id"].tolist()


def test_nan_is_null_in_arrow_and_polars_and_nan_in_pandas() -> None:
    record = made()
    assert record.to_arrow().column("q_score").to_pylist() == [0.5, None, 0.25, 0.75]
    assert record.to_polars()["q_score"].to_list() == [0.5, None, 0.25, 0.75]
    np.testing.assert_array_equal(record.to_pandas()["q_score"], COLUMNS["q_score"])
    assert record.to_pandas()["n.active"].dtype == np.int64
    assert record.to_pandas()["correct"].dtype == bool


def test_an_arrow_table_holds_the_record_too() -> None:
    record = made()
    assert from_dict(json.loads(record.to_arrow().schema.metadata[b"karat"])) == record


def test_heatmaps_are_left_out_of_tables() -> None:
    maps = np.zeros((4, 2, 2), np.float16)
    assert "map" not in replace(made(), columns=COLUMNS | {"map": maps}).to_arrow().column_names


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_missing_library_is_one_sentence(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"to_{library} needs {library}.*pip install {library}"):
        getattr(made(), f"to_{library}")()


# ---- files


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_csv_has_a_header_empty_fields_and_a_column_an_entry_of_a_vector(tmp_path: Path) -> None:
    with pytest.warns(KaratWarning, match=r"scores\.csv: 2 cells begin as a formula would"):
        made().to_csv(tmp_path / "scores.csv")
    rows = read_csv(tmp_path / "scores.csv")
    assert list(rows[0]) == ["id", "label", "q_score", "single", "n.active", "correct", "logits_0", "logits_1"]
    assert [row["q_score"] for row in rows] == ["0.5", "", "0.25", "0.75"]
    assert [row["correct"] for row in rows] == ["true", "false", "true", "true"]
    assert [float(row["logits_1"]) for row in rows] == [1, 3, 5, 7]
    assert rows[0]["single"] == "0.1"
    assert [row["id"] for row in rows] == ["a.png", "b.png", "'=c.png", "sub/d.png"]
    assert [row["label"] for row in rows] == ["cat", "dog", "", "'@SUM(A1)"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12), min_size=1))
def test_no_text_in_a_csv_begins_as_a_formula_unless_it_is_a_number(texts: list[str]) -> None:
    safe, changed = spreadsheet(pa.table({"id": texts}))
    found = safe.column("id").to_pylist()
    assert changed == sum(new != old for new, old in zip(found, texts, strict=True))
    for new, old in zip(found, texts, strict=True):
        assert new in (old, f"'{old}")
        if new[:1] in tuple("=+-@\t\r\n＝＋－＠") and new:
            assert new[0] in "+-"
            float(new)


@pytest.mark.parametrize("number", ["-7", "+1.5", "-.5", "-1e-3", "+3.", "-0"])
def test_numbers_that_are_text_are_left_alone(number: str) -> None:
    assert spreadsheet(pa.table({"id": [number]}))[1] == 0


@pytest.mark.parametrize("text", ["-1+1", "=1", "@a", "+cmd|' /C calc'!A0", "-", "\t=1", "\r=1", "-1e", "＝1"])
def test_formulas_are_not(text: str) -> None:
    assert spreadsheet(pa.table({"id": [text]}))[0].column("id").to_pylist() == [f"'{text}"]


def test_the_name_of_a_column_is_a_cell_too() -> None:
    safe, changed = spreadsheet(pa.table({"=cmd": [1]}))
    assert (safe.column_names, changed) == (["'=cmd"], 1)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "txt"])
def test_a_record_is_written_in_the_format_its_name_ends_in(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scores.{suffix}"
    with warnings.catch_warnings(action="ignore", category=KaratWarning):
        made().write(path)
    if suffix == "txt":
        assert path.read_text().split("\n") == [*NAMES, ""]
        return
    read = {"parquet": pl.read_parquet, "arrow": pl.read_ipc, "csv": pl.read_csv}[suffix](path)
    assert read["q_score"].to_list() == [0.5, None, 0.25, 0.75]
    if suffix != "csv":
        assert read["id"].to_list() == NAMES


def test_an_arrow_file_holds_the_record_too(tmp_path: Path) -> None:
    made().write(tmp_path / "scores.arrow")
    with pa.ipc.open_file(str(tmp_path / "scores.arrow")) as file:
        assert from_dict(json.loads(file.schema.metadata[b"karat"])) == made()


@pytest.mark.parametrize("name", ["scores.json", "scores"])
def test_a_name_that_says_no_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is no name for the list: one of \.csv, \.parquet, \.txt, \.arrow"):
        made().write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["arrow", "csv", "parquet", "txt"])
def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(OutputError, match="no such file or directory"):
        replace(made(), columns={"id": np.array(["a"])}).write(tmp_path / "no" / f"scores.{suffix}")


@pytest.mark.parametrize("suffix", ["csv", "arrow"])
def test_scores_go_to_csv_and_arrow_with_the_numbers_of_parquet(tmp_path: Path, suffix: str) -> None:
    h = features()
    path = tmp_path / f"scores.{suffix}"
    scored = karat.score(h, epsilon=2, out=path)
    expected = karat.score(h, epsilon=2, out=tmp_path / "scores.parquet")
    read = pl.read_csv(path) if suffix == "csv" else pl.read_ipc(path)
    assert read.columns == list(expected.columns)
    for name in expected.columns:
        np.testing.assert_array_equal(read[name].to_numpy(), expected.columns[name])
        np.testing.assert_array_equal(scored.columns[name], expected.columns[name])
    with pytest.raises(OutputExistsError):
        karat.score(h, out=path)


# ---- notebooks


PLAIN = {"div", "table", "caption", "strong", "thead", "tbody", "tr", "th", "td", "p"}


class Markup(HTMLParser):
    """The tags of a text, its cells, and what they say."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_a_notebook_shows_what_a_terminal_does(record: Record) -> None:
    page = Markup(record._repr_html_())
    assert page.open == []
    assert {tag for tag, _ in page.tags} <= {
        "div",
        "table",
        "caption",
        "strong",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "p",
    }
    shown = " ".join("".join(page.text).split())
    for word in str(record).split():
        assert word in shown


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_tables_in_notebooks_name_their_rows_and_leak_no_style(record: Record) -> None:
    page = Markup(record._repr_html_())
    for tag, attributes in page.tags:
        assert set(attributes) <= {"style", "scope"}
        assert (attributes.get("style") or "text-align: left").startswith("text-align: ")
        assert tag != "th" or attributes["scope"] in ("row", "col")
    rows = sum(tag == "tr" for tag, _ in page.tags)
    heads = sum(tag == "thead" for tag, _ in page.tags)
    assert sum(attributes.get("scope") == "row" for _, attributes in page.tags) == rows - heads > 0


def endless() -> list[Record]:
    """Every record, with hostile text wherever it has some."""
    scored = replace(small.scores(), lowest=((HOSTILE, 0.5),), left_out={HOSTILE: HOSTILE})
    judged = [small.hostile(record, HOSTILE) for record in RECORDS[4:]]
    judged.append(
        replace(small.judged(), classes=(ClassEvaluation(HOSTILE, 9, 3, 0.5, {}),), tests=(), warnings=(HOSTILE,))
    )
    return [scored, small.probe(head={HOSTILE: HOSTILE}), *judged]


@pytest.mark.parametrize("record", endless(), ids=lambda record: record.kind)
def test_hostile_text_is_inert_in_notebooks(record: Record) -> None:
    html = record._repr_html_()
    assert {tag for tag, _ in Markup(html).tags} <= PLAIN
    assert "<script" not in html and "<img" not in html
    assert HOSTILE in "".join(Markup(html).text)


def test_markup_of_terminals_is_text_in_notebooks() -> None:
    assert "[red]x[/red]" in replace(small.scores(), lowest=(("[red]x[/red]", 0.5),))._repr_html_()


# ---- FiftyOne


def test_fiftyone_gets_a_sample_a_row_with_typed_fields(tmp_path: Path, images: Path) -> None:
    folder = to_fiftyone(made(), tmp_path / "export", images=images, tags={"worst": ["=c.png"]})
    assert sorted(file.name for file in folder.iterdir()) == ["metadata.json", "samples.json"]
    # Without a version, FiftyOne reads samples as Sample.from_dict does.
    assert "version" not in json.loads((folder / "metadata.json").read_text())
    samples = json.loads((folder / "samples.json").read_text())["samples"]
    assert [sample["filepath"] for sample in samples] == [str(images / name) for name in NAMES]
    assert [sample["tags"] for sample in samples] == [[], [], ["worst"], []]
    assert samples[0] == {
        "filepath": str(images / "a.png"),
        "tags": [],
        "karat_id": "a.png",
        "ground_truth": {"_cls": "Classification", "label": "cat"},
        "q_score": 0.5,
        "single": float(np.float32(0.1)),
        "n_active": 3,
        "correct": True,
    }
    assert samples[1]["q_score"] is None and samples[2]["ground_truth"] is None and samples[3]["single"] is None
    assert all(set(sample) == set(samples[0]) for sample in samples)


@pytest.mark.parametrize(("name", "field"), [("filepath", "karat_filepath"), ("tags", "karat_tags"), ("_x", "karat_x"),
                                             ("a.b$c", "a_b_c"), ("percentile:moco", "percentile:moco")])  # fmt: skip
def test_names_that_fiftyone_cannot_have_are_changed(tmp_path: Path, images: Path, name: str, field: str) -> None:
    record = replace(made(), columns={"id": COLUMNS["id"], name: np.arange(4)})
    folder = to_fiftyone(record, tmp_path / "export", images=images)
    assert json.loads((folder / "samples.json").read_text())["samples"][3][field] == 3


def test_two_columns_of_one_field_are_refused(tmp_path: Path, images: Path) -> None:
    record = replace(made(), columns={"id": COLUMNS["id"], "a.b": np.arange(4), "a_b": np.arange(4)})
    with pytest.raises(InputError, match=r"'a\.b' and 'a_b' would both be FiftyOne's 'a_b'"):
        to_fiftyone(record, tmp_path / "export", images=images)
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("write", [to_fiftyone, to_lightly_studio])
def test_exports_that_exist_are_left_alone(tmp_path: Path, images: Path, write: Any) -> None:
    target = tmp_path / "export.json"
    write(made(), target, images=images)
    with pytest.raises(OutputExistsError):
        write(made(), target, images=images)
    write(made(), target, images=images, overwrite=True)


@pytest.mark.parametrize("write", [to_fiftyone, to_lightly_studio])
def test_samples_without_an_image_file_are_named(tmp_path: Path, images: Path, write: Any) -> None:
    (images / "b.png").unlink()
    with pytest.raises(InputError, match=r"1 of 4 samples have no image file in images \(b\.png\)"):
        write(made(), tmp_path / "export", images=images)
    np.savez(tmp_path / "images.npz", images=np.zeros((4, 4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"lie in no files of their own.*a folder or a list of image files is needed"):
        write(made(), tmp_path / "export", images=tmp_path / "images.npz")


@pytest.mark.parametrize("write", [to_fiftyone, to_lightly_studio])
def test_a_tag_of_unknown_samples_is_refused(tmp_path: Path, images: Path, write: Any) -> None:
    with pytest.raises(InputError, match=r"1 ids with the tag 'worst' are not in the record \(no\.png\)"):
        write(made(), tmp_path / "export", images=images, tags={"worst": ["a.png", "no.png"]})


# ---- LightlyStudio


def test_lightly_studio_gets_metadata_and_tags_by_the_path_of_the_file(tmp_path: Path, images: Path) -> None:
    path = to_lightly_studio(made(), tmp_path / "export.json", images=images, tags={"worst": ["=c.png", "a.png"]})
    content = json.loads(path.read_text())
    assert list(content["metadata"]) == [str(images / name) for name in NAMES]
    assert content["tags"] == {"worst": [str(images / "a.png"), str(images / "=c.png")]}
    assert content["metadata"][str(images / "a.png")] == {
        "karat_id": "a.png", "label": "cat", "q_score": 0.5, "single": float(np.float32(0.1)), "n.active": 3,
        "correct": True,
    }  # fmt: skip
    assert "q_score" not in content["metadata"][str(images / "b.png")]
    kinds = {str: "string", int: "integer", float: "float", bool: "boolean"}
    for name in ("q_score", "n.active", "correct", "label"):  # one kind a key, or LightlyStudio refuses it
        assert len({kinds[type(fields[name])] for fields in content["metadata"].values() if name in fields}) == 1


# ---- cleanlab


def check_issues(frame: pd.DataFrame) -> None:
    """What `IssueManager` asks of its issues: is_X_issue of booleans, X_score in [0, 1]."""
    names = [name.removeprefix("is_").removesuffix("_issue") for name in frame.columns[1::2]]
    assert list(frame.columns) == ["id", *(part for name in names for part in (f"is_{name}_issue", f"{name}_score"))]
    for name in names:
        assert frame[f"is_{name}_issue"].dtype == bool
        scores = frame[f"{name}_score"].dropna()
        assert ((scores >= 0) & (scores <= 1)).all()
    assert list(frame.index) == list(range(len(frame)))


def test_the_lowest_scores_are_the_issues_and_lower_is_worse() -> None:
    columns = {
        "id": np.arange(5),
        "q_score": np.array([3.0, 1, 2, np.nan, 4]),
        "vote_entropy": np.array([0.0, 3, 2, 1, 4]),
    }
    record = small.scores(columns=columns, names=("q_score", "vote_entropy"))
    frame = to_cleanlab(record, lowest=0.25)
    check_issues(frame)
    np.testing.assert_array_equal(frame["q_score_score"], [0.75, 0.25, 0.5, np.nan, 1])
    assert frame["is_q_score_issue"].tolist() == [False, True, False, False, False]
    np.testing.assert_array_equal(frame["vote_entropy_score"], [1, 0.4, 0.6, 0.8, 0.2])  # high entropy is bad
    assert frame["is_vote_entropy_issue"].tolist() == [False, False, False, False, True]


def test_random_is_no_issue_unless_it_is_asked_for() -> None:
    assert list(to_cleanlab(small.scores())) == ["id", "is_q_score_issue", "q_score_score"]
    assert list(to_cleanlab(small.scores(), scores=["random"])) == ["id", "is_random_issue", "random_score"]


def test_a_selection_and_a_calibration_are_issues() -> None:
    chosen = to_cleanlab(small.selection())
    check_issues(chosen)
    assert chosen.iloc[:, 1].all()
    np.testing.assert_array_equal(chosen.iloc[:, 2], small.selection().columns["percentile"])
    calibration = small.calibration()
    wrong = to_cleanlab(calibration)
    check_issues(wrong)
    np.testing.assert_allclose(wrong["misclassified_score"], 1 - calibration.p_wrong)
    np.testing.assert_array_equal(wrong["is_misclassified_issue"], calibration.p_wrong > 0.5)


def test_tags_are_issues() -> None:
    frame = to_cleanlab(made(), scores=[], tags={"blurred": ["b.png"]})
    check_issues(frame)
    assert frame["is_blurred_issue"].tolist() == [False, True, False, False]
    assert frame["blurred_score"].tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"scores": ["no"]}, InputError, "there is no score no: choose from q_score"),
        ({"lowest": 1.5}, InputError, "lowest is 1.5, but a share from 0 to 1"),
        ({"record": small.probe()}, InputTypeError, "record is a ProbeResult, but Scores"),
    ],
)
def test_what_cannot_be_an_issue_is_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        to_cleanlab(**{"record": made(), **arguments})
