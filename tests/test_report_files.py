"""The files of a report: formats, several runs, the size of a page, kept activations, runs that are not finished."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html import unescape
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import sparse

import karat
from karat.errors import FileFormatError, InputError, InputTypeError, OutputExistsError
from karat.records import Record
from karat.reporting import page_size, report
from karat.reporting.html import render
from karat.reporting.markdown import markdown
from karat.reporting.page_size import LEFT_OUT, fitted, picture_size
from karat.reporting.side_by_side import runs_section, runs_summary
from karat.reporting.sources import parts_of
from karat.reporting.writing import page_of
from karat.runs import Images, add_images, add_record
from tests import report_records as small
from tests.commands import Command
from tests.test_report_verdicts import RECORDS, undrawn, words  # noqa: F401 (a fixture)
from tests.test_reporting import HOSTILE, Page, section

TAG = re.compile(r"<[^>]*>|\\\\")
EVERYTHING = [small.scores(), small.probe(), *(make() for make in RECORDS.values())]


def run_of(folder: Path, *records: Record, images: bool = True) -> Path:
    """A run with these records, and with images where they are wanted."""
    for record in records or (small.scores(), small.probe(), small.judged(), small.measured()):
        add_record(folder, record)
    if images:
        small.images(folder / "images.npz")
        add_images(folder, Images("images.npz", {f"s{row:03d}": f"{row:03d}" for row in range(120)}))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_of(tmp_path / "run")


# JSON


@pytest.mark.usefixtures("undrawn")
def test_the_json_file_is_the_data_that_the_page_is_drawn_from(run: Path, tmp_path: Path) -> None:
    page = json.loads(report(run, tmp_path / "report.json").read_text())
    assert report(run, tmp_path / "report.html").read_text() == render(page)


@pytest.mark.usefixtures("undrawn")
def test_the_format_is_that_asked_for_or_of_the_ending(tmp_path: Path) -> None:
    record = small.measured()
    assert report(record, tmp_path / "a.md").read_text().startswith("karat")
    assert json.loads(report(record, tmp_path / "b.JSON").read_text())["schema"] == 1
    assert report(record, tmp_path / "c.txt").read_text().startswith("<!doctype html>")
    assert report(record, tmp_path / "d.html", format="json").read_text().startswith("{")
    with pytest.raises(InputError, match=r"format='pdf'.*html, md, json"):
        report(record, tmp_path / "e.pdf", format="pdf")


# Markdown


@pytest.mark.usefixtures("undrawn")
def test_markdown_has_every_word_and_number_of_the_page(tmp_path: Path) -> None:
    images = small.images(tmp_path / "images.npz")
    html = report(EVERYTHING, tmp_path / "report.html", images=images).read_text()
    body = html[html.index('<section class="summary') :]
    text = report(EVERYTHING, tmp_path / "report.md", images=images).read_text()
    told, known = (
        set(re.findall(r"[\w.%−+]+", unescape(TAG.sub(" ", page)).replace("_", " "))) for page in (body, text)
    )
    assert told - known == set()
    assert len(told) > 500


def test_the_figures_and_pictures_of_markdown_are_files_beside_it(run: Path, tmp_path: Path) -> None:
    text = report(run, tmp_path / "my report.md").read_text()
    shown = re.findall(r"\]\(([^)]*)\)|src=\"([^\"]*)\"", text)
    named = [(first or second).replace("%20", " ") for first, second in shown]
    folder = tmp_path / "my report_files"
    assert sorted(named) == sorted(f"my report_files/{file.name}" for file in folder.iterdir())
    for file in folder.iterdir():
        if file.suffix == ".svg":
            root = ElementTree.parse(file).getroot()
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert "--ink: #1b1e22" in file.read_text() and "http" not in file.read_text().replace(root.tag[1:27], "")
        else:
            Image.open(file).verify()
    assert len(list(folder.glob("picture-*.png"))) == 72
    assert len(list(folder.glob("figure-*.svg"))) == 4 + 1 + 3


def test_the_rows_of_a_markdown_table_have_as_many_cells_as_its_heading() -> None:
    page = page_of(parts_of(EVERYTHING))
    text, _ = markdown(render(page), "files")
    tables = [block for block in text.split("\n\n") if block.startswith("| ")]
    assert len(tables) >= 15
    for table in tables:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
        assert re.fullmatch(r"[| :-]+", table.splitlines()[1])


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("kind", RECORDS)
def test_hostile_text_is_no_markup_in_markdown(kind: str) -> None:
    text = f"{HOSTILE} [link](https://evil.example) @someone #1 $x$ `tick` | pipe\n# heading"
    usual, _ = markdown(render(page_of(parts_of(RECORDS[kind]()))), "files")
    hostile, _ = markdown(render(page_of(parts_of(small.hostile(RECORDS[kind](), text)))), "files")
    bare = re.sub(r"(`+) ?.*?\1", "", hostile)  # what stands between backticks is text
    assert "<script" not in bare and "](https" not in bare and "@someone" not in bare and "\n# heading" not in hostile
    assert not re.search(r"(?<!\\)\$x", bare) and "https://" not in bare
    tags = set(re.findall(r"<\w+", usual)) | {"<sub", "<table", "<tr", "<td", "<br", "<details", "<summary"}
    assert set(re.findall(r"<\w+", bare)) <= tags


def test_the_files_of_an_earlier_markdown_are_left_alone_unless_they_may_be_overwritten(tmp_path: Path) -> None:
    out = report(small.measured(), tmp_path / "report.md")
    out.unlink()
    with pytest.raises(OutputExistsError, match="report_files"):
        report(small.measured(), out)
    assert not out.exists()
    report(small.measured(), out, overwrite=True)


# The command line


@pytest.mark.usefixtures("undrawn")
def test_the_command_takes_several_runs_and_names_the_file_by_the_format(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Command(capsys)
    other = run_of(tmp_path / "other", small.metrics(), images=False)
    monkeypatch.chdir(tmp_path)
    for form in ("html", "md", "json"):
        done = command("report", run, other, "--format", form)
        assert (done.status, done.out, done.err) == (0, "", f"-> report.{form}\n")
    assert "run, other" in Path("report.html").read_text()
    assert command("report", run, "-o", "data.json").status == 0 and json.loads(Path("data.json").read_text())
    done = command("report")
    assert (done.status, "needs a run" in done.err) == (2, True)
    assert command("report", run, "--format", "pdf").status == 2


# Several runs


@pytest.mark.usefixtures("undrawn")
def test_several_runs_stand_side_by_side_and_one_after_the_other(tmp_path: Path) -> None:
    first = run_of(tmp_path / "first")
    second = run_of(tmp_path / "second", small.scores(), small.probe(accuracy=0.75), small.measured(), images=False)
    third = run_of(tmp_path / "third", small.finetuning(), images=False)
    html = report([first, second, third], tmp_path / "report.html").read_text()
    page, text = Page(html), words(html)
    assert page.open == []
    assert "66.7% 75.0% -" in text and "0.580 0.550 to 0.610 - -" in text and "63.0% 60.0% before" in text
    assert "All scores here are of the same samples." in text and "first, second, third" in text
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(ids)
    assert len(page.all("article")) == 3 and len(page.all("img")) == 72


def test_runs_with_other_samples_are_called_that() -> None:
    others = small.scores(columns={**small.scores().columns, "id": np.arange(120)})
    runs = {"a": {"scores": small.scores()}, "b": {"scores": others}}
    assert runs_section(runs)["same"] is False
    assert "different samples" in runs_summary(runs, {})["next_steps"][0]
    assert runs_section({"a": {"scores": small.scores()}, "b": {"metrics": small.metrics()}})["same"] is None


def test_metrics_in_the_unit_of_the_features_are_not_set_side_by_side() -> None:
    rows = runs_section({"a": {"metrics": small.metrics()}, "b": {"metrics": small.measured()}})["rows"]
    named = {row["name"]: [cell and cell["value"] for cell in row["cells"]] for row in rows}
    assert named == {"effective_rank": [17.2, 17.2], "lidar": [None, 5.0]}


def test_the_summary_of_several_runs_counts_those_whose_score_is_informative() -> None:
    runs = {
        "good": {"evaluation": small.evaluation(small.row("q_score", (0.8, 0.7, 0.9)))},
        "poor": {"evaluation": small.evaluation(small.row("q_score", (0.5, 0.4, 0.6)))},
        "none": {"metrics": small.metrics()},
    }
    found = runs_summary(runs, {})
    assert found["headline"] == "3 runs side by side: the score is informative in 1 of the 2 that were judged."


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [run_of(tmp_path / parent / "run", small.metrics(), images=False) for parent in ("a", "b")]
    assert [part.name for part in parts_of(paths)] == ["a/run", "b/run"]
    assert [part.name for part in parts_of([paths[0], paths[0]])] == ["run", "run (2)"]
    assert [part.name for part in parts_of([paths[0], small.metrics(), small.probe()])] == ["run", "karat report"]


@pytest.mark.usefixtures("undrawn")
def test_a_score_that_only_one_of_the_runs_has_may_order_the_samples(tmp_path: Path) -> None:
    other = small.scores(names=("random",))
    page = page_of(parts_of([run_of(tmp_path / "a", small.scores()), run_of(tmp_path / "b", other)]), by="q_score")
    assert [section(run, "gallery")["score"] for run in page["runs"]] == ["q_score", "random"]


# The size of a page


def picture(side: int, seed: int = 0) -> dict:
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "png")
    return {"src": f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"}


def test_pictures_that_fit_are_left_as_they_are() -> None:
    page = {"notes": [], "sections": [picture(20), {"tiles": [picture(20, 1)]}]}
    assert picture_size(page) == len(picture(20)["src"]) + len(picture(20, 1)["src"])
    assert fitted(page, picture_size(page)) is page


def test_pictures_shrink_until_they_fit_and_the_page_says_so() -> None:
    page = {"notes": [], "sections": [{"picture": picture(200, seed), "id": seed} for seed in range(4)]}
    before = json.dumps(page)
    found = fitted(page, picture_size(page) // 20)
    assert json.dumps(page) == before  # no argument is changed
    assert picture_size(found) <= picture_size(page) // 20
    assert len(found["notes"]) == 1 and "% of their size" in found["notes"][0]
    assert [row["id"] for row in found["sections"]] == [0, 1, 2, 3]
    for row in found["sections"]:
        data = row["picture"]["src"].partition(",")[2]
        assert Image.open(io.BytesIO(base64.b64decode(data))).size[0] < 200


def test_pictures_that_do_not_fit_at_their_smallest_are_left_out_from_the_end_on() -> None:
    page = {"notes": [], "sections": [{"picture": picture(200, seed)} for seed in range(8)]}
    found = fitted(page, 6_000)
    kinds = ["src" if "src" in row["picture"] else row["picture"]["missing"] for row in found["sections"]]
    kept = kinds.count("src")
    assert 0 < kept < 8 and kinds == ["src"] * kept + [LEFT_OUT] * (8 - kept)
    assert picture_size(found) <= 6_000
    assert found["notes"][1].startswith(f"{8 - kept} of 8 pictures are left out")
    assert fitted(page, 0)["sections"][0]["picture"] == {"missing": LEFT_OUT}


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_page_of_many_runs_with_noisy_images_stays_under_5_mb_and_says_what_became_of_them(tmp_path: Path) -> None:
    source = small.images(tmp_path / "noise.npz", n=250, side=230)
    records = [small.scores(), small.probe(), small.selection(250), small.comparison()]
    runs = [run_of(tmp_path / f"run-{number}", *records, images=False) for number in range(3)]
    out = report(runs, tmp_path / "report.html", images=source)
    assert out.stat().st_size < 5_000_000
    text = words(out.read_text())
    assert re.search(r"Pictures are shown at \d\d% of their size, so that the page stays under 5 MB", text)


@pytest.mark.usefixtures("undrawn")
def test_where_text_takes_much_room_pictures_get_less(run: Path, tmp_path: Path, monkeypatch) -> None:
    full = report(run, tmp_path / "full.html").stat().st_size
    monkeypatch.setattr("karat.reporting.writing.LIMIT", full - 1000)
    monkeypatch.setattr("karat.reporting.writing._SLACK", 2000)
    out = report(run, tmp_path / "small.html")
    assert out.stat().st_size < full - 1000
    assert "left out" in words(out.read_text())
    monkeypatch.setattr("karat.reporting.writing.LIMIT", 10_000)
    with pytest.raises(InputError, match=r"without any picture.*fewer runs"):
        report(run, tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists() and page_size.LIMIT == 5_000_000


# The top features


def activations(run: Path, d: int = 40) -> None:
    """Kept activations of 120 samples: feature j is activated by the samples j, j + 1 and j + 2, the first most."""
    rows = [(j + step, j, 3.0 - step) for j in range(d) for step in range(3)]
    sample, column, value = map(np.array, zip(*rows, strict=True))
    kept = sparse.csr_array((value.astype(np.float32), (sample, column)), shape=(120, d))
    (run / "activations").mkdir()
    parts = {"indptr": kept.indptr.astype(np.int64), "col": kept.indices.astype(np.int32), "value": kept.data}
    np.savez(run / "activations" / "part-00000.npz", **parts)
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {"column": np.arange(d), "share": small.scores().activation_share, "in_D": small.scores().discriminative}
    pq.write_table(pa.table(table), run / "features.parquet")


@pytest.mark.usefixtures("undrawn")
def test_the_top_features_come_by_share_with_the_images_that_activate_them_most(run: Path) -> None:
    activations(run)
    found = section(page_of(parts_of(run)), "features")
    # Shares rise with the column, and D is the columns 20 to 37.
    assert [row["feature"] for row in found["rows"]] == list(range(37, 25, -1))
    assert [(tile["id"], tile["value"]) for tile in found["rows"][0]["tiles"]] == [
        ("s037", 3.0), ("s038", 2.0), ("s039", 1.0)
    ]  # fmt: skip
    assert all("src" in tile["picture"] for row in found["rows"] for tile in row["tiles"])
    text = words(render(page_of(parts_of(run))))
    assert "The 12 of 18 discriminative features" in text and "Feature 37 highly active in" in text


def test_halves_of_a_feature_are_called_by_their_sign(tmp_path: Path) -> None:
    health = small.health(120, 20, halves=True)
    run = run_of(tmp_path / "run", small.scores(health=health))
    activations(run)
    rows = section(page_of(parts_of(run)), "features")["rows"]
    assert [(row["feature"], row["half"]) for row in rows[:2]] == [(17, "−"), (16, "−")]


def test_damaged_activations_are_named_without_their_folder(run: Path) -> None:
    activations(run)
    (run / "activations" / "part-00000.npz").write_bytes(b"PK no zip")
    found = section(page_of(parts_of(run)), "features")
    assert found["damaged"].startswith("activations/part-00000.npz is damaged")
    assert str(run) not in json.dumps(page_of(parts_of(run)))


# Runs that are not finished, or elsewhere


@pytest.mark.usefixtures("undrawn")
def test_of_a_run_that_is_still_being_written_the_scores_are_shown(run: Path, tmp_path: Path) -> None:
    (run / "run.json").unlink()
    text = words(report(run, tmp_path / "report.html").read_text())
    assert "The part run.json is missing here: it is not there yet: the run is still being written" in text
    assert "Lowest q_score" in text
    (run / "scores.parquet").unlink()
    with pytest.raises(FileFormatError, match=r"has no run\.json yet: the run is still being written"):
        report(run, tmp_path / "again.html")


@pytest.mark.usefixtures("undrawn")
def test_images_that_moved_are_named_and_found_where_they_are_given(run: Path, tmp_path: Path) -> None:
    (run / "images.npz").rename(tmp_path / "moved.npz")
    html = report(run, tmp_path / "lost.html").read_text()
    assert "The part images is missing here: images.npz does not exist" in words(html)
    assert len(Page(html).all("img")) == 0 and "No pictures here" in words(html) and str(tmp_path) not in html
    found = report(run, tmp_path / "found.html", images=tmp_path / "moved.npz")
    assert len(Page(found.read_text()).all("img")) == 72


def test_something_else_than_paths_and_records_is_refused() -> None:
    with pytest.raises(InputTypeError, match="holds a int"):
        parts_of(["run", 7])  # type: ignore[list-item]


# Without torch

WITHOUT_TORCH = """
import sys


class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "lightly"):
            raise ImportError(f"{name} is blocked")


sys.meta_path.insert(0, Without())
import karat
for ending in ("html", "md", "json"):
    karat.report(sys.argv[1], f"{sys.argv[2]}/report.{ending}")
print(sorted(name for name in sys.modules if name.partition(".")[0] == "torch"))
"""


@pytest.mark.slow
def test_a_report_of_everything_needs_no_torch(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", *EVERYTHING)
    activations(run)
    source = str(Path(karat.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(run), str(tmp_path)],
        capture_output=True, text=True, env={"PYTHONPATH": source, "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    assert all((tmp_path / f"report.{ending}").stat().st_size > 20_000 for ending in ("html", "md", "json"))
