"""The pages of tagged sets, and their exports."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from html import unescape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from starlette.testclient import TestClient

from karat import runs
from karat.explorer.explored import open_explored
from tests import report_records as small
from tests.explorer.web_run import ADDRESS, browser_of, write_run

HOSTILE = "=cmd|' /C calc'!A0\"><script>alert(1)</script>"
NAMES = [f"{row:02d}.png" for row in range(9)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of image files, of which one has a label that is hostile."""
    folder = tmp_path / "run"
    for name in NAMES:
        (folder / "images").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / "images" / name)
    q_score = np.arange(9) / 8
    q_score[8] = np.nan
    columns = {"id": np.array(NAMES), "label": np.array([HOSTILE, *["cat"] * 8]), "q_score": q_score}
    runs.add_record(folder, small.scores(columns=columns, names=("q_score",)))
    runs.add_images(folder, runs.Images("images", dict(zip(NAMES, NAMES, strict=True))))
    return folder


@pytest.fixture
def browser(run: Path) -> TestClient:
    browser = browser_of(run)
    assert post(browser, "/tag", {"name": "worst", "id": [NAMES[8], NAMES[0], NAMES[3]], "next": "/selection"}) == 303
    return browser


def post(browser: TestClient, path: str, fields: dict[str, object], **headers: str) -> int:
    return browser.post(path, data=fields, headers={"Origin": ADDRESS, **headers}).status_code


def export(browser: TestClient, format: str, tag: str = "worst") -> bytes:
    answer = browser.get("/export", params={"tag": tag, "format": format})
    assert answer.status_code == 200, answer.text
    return answer.content


def shown(text: str) -> list[str]:
    return re.findall(r'<a class="tile" href="/sample\?id=([^"]+)"', text)


# ---- seeing and changing


def test_all_tags_are_listed_with_their_numbers(browser: TestClient) -> None:
    post(browser, "/tag", {"name": "blurred", "id": NAMES[1]})
    text = browser.get("/selection").text
    assert re.findall(r"<bdi>(\w+)</bdi></a></th><td class=\"value\">(\d+)", text) == [("blurred", "1"), ("worst", "3")]


def test_a_run_without_tags_says_what_to_do(run: Path) -> None:
    assert "Nothing is tagged yet" in browser_of(run).get("/selection").text


def test_a_tag_shows_its_samples(browser: TestClient) -> None:
    text = browser.get("/selection?tag=worst").text
    assert shown(text) == [NAMES[0], NAMES[3], NAMES[8]]
    assert "3 samples" in text


def test_samples_can_be_taken_out_of_a_tag(browser: TestClient) -> None:
    assert post(browser, "/untag", {"name": "worst", "id": [NAMES[0], NAMES[8]]}) == 303
    assert shown(browser.get("/selection?tag=worst").text) == [NAMES[3]]


def test_a_tag_is_renamed_and_an_existing_one_takes_it_up(browser: TestClient) -> None:
    post(browser, "/tag", {"name": "blurred", "id": [NAMES[1], NAMES[3]]})
    answer = browser.post("/selection/rename", data={"name": "worst", "new": " blurred "}, headers={"Origin": ADDRESS})
    assert (answer.status_code, answer.headers["location"]) == (303, "/selection?tag=blurred")
    assert shown(browser.get("/selection?tag=blurred").text) == [NAMES[0], NAMES[1], NAMES[3], NAMES[8]]
    assert browser.get("/selection?tag=worst").status_code == 404


def test_a_tag_that_is_renamed_to_itself_stays(browser: TestClient) -> None:
    assert post(browser, "/selection/rename", {"name": "worst", "new": "worst"}) == 303
    assert len(shown(browser.get("/selection?tag=worst").text)) == 3


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": "no", "new": "x"}, 404),
        ({"new": "x"}, 404),
        ({"name": "worst"}, 400),
        ({"name": "worst", "new": " "}, 400),
        ({"name": "worst", "new": "a\nb"}, 400),
        ({"name": "worst", "new": "x" * 81}, 400),
    ],
)
def test_a_name_that_is_no_tag_changes_nothing(browser: TestClient, fields: dict[str, str], status: int) -> None:
    assert post(browser, "/selection/rename", fields) == status
    assert len(shown(browser.get("/selection?tag=worst").text)) == 3


def test_a_tag_is_deleted_from_its_page(browser: TestClient) -> None:
    assert post(browser, "/untag", {"name": "worst", "all": "1", "next": "/selection"}) == 303
    assert "Nothing is tagged yet" in browser.get("/selection").text


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_another_site_can_rename_nothing(browser: TestClient, origin: str) -> None:
    assert post(browser, "/selection/rename", {"name": "worst", "new": "stolen"}, Origin=origin) == 403
    assert browser.get("/selection/rename?name=worst&new=stolen").status_code in (404, 405)
    assert len(shown(browser.get("/selection?tag=worst").text)) == 3


def test_hostile_tags_and_labels_are_text(browser: TestClient) -> None:
    post(browser, "/tag", {"name": HOSTILE, "id": NAMES[0]})
    for text in (browser.get("/selection").text, browser.get("/selection", params={"tag": HOSTILE}).text):
        assert "<script>alert" not in text and HOSTILE in unescape(text)
    answer = browser.get("/export", params={"tag": HOSTILE, "format": "csv"})
    assert (
        answer.headers["content-disposition"] == 'attachment; filename="karat-cmd-C-calc-A0-script-alert-1-script.csv"'
    )


def test_tagged_samples_that_the_run_lacks_are_counted(run: Path, browser: TestClient) -> None:
    open_explored(run).selection.tag("worst", ["gone.png"])
    text = browser.get("/selection?tag=worst").text
    assert "1 tagged sample is not in this run any more" in text and len(shown(text)) == 3
    assert len(export(browser, "csv").splitlines()) == 4


# ---- exports


def test_csv_is_what_a_spreadsheet_can_open(browser: TestClient) -> None:
    rows = list(csv.DictReader(io.StringIO(export(browser, "csv").decode())))
    assert [row["id"] for row in rows] == [NAMES[0], NAMES[3], NAMES[8]]
    assert [row["q_score"] for row in rows] == ["0", "0.375", ""]
    assert rows[0]["label"] == f"'{HOSTILE}" and rows[1]["label"] == "cat"


def test_parquet_keeps_every_text_as_it_is(browser: TestClient) -> None:
    table = pl.read_parquet(export(browser, "parquet"))
    assert table["id"].to_list() == [NAMES[0], NAMES[3], NAMES[8]]
    assert table["label"].to_list() == [HOSTILE, "cat", "cat"]
    assert table["q_score"].to_list() == [0, 0.375, None]


def test_a_list_has_the_paths_of_the_image_files(run: Path, browser: TestClient) -> None:
    assert export(browser, "list").decode() == "".join(f"{run / 'images' / NAMES[row]}\n" for row in (0, 3, 8))


def test_fiftyone_gets_the_two_files_that_it_imports(run: Path, browser: TestClient) -> None:
    with zipfile.ZipFile(io.BytesIO(export(browser, "fiftyone"))) as archive:
        assert sorted(archive.namelist()) == ["metadata.json", "samples.json"]
        samples = json.loads(archive.read("samples.json"))["samples"]
    assert [sample["filepath"] for sample in samples] == [str(run / "images" / NAMES[row]) for row in (0, 3, 8)]
    assert all(sample["tags"] == ["worst"] for sample in samples)
    assert [sample["q_score"] for sample in samples] == [0, 0.375, None]
    assert samples[0]["ground_truth"] == {"_cls": "Classification", "label": HOSTILE}
    assert export(browser, "fiftyone") == export(browser, "fiftyone")


def test_lightly_studio_gets_metadata_and_the_tag(run: Path, browser: TestClient) -> None:
    content = json.loads(export(browser, "lightly"))
    paths = [str(run / "images" / NAMES[row]) for row in (0, 3, 8)]
    assert content["tags"] == {"worst": paths} and list(content["metadata"]) == paths
    assert content["metadata"][paths[1]]["q_score"] == 0.375 and "q_score" not in content["metadata"][paths[2]]


def test_cleanlab_gets_issues_of_all_samples_in_the_order_of_the_run(browser: TestClient) -> None:
    table = pl.read_csv(export(browser, "cleanlab"))
    assert table["id"].to_list() == NAMES
    assert [row for row, is_issue in enumerate(table["is_worst_issue"]) if is_issue] == [0, 3, 8]
    assert table["worst_score"].to_list() == [0, 1, 1, 0, 1, 1, 1, 1, 0]
    assert table["q_score_score"].to_list() == [*(pytest.approx((row + 1) / 8) for row in range(8)), None]


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/export?tag=worst&format=xlsx", 400, "one of csv, parquet, list, fiftyone, lightly, cleanlab is needed"),
        ("/export?tag=no&format=csv", 404, "There is no such tag"),
        ("/export?format=csv", 400, "tag"),
        ("/selection?tag=no", 404, "There is no such tag"),
        ("/selection?at=-1", 400, "at"),
    ],
)
def test_what_there_is_not_is_not_exported(browser: TestClient, address: str, status: int, words: str) -> None:
    answer = browser.get(address)
    assert answer.status_code == status and words in unescape(answer.text)


def test_images_that_are_no_files_can_be_exported_without_paths_only(tmp_path: Path) -> None:
    browser = browser_of(write_run(tmp_path / "run", 60))
    post(browser, "/tag", {"name": "worst", "id": ["img/003.png"]})
    for format in ("list", "fiftyone", "lightly"):
        answer = browser.get(f"/export?tag=worst&format={format}")
        assert answer.status_code == 400 and "files" in answer.text
    assert len(export(browser, "csv").splitlines()) == 2


def test_a_path_that_leads_out_of_the_images_is_not_exported(run: Path, browser: TestClient) -> None:
    paths = dict(zip(NAMES, NAMES, strict=True)) | {NAMES[3]: "../../secret.png"}
    runs.add_images(run, runs.Images("images", paths))
    browser = browser_of(run)
    answer = browser.get("/export?tag=worst&format=list")
    assert answer.status_code == 400 and "secret" not in answer.text
