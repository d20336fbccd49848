from __future__ import annotations

import base64
import io
import json
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karat.errors import FileFormatError, InputError, InputTypeError, OutputExistsError
from karat.images import open_images
from karat.reporting import figures, report
from karat.reporting.content import content
from karat.reporting.curves import histogram, risk_curves, share_curve
from karat.reporting.evaluation import evaluation_table
from karat.reporting.gallery import choose, pictures_of
from karat.reporting.html import render
from karat.reporting.samples import RIGHT, UNKNOWN, WRONG, read_samples
from karat.reporting.summary import summary
from karat.reporting.tables import class_table
from karat.runs import Images, add_images, add_record, open_run
from tests import report_records as small

HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(1)> {{ 7 * 7 }} ' javascript:alert(1)"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The elements of a page, in order, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def records() -> dict[str, object]:
    return {
        "scores": small.scores(),
        "probe": small.probe(),
        "evaluation": small.evaluation(),
        "metrics": small.metrics(),
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story") / "run"
    for record in records().values():
        add_record(folder, record)
    small.images(folder / "images.npz")
    add_images(folder, Images("images.npz", {f"s{row:03d}": f"{row:03d}" for row in range(120)}))
    return folder


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return report(run, run / "report.html").read_text()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures that are not drawn, for tests of other parts: drawing is what takes the time."""
    monkeypatch.setattr("vl_convert.vegalite_to_svg", lambda chart, **options: '<svg viewBox="0 0 1 1"></svg>')


def section(page: dict, kind: str) -> dict:
    return next(section for section in page["sections"] if section["kind"] == kind)


# The file


def test_the_page_refers_to_nothing_but_itself_and_runs_no_script(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert not page.all("script") and not page.all("iframe") and not page.all("object")
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "xlink:href" for name in attributes)
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert "url(" not in html and "@import" not in html
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert {"default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"} <= set(policy.split("; "))
    assert "script-src" not in policy


def test_the_page_can_be_read_by_machines_for_people(html: str) -> None:
    page = Page(html)
    levels = [int(tag[1]) for tag, _ in page.elements if tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(picture["alt"] for picture in page.all("img"))
    assert all(heading["scope"] for heading in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) >= 4
    assert all(box["aria-label"] for box in page.all("div") if box.get("role") == "img")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(ids)
    assert {box["aria-labelledby"] for box in page.all("section")} <= set(ids)


def test_every_section_of_a_whole_run_is_there_with_its_numbers(html: str) -> None:
    text = " ".join(Page(html).text.split())
    for heading in ("Health", "Scores", "Does the score find errors?", "Lowest and highest samples", "Probe"):
        assert heading in text
    assert "Not shown:" not in text
    for number in ("0.580 0.550 to 0.610", "66.7%", "30.0%", "17.2", "0123456789abcdef0123456789abcdef"):
        assert number in text


def test_equal_input_gives_equal_bytes(run: Path, html: str, tmp_path: Path) -> None:
    assert report(run, tmp_path / "again.html").read_text() == html


def test_an_output_that_exists_is_left_alone_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("mine")
    with pytest.raises(OutputExistsError, match="overwrite"):
        report(small.metrics(), out)
    assert out.read_text() == "mine"
    report(small.metrics(), out, overwrite=True)
    assert out.read_text().startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.usefixtures("undrawn")
def test_a_report_needs_no_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert report([small.scores(), small.metrics()], tmp_path / "report.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_the_page_stays_under_5_mb_with_large_noisy_images(tmp_path: Path) -> None:
    source = small.images(tmp_path / "noise.npz", side=400)
    out = report([small.scores(), small.probe()], tmp_path / "report.html", images=source)
    assert len(Page(out.read_text()).all("img")) == 72
    assert out.stat().st_size < 5_000_000


def test_hostile_text_is_shown_and_does_nothing(html: str, tmp_path: Path) -> None:
    long = "A" * 100_000
    columns = dict(small.scores().columns)
    columns["id"] = np.array([f"{HOSTILE} {row}" for row in range(119)] + [long])
    columns["label"] = np.array([HOSTILE] * 120)
    columns[HOSTILE] = np.arange(120.0)
    scores = small.scores(
        columns=columns, names=("q_score", HOSTILE), health=small.health(120, 40, warnings=(HOSTILE,))
    )
    judged = dict(small.probe().columns, id=columns["id"], prediction=columns["label"], label=columns["label"])
    rows = [small.row(HOSTILE, (0.6, 0.5, 0.7)), small.row("q_score", (0.5, 0.4, 0.6))]
    found = [scores, small.probe(columns=judged, head={HOSTILE: HOSTILE}), small.evaluation(*rows)]
    hostile = report(found, tmp_path / "hostile.html", title=HOSTILE, by=HOSTILE).read_text()
    page = Page(hostile)
    assert page.open == []
    assert "<script>alert(1)" in page.text and "49" not in page.text.split("{{")[1][:12]
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in Page(html).elements} - {"img"}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "A" * 50 in hostile and "A" * 100 not in hostile


# Sources


@pytest.mark.usefixtures("undrawn")
def test_a_record_several_records_and_a_file_of_one_can_be_reported(run: Path, tmp_path: Path) -> None:
    for name, source in {
        "one": small.scores(),
        "two": [small.metrics(), small.probe()],
        "file": run / "scores.parquet",
    }.items():
        assert "Not shown:" not in report(source, tmp_path / f"{name}.html").read_text()


def test_sections_of_several_records_of_a_kind_carry_the_names_of_the_records() -> None:
    page = content({"scores": small.scores(), "auto": small.scores(), "metrics": small.metrics()})
    assert [part["record"] for part in page["sections"] if part["kind"] == "health"] == ["scores", "auto"]
    assert section(page, "metrics")["record"] is None


@pytest.mark.parametrize("source", [7, [b"records"], [small.metrics(), None]])
def test_a_source_that_holds_no_records_is_refused(source: object, tmp_path: Path) -> None:
    with pytest.raises(InputTypeError, match="source"):
        report(source, tmp_path / "report.html")


def test_an_empty_list_and_a_folder_that_is_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one record"):
        report([], tmp_path / "report.html")
    with pytest.raises(FileFormatError, match=r"run\.json"):
        report(tmp_path, tmp_path / "report.html")


def test_an_unknown_score_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'nearness'.*q_score, random"):
        report(small.scores(), tmp_path / "report.html", by="nearness")


def test_images_that_were_asked_for_and_cannot_be_opened_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        report(small.scores(), tmp_path / "report.html", images=tmp_path / "nowhere")


# Missing and damaged parts


def damaged_run(folder: Path) -> Path:
    for record in records().values():
        add_record(folder, record)
    add_images(folder, Images("nowhere.npz", {}))
    return folder


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("scores.parquet", None, "the column 'q_score' of the scores record is missing"),
        ("records/probe.parquet", None, "the column 'label' of the probe record is missing"),
        ("records/metrics.json", b"{}", "metrics"),
        ("records/evaluation.json", None, "evaluation"),
        ("images.json", b"[", "images"),
        ("scores.parquet", b"PAR1 and no more", "scores"),
    ],
)
def test_a_missing_or_damaged_part_is_named_and_the_rest_is_shown(
    tmp_path: Path, file: str, content: bytes | None, named: str
) -> None:
    run = damaged_run(tmp_path / "run")
    (run / file).unlink() if content is None else (run / file).write_bytes(content)
    html = report(run, tmp_path / "report.html").read_text()
    page = Page(html)
    assert named in page.text and "missing" in page.text
    assert "nowhere.npz" in page.text or file == "images.json"
    assert len(page.all("section")) >= 5
    assert str(tmp_path) not in html


def test_a_column_whose_bytes_are_damaged_is_named_without_the_path_of_its_file(tmp_path: Path) -> None:
    add_record(tmp_path, small.scores())
    table = bytearray((tmp_path / "scores.parquet").read_bytes())
    table[4:60] = bytes(56)  # of the first column, id
    (tmp_path / "scores.parquet").write_bytes(table)
    page = content(open_run(tmp_path).records)
    assert section(page, "gallery")["damaged"].startswith("the column 'id' of the scores record cannot be read")
    assert str(tmp_path) not in json.dumps(page)


def test_a_score_that_is_text_is_a_damaged_column() -> None:
    columns = dict(small.scores().columns, q_score=np.array(["high"] * 120))
    assert "holds no numbers" in section(content({"scores": small.scores(columns=columns)}), "distribution")["damaged"]


def test_columns_of_other_lengths_are_a_damaged_table() -> None:
    columns = dict(small.scores().columns, id=np.array(["s000"]))
    page = content({"scores": small.scores(columns=columns)})
    assert "1 rows, but 120 are needed" in section(page, "gallery")["damaged"]
    assert "damaged" not in section(page, "health")


def test_activation_shares_that_do_not_fit_their_mask_are_a_damaged_part() -> None:
    page = content({"scores": small.scores(discriminative=np.ones(7, bool))})
    assert "damaged" in section(page, "activation")


def test_a_missing_and_a_corrupt_image_are_named_in_their_places(tmp_path: Path) -> None:
    data = np.frombuffer(b"no image", np.uint8)
    np.savez(tmp_path / "corrupt.npz", bytes=data, offsets=np.array([0, len(data)]), ids=np.array(["s001"]))
    pictures = pictures_of(["s001", "s002"], open_images(tmp_path / "corrupt.npz"))
    assert pictures == {"s001": {"missing": "unreadable image"}, "s002": {"missing": "no such image"}}


@pytest.mark.usefixtures("undrawn")
def test_numbers_that_are_not_defined_are_null_in_the_content_and_a_dash_on_the_page() -> None:
    nan = float("nan")
    page = content({"evaluation": small.evaluation(small.row("q_score", (nan, nan, nan)))})
    json.dumps(page, allow_nan=False)
    assert section(page, "evaluation")["rivals"][0]["auroc"] == {"value": None, "low": None, "high": None}
    assert page["summary"]["tone"] == "unknown"
    assert "- to -" in " ".join(Page(render(page)).text.split())


def test_the_content_of_a_whole_run_is_plain_json() -> None:
    page = content(records())
    assert json.loads(json.dumps(page, allow_nan=False)) == page


# The words


@pytest.mark.parametrize(
    ("auroc", "tone", "headline"),
    [
        ((0.80, 0.75, 0.85), "good", "q_score is informative here."),
        ((0.58, 0.55, 0.61), "fair", "q_score is informative here, but only weakly."),
        ((0.52, 0.49, 0.55), "poor", "q_score is not informative here: it does no better than a coin."),
        ((0.40, 0.35, 0.45), "poor", "q_score points the wrong way here: wrong samples score higher than right ones."),
    ],
)
def test_the_headline_says_whether_the_score_is_informative(auroc: tuple, tone: str, headline: str) -> None:
    found = summary({"evaluation": small.evaluation(small.row("q_score", auroc))})
    assert (found["tone"], found["headline"]) == (tone, headline)


def test_the_findings_give_auroc_beside_a_coin_and_the_ceiling_and_what_setting_aside_gains() -> None:
    assert summary({"evaluation": small.evaluation()})["findings"] == [
        "q_score ranks right above wrong samples with AUROC 0.58 [0.55, 0.61]; a coin gives 0.50; "
        "softmax_confidence, which needs labels, 0.79.",
        "Setting aside the 20% of samples with the lowest q_score lowers the probe's error rate: "
        "40.0% before, 38.0% after.",
    ]


def test_a_better_score_without_labels_is_named_but_never_random_or_one_with_labels() -> None:
    rows = [
        small.row("q_score", (0.52, 0.49, 0.55)),
        small.row("knn_similarity", (0.61, 0.58, 0.64)),
        small.row("random", (0.70, 0.60, 0.80)),
        small.row("softmax_margin", (0.80, 0.70, 0.90), labelled=True),
    ]
    found = summary({"evaluation": small.evaluation(*rows)})
    assert found["findings"][1] == "The best score without labels is knn_similarity, with 0.61 [0.58, 0.64]."
    assert "Choose samples by knn_similarity rather than by q_score." in found["next_steps"]


def test_without_an_evaluation_the_next_step_is_to_make_one() -> None:
    found = summary({"scores": small.scores(), "metrics": small.metrics()})
    assert found["tone"] == "unknown" and "has not been tested" in found["headline"]
    assert any("karat probe" in step and "karat evaluate" in step for step in found["next_steps"])
    assert found["warnings"] == list(small.scores().health.warnings)


# The numbers


def test_the_shares_of_a_histogram_and_those_of_0_by_rule_add_up_to_one() -> None:
    data = histogram(read_samples(small.scores(), [small.probe()], "q_score"))
    assert [(group["name"], group["n"]) for group in data["groups"]] == [("right", 80), ("wrong", 40)]
    for group in data["groups"]:
        assert group["by_rule"] == pytest.approx(0.3)
        assert sum(group["shares"]) + group["by_rule"] == pytest.approx(1)


def test_the_bins_of_a_histogram_count_what_lies_between_their_edges() -> None:
    values = np.r_[np.linspace(0, 1, 101), [50.0]]
    columns = {"id": np.arange(102), "random": values}
    data = histogram(read_samples(small.scores(columns=columns, names=("random",)), [], "random"))
    assert [group["name"] for group in data["groups"]] == ["all"] and data["groups"][0]["by_rule"] == 0
    assert data["clipped"]
    for low, high, share in list(zip(data["edges"], data["edges"][1:], data["groups"][0]["shares"], strict=False))[
        1:-1
    ]:
        assert share == pytest.approx(sum(low <= value < high for value in values) / 102)


@pytest.mark.parametrize("value", [0.0, 3.5, -1e12])
def test_a_score_of_one_value_has_a_histogram(value: float) -> None:
    columns = {"id": np.arange(9), "random": np.full(9, value)}
    data = histogram(read_samples(small.scores(columns=columns, names=("random",)), [], "random"))
    assert np.all(np.diff(data["edges"]) > 0)
    assert sum(data["groups"][0]["shares"]) == pytest.approx(1)


def test_verdicts_join_by_id_whatever_the_order_and_the_type_of_the_ids() -> None:
    columns = {"id": np.array([3, 1, 2]), "q_score": np.array([0.3, 0.1, np.nan])}
    judged = {
        "id": np.array(["1", "2", "9"]),
        "correct": np.array([True, False, True]),
        "prediction": np.array(["a", "b", "c"]),
    }
    samples = read_samples(small.scores(columns=columns, names=("q_score",)), [small.probe(columns=judged)], "q_score")
    assert samples.ids.tolist() == [3, 1] and samples.unscored == 1
    assert samples.verdict.tolist() == [UNKNOWN, RIGHT]
    assert samples.predictions.tolist() == [None, "a"]
    assert WRONG not in samples.verdict


def test_each_column_is_read_once() -> None:
    reads: Counter[str] = Counter()

    class Counted(dict):
        def __getitem__(self, name: str) -> np.ndarray:
            reads[name] += 1
            return super().__getitem__(name)

    content({"scores": small.scores(columns=Counted(small.scores().columns)), "probe": small.probe()})
    assert reads == {"id": 1, "label": 1, "q_score": 1}


def test_samples_of_0_by_rule_are_drawn_at_random_and_kept_out_of_the_order() -> None:
    samples = read_samples(small.scores(zeros=0.5), [], "q_score")
    rows = choose(samples)
    assert len(rows["by_rule"]) == len(set(rows["by_rule"].tolist())) == 24
    assert np.all(samples.values[rows["by_rule"]] == 0)
    assert rows["by_rule"].tolist() != sorted(rows["by_rule"].tolist())
    assert not np.array_equal(rows["by_rule"], choose(samples, seed=1)["by_rule"])
    assert np.array_equal(rows["by_rule"], choose(samples)["by_rule"])
    scored = sorted(value for value in samples.values.tolist() if value > 0)
    assert samples.values[rows["lowest"]].tolist() == scored[:24]
    assert samples.values[rows["highest"]].tolist() == scored[::-1][:24]


@pytest.mark.parametrize(("n", "lowest", "highest"), [(1, 1, 0), (2, 1, 1), (7, 3, 3), (49, 24, 24)])
def test_no_sample_is_both_lowest_and_highest(n: int, lowest: int, highest: int) -> None:
    rows = choose(read_samples(small.scores(n, zeros=0), [], "q_score"))
    assert (len(rows["by_rule"]), len(rows["lowest"]), len(rows["highest"])) == (0, lowest, highest)
    assert not set(rows["lowest"].tolist()) & set(rows["highest"].tolist())


def test_samples_of_equal_score_do_not_come_in_the_order_of_the_file() -> None:
    columns = {"id": np.arange(100), "random": np.zeros(100)}
    rows = choose(read_samples(small.scores(columns=columns, names=("random",)), [], "random"))
    assert rows["lowest"].max() > 24 and len(rows["by_rule"]) == 0


@pytest.mark.usefixtures("undrawn")
def test_the_page_says_how_many_samples_are_0_by_rule_and_how_many_are_shown() -> None:
    text = " ".join(Page(render(content({"scores": small.scores(zeros=0.5)}))).text.split())
    assert "60 of 120 samples have no highly active discriminative feature" in text
    assert "there is no order among them: here are 24 at random." in text
    text = " ".join(Page(render(content({"scores": small.scores(zeros=0.1)}))).text.split())
    assert "12 of 120 samples" in text and "here are all." in text


def test_a_tile_says_what_the_probe_made_of_its_sample() -> None:
    tiles = section(content(records()), "gallery")["sheets"][1]["tiles"]
    for tile in tiles:
        number = int(tile["id"][1:])
        assert tile["label"] == small.CLASSES[number % 3]
        assert tile["verdict"] == ("wrong" if number % 3 == 0 else "right")
        assert tile["prediction"] == ("cat" if number % 3 == 0 else tile["label"])


def test_a_missing_label_is_not_shown() -> None:
    columns = dict(small.scores().columns, label=np.array([None, float("nan"), ""] * 40, object))
    sheets = section(content({"scores": small.scores(columns=columns)}), "gallery")["sheets"]
    assert {tile["label"] for sheet in sheets for tile in sheet["tiles"]} == {None}


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_small_picture_is_kept_as_it_is_and_a_large_one_fits_in_192_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 96, 40, 3), dtype=np.uint8)
    small_one = pictures_of(["0"], open_images(pixels))["0"]["src"]
    assert small_one.startswith("data:image/png") and np.array_equal(np.asarray(decoded(small_one)), pixels[0])
    large = pictures_of(["0"], open_images(np.zeros((1, 300, 1200, 3), np.uint8)))["0"]["src"]
    assert large.startswith("data:image/jpeg") and decoded(large).size == (192, 48)


def test_pictures_are_found_by_the_paths_that_a_run_gives() -> None:
    pixels = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    found = pictures_of(["a", "b"], open_images(pixels), {"a": "2"})
    assert np.all(np.asarray(decoded(found["a"]["src"])) == 2)
    assert found["b"] == {"missing": "no such image"}


def test_features_are_counted_as_dead_rare_discriminative_and_generic() -> None:
    share = np.array([0.5, 0.0, 0.3, 0.1, 0.2, 0.0, 0.9])
    data = share_curve(share, np.isin(share, [0.2, 0.3]))
    assert data["share"] == [0.0, 0.0, 0.1, 0.2, 0.3, 0.5, 0.9]
    assert data["band"] == [4, 5]
    assert [data[name] for name in ("features", "dead", "rare", "discriminative", "generic")] == [7, 2, 1, 2, 2]


def test_a_share_curve_without_discriminative_features_has_no_band() -> None:
    data = share_curve(np.zeros(4), np.zeros(4, bool))
    assert data["band"] is None and (data["dead"], data["rare"], data["generic"]) == (4, 0, 0)
    ElementTree.fromstring(figures.share_curve(data, width=320))


def test_a_share_curve_of_many_features_keeps_its_ends_and_few_points() -> None:
    data = share_curve(np.arange(1, 5001) / 5000, np.ones(5000, bool))
    assert len(data["rank"]) <= 300
    assert (data["rank"][0], data["rank"][-1], data["share"][-1]) == (1, 5000, 1.0)


def test_the_evaluation_table_puts_labelled_scores_apart_and_chance_beside() -> None:
    table = evaluation_table(small.evaluation())
    assert [row["score"] for row in table["rivals"]] == ["q_score", "random"]
    assert [row["chance"] for row in table["rivals"]] == [False, True]
    assert [row["score"] for row in table["ceiling"]] == ["softmax_confidence"]
    expected = {"auroc": 0.5, "auprc": 0.6, "auprc_error": 0.4, "fpr95": 0.95, "aurc": 0.4, "augrc": 0.2}
    expected |= {"spearman": 0.0, "r_auroc": 0.5}
    assert table["chance"] == pytest.approx(expected)


def test_risk_curves_begin_where_they_are_more_than_noise() -> None:
    curves = risk_curves(small.evaluation())
    assert [curve["score"] for curve in curves] == ["q_score", "softmax_confidence", "random"]
    assert curves[0]["coverage"][0] == 0.05 and curves[0]["risk"][-1] == pytest.approx(0.4)


def test_classes_come_worst_first_with_their_most_frequent_mistake() -> None:
    rows = class_table(small.probe())
    assert [(row["label"], row["n"], row["accuracy"]) for row in rows] == [
        ("bird", 40, 0.0),
        ("cat", 40, 1.0),
        ("frog", 40, 1.0),
    ]
    assert (rows[0]["mistake"], rows[0]["mistakes"]) == ("cat", 40)
    assert rows[1]["mistake"] is None


def test_more_than_30_classes_are_not_listed() -> None:
    labels = np.arange(31)
    columns = {"id": labels, "label": labels, "prediction": labels, "correct": np.ones(31, bool)}
    assert class_table(small.probe(columns=columns)) is None
    assert "too many classes" in Page(render(content({"probe": small.probe(columns=columns)}))).text


# The figures


@pytest.mark.parametrize("width", [330, 720])
def test_figures_are_svg_in_the_colours_of_the_page(width: int) -> None:
    page = content(records())
    evaluation = section(page, "evaluation")
    drawn = [
        figures.histogram(section(page, "distribution")["histogram"], width=width),
        figures.histogram(section(content({"scores": small.scores()}), "distribution")["histogram"], width=width),
        figures.auroc_intervals(evaluation["rivals"] + evaluation["ceiling"], width=width),
        figures.risk_coverage(evaluation["curves"], width=width),
        figures.share_curve(section(page, "activation"), width=width),
    ]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert float(root.attrib["viewBox"].split()[2]) == width
        assert "#0000" not in svg and "var(--" in svg
        colors = {
            element.attrib[name] for element in root.iter() for name in ("fill", "stroke") if name in element.attrib
        }
        assert {color for color in colors if not color.startswith("var(")} <= {"none", "transparent"}
        assert not any("id" in element.attrib or "href" in element.attrib for element in root.iter())
        assert len(svg) < 60_000


def test_hostile_names_are_text_in_a_figure() -> None:
    curves = [{"score": HOSTILE, "labelled": False, "coverage": [0.5, 1.0], "risk": [0.2, 0.4]}]
    root = ElementTree.fromstring(figures.risk_coverage(curves, width=720))
    assert {element.tag for element in root.iter()} <= {"svg", "g", "path", "line", "text"}
    assert any(element.text and element.text.startswith("<script>") for element in root.iter("text"))
