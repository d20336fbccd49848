"""What a report says of every kind of record but scores and probes."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karat import runs
from karat.images import open_images
from karat.images.decoding import encode_png
from karat.records import CurvePoint, Estimate, Record
from karat.reporting import report, verdict_figures
from karat.reporting.compared import comparison_section
from karat.reporting.compressed import compression_section, keep_curve
from karat.reporting.content import content
from karat.reporting.evaluation import class_break_down, difference_table, evaluation_section
from karat.reporting.html import render
from karat.reporting.labelling import calibration_section, selection_section
from karat.reporting.overlapping import faithfulness_section, overlap_section
from karat.reporting.summary import summary
from karat.reporting.whole_set import convergence_table, left_out_table, metrics_section
from tests import report_records as small
from tests.test_reporting import HOSTILE, Page

RECORDS = {
    "evaluation": small.judged,
    "metrics": small.measured,
    "compression": small.compression,
    "calibration": small.calibration,
    "selection": small.selection,
    "comparison": small.comparison,
    "explanation": small.explanation,
    "overlap": small.overlap,
    "faithfulness": small.faithfulness,
    "finetuning": small.finetuning,
    "study": small.study,
}
each_kind = pytest.mark.parametrize("kind", RECORDS)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures that are not drawn, for tests of other parts: drawing is what takes the time."""
    monkeypatch.setattr("vl_convert.vegalite_to_svg", lambda chart, **options: '<svg viewBox="0 0 1 1"></svg>')


def text_of(record: Record) -> str:
    """The words of a page about one record."""
    return words(render(content({record.kind: record})))


def words(html: str) -> str:
    """The words of a page; cells stand apart."""
    return " ".join(Page(re.sub("<(t[dh]|d[td])", r" <\1", html)).text.split())


# All kinds


@each_kind
@pytest.mark.usefixtures("undrawn")
def test_each_kind_has_a_section_of_plain_json_with_well_formed_html(kind: str) -> None:
    page = content({kind: RECORDS[kind]()})
    assert json.loads(json.dumps(page, allow_nan=False)) == page
    assert [section["kind"] for section in page["sections"]] == [kind, "provenance"]
    html = Page(render(page))
    assert html.open == []
    assert all(heading["scope"] for heading in html.all("th"))
    assert len(html.all("caption")) == len(html.all("table"))
    ids = [attributes["id"] for _, attributes in html.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


@each_kind
@pytest.mark.usefixtures("undrawn")
def test_the_warnings_of_each_kind_stand_in_its_section_and_in_the_summary(kind: str) -> None:
    record = replace(RECORDS[kind](), warnings=("beware of this",))
    assert content({kind: record})["summary"]["warnings"] == ["beware of this"]
    assert text_of(record).count("beware of this.") == 2


@each_kind
def test_hostile_text_is_shown_and_does_nothing(kind: str) -> None:
    page = Page(render(content({kind: small.hostile(RECORDS[kind](), HOSTILE)})))
    usual = Page(render(content({kind: RECORDS[kind]()})))
    assert page.open == []
    assert "<script>alert(1)" in page.text and "49" not in page.text.split("{{")[1][:12]
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in usual.elements} | {"rect"}
    assert not any(
        name.startswith("on") or name in ("src", "xlink:href") for _, found in page.elements for name in found
    )


@pytest.mark.usefixtures("undrawn")
def test_a_run_of_an_older_karat_is_reported_whole(tmp_path: Path) -> None:
    html = report(Path(__file__).parent / "data" / "first_run", tmp_path / "report.html").read_text()
    text = words(html)
    for told in ("Does the score find errors?", "The whole set", "Probe", "0.380 0.166 to 0.616"):
        assert told in text
    for told in ("Not shown", "missing here", "ρ with loss", "R-AUROC", "Which score is better?", "nan", "left out "):
        assert told not in text.replace("left out 0", "")


@pytest.mark.usefixtures("undrawn")
def test_the_page_stays_under_5_mb_with_large_noisy_images(tmp_path: Path) -> None:
    source = small.images(tmp_path / "noise.npz", n=250, side=250)
    records = [small.scores(), small.probe(), small.selection(250), small.comparison()]
    out = report(records, tmp_path / "report.html", images=source)
    assert len(Page(out.read_text()).all("img")) == 72 + 200 + 42
    assert out.stat().st_size < 5_000_000


# The evaluation


def test_paired_tests_have_a_row_a_score_and_a_column_for_each_it_is_tested_against() -> None:
    table = difference_table(small.judged().tests)
    assert (table["n"], table["against"]) == (3, ["q_score", "knn_similarity"])
    first, second = table["rows"]
    assert (first["score"], first["differences"][1]) == ("knn_similarity", None)
    assert first["differences"][0] == {
        "value": 0.08, "low": 0.04, "high": 0.12, "p": 0.001, "p_holm": 0.002, "sign": 1
    }  # fmt: skip
    assert [found["sign"] for found in second["differences"]] == [-1, 0]


@pytest.mark.usefixtures("undrawn")
def test_a_measure_that_is_known_of_no_score_has_no_column() -> None:
    assert evaluation_section(small.judged())["optional"] == ["spearman"]
    nothing = Estimate(math.nan, math.nan, math.nan)
    rows = tuple(replace(row, spearman=nothing, r_auroc=Estimate(0.6, 0.5, 0.7)) for row in small.judged().rows)
    evaluation = replace(small.judged(), rows=rows)
    assert evaluation_section(evaluation)["optional"] == ["r_auroc"]
    text = text_of(evaluation)
    assert "R-AUROC higher is better" in text and "ρ with loss" not in text


def test_classes_come_worst_first_with_the_auroc_of_the_leading_and_the_best_scores_inside() -> None:
    table = class_break_down(small.judged())
    assert table["scores"] == ["q_score", "knn_similarity", "softmax_confidence"]
    assert [(row["label"], row["errors"]) for row in table["rows"]] == [("frog", 28), ("cat", 20)]
    assert [row["auroc"] for row in table["rows"]] == [[None] * 3, [0.57, 0.61, 0.77]]


@pytest.mark.usefixtures("undrawn")
def test_of_many_classes_the_worst_100_are_listed() -> None:
    one = small.judged().classes[0]
    classes = tuple(replace(one, label=str(row), accuracy=row / 250) for row in range(250))
    table = class_break_down(replace(small.judged(), classes=classes))
    assert table["n"] == 250
    assert [row["label"] for row in table["rows"]] == [str(row) for row in range(100)]
    text = text_of(replace(small.judged(), classes=classes))
    assert "The 100 of 250 classes with the lowest accuracy" in text


@pytest.mark.usefixtures("undrawn")
def test_the_page_gives_the_base_rate_beside_auprc_the_tests_in_words_and_folds_the_classes() -> None:
    text = text_of(small.judged())
    assert "AUPRC higher is better base rate 0.600" in text
    assert "knn_similarity +0.080 +0.040 to +0.120 0.002 better" in text
    assert "random −0.090 −0.140 to −0.040 < 0.001 worse −0.010 −0.030 to +0.010 0.400 undecided" in text
    assert "corrected for all 3 tests (Holm)" in text
    assert "knn_similarity is the best on these very samples" in text
    html = render(content({"evaluation": small.judged()}))
    assert "Each class apart" in html[html.index("<details>") : html.index("frog</bdi>")]


# The whole set


def test_what_was_left_out_is_grouped_by_what_it_needs() -> None:
    groups = left_out_table({"lidar": "views", "clid": "time", "alignment": "views"})
    assert groups == [{"names": ["lidar", "alignment"], "why": "views"}, {"names": ["clid"], "why": "time"}]


def test_the_change_of_a_curve_is_that_of_its_last_step() -> None:
    rank, alpha, lidar = convergence_table(small.measured().curves)
    assert rank["change"] == pytest.approx(1.2 / 17.2)
    assert (alpha["change"], alpha["values"]) == (None, [None] * 3)
    assert (lidar["change"], lidar["of"]) == (0, "images")
    one, zero = small.measured().curves["lidar"], small.measured().curves["lidar"]
    found = convergence_table({"one": replace(one, n=(5,), values=(2.0,)), "zero": replace(zero, values=(1.0, 0.0))})
    assert [each["change"] for each in found] == [None, None]


@pytest.mark.usefixtures("undrawn")
def test_the_page_shows_what_was_left_out_and_each_curve() -> None:
    html = render(content({"metrics": small.measured()}))
    text = words(html)
    assert "left out coherence, clid needs time" in text
    assert "effective_rank last doubling +7.0%" in text
    assert html.count('<div class="small"><svg') == 3
    assert metrics_section(small.metrics())["curves"] == [] and "converged" not in text_of(small.metrics())


# Compression


def test_the_curve_of_each_method_rises_in_keep_and_all_features_stand_apart() -> None:
    backwards = tuple(reversed(small.compression().curve))
    data = keep_curve(backwards)
    assert data["keeps"] == [{"keep": 0.1, "k": 4}, {"keep": 0.25, "k": 10}]
    assert {each["method"] for each in data["methods"]} == {"karat", "random", "pca"}
    (karat,) = [each for each in data["methods"] if each["method"] == "karat"]
    assert [(point["keep"], point["value"]) for point in karat["points"]] == [(0.1, 0.5), (0.25, 0.55)]
    assert data["whole"]["value"] == 0.6


@pytest.mark.usefixtures("undrawn")
def test_the_page_says_plainly_whether_the_selection_beats_its_controls() -> None:
    text = text_of(small.compression())
    assert text.count("10 of 40 features: the selection is better than random; no better than pca.") == 2
    assert "random random subsets of the features +0.100 +0.070 to +0.130 0.003 better" in text
    assert "pca the first principal components −0.010 −0.030 to +0.010 0.300 undecided" in text
    assert "all_features nothing is dropped −0.050 −0.080 to −0.020 0.008 worse" in text
    assert "never highly active 5" in text and "The selection at 25%" in text


def test_a_compression_without_a_probe_shows_what_is_kept_and_no_curve() -> None:
    record = small.compression(curve=(), tests=(), verdict="Nothing is known of what this costs.")
    page = render(content({"compression": record}))
    assert "Nothing is known of what this costs." in page and "<svg" not in page
    assert compression_section(record)["curve"] == {"keeps": [], "methods": [], "whole": None}
    assert "Nothing is known" not in " ".join(summary({"compression": record})["findings"])


# Calibration


def test_a_calibration_shows_its_error_beside_what_chance_gives() -> None:
    section = calibration_section(small.calibration())
    values = {row["name"]: (row["value"], row["low"]) for row in section["rows"]}
    assert values["expected calibration error"] == (0.025, 0.01)
    assert values["the same by chance alone"] == (0.05, None)
    assert section["certain"] and [each["predicted"] for each in section["bins"]] == [0.125, 0.25, 0.5]
    assert not calibration_section(small.calibration(auroc=Estimate(0.52, 0.47, 0.57)))["certain"]


@pytest.mark.usefixtures("undrawn")
def test_the_page_has_the_reliability_diagram_and_its_numbers() -> None:
    html = render(content({"calibration": small.calibration()}))
    assert html.count("Reliability diagram") == 1 and html.count("<svg") == 2
    text = words(html)
    assert "learned from q_score, random (isotonic) and 110 labelled samples, of which 30.0% are misclassified" in text
    assert "40 12.5% 10.0% 4.0% to 23.0%" in text
    assert "0.025 0.010 to 0.060" in text


# Selection


def test_the_first_200_samples_are_shown_in_order_with_why() -> None:
    section = selection_section(small.selection(250), None)
    assert [row["id"] for row in section["rows"]] == [f"s{row:03d}" for row in range(200)]
    assert section["rows"][0] == {
        "id": "s000", "reason": "q_score in the lowest 0.1%", "picture": None, "score": 0.0, "percentile": 0.001,
        "distance": None,
    }  # fmt: skip
    text = text_of(small.selection(250))
    assert "250 of 1,000 samples" in text and "Here are the first 200." in text and "The next 176" in text
    assert "first 200" not in text_of(small.selection(30)) and "The next" not in text_of(small.selection(24))


@pytest.mark.usefixtures("undrawn")
def test_the_samples_to_label_have_pictures_where_there_are_images(tmp_path: Path) -> None:
    images = open_images(small.images(tmp_path / "images.npz", side=100))
    page = content({"selection": small.selection(130)}, images)
    rows = page["sections"][0]["rows"]
    assert [sorted(row["picture"]) for row in rows] == [["src"]] * 120 + [["missing"]] * 10
    html = Page(render(page))
    assert len(html.all("img")) == 120
    assert all(picture["alt"].startswith("Sample s") for picture in html.all("img"))


@pytest.mark.parametrize("missing", ["id", "q_score", "percentile", "distance", "reason"])
@pytest.mark.usefixtures("undrawn")
def test_a_selection_whose_table_lacks_a_column_says_so_in_its_place(missing: str) -> None:
    columns = {name: values for name, values in small.selection().columns.items() if name != missing}
    text = text_of(small.selection(columns=columns))
    assert f"Not shown: the column '{missing}' of the selection record is missing." in text


# Comparison


def test_samples_that_moved_most_come_first_and_unknown_ones_not_at_all() -> None:
    (move,) = comparison_section(small.comparison(), None)["moves"]
    sheets = {sheet["end"]: sheet for sheet in move["sheets"]}
    assert move["second"] == "new"
    # 119 samples with both percentiles, rising by 1 - 2i/120: 60 of them rise, one stays, 58 fall.
    assert {end: sheet["n"] for end, sheet in sheets.items()} == {"gained": 30, "lost": 6, "rose": 60, "fell": 58}
    assert [tile["id"] for tile in sheets["rose"]["tiles"]] == [f"s{row:03d}" for row in range(12)]
    assert [tile["id"] for tile in sheets["fell"]["tiles"]] == [f"s{118 - row:03d}" for row in range(12)]
    assert (sheets["rose"]["tiles"][0]["before"], sheets["rose"]["tiles"][0]["after"]) == (0, 1)


def test_of_the_samples_gained_some_are_shown_at_random_and_of_the_few_lost_all() -> None:
    (move,) = comparison_section(small.comparison(), None)["moves"]
    gained, lost = ([int(tile["id"][1:]) for tile in sheet["tiles"]] for sheet in move["sheets"][:2])
    assert len(gained) == len(set(gained)) == 12 and max(gained) < 30 and gained != sorted(gained)
    assert sorted(lost) == list(range(30, 36))


@pytest.mark.usefixtures("undrawn")
def test_numbers_stand_side_by_side() -> None:
    text = text_of(small.comparison())
    assert "old → new 116 50.0% → 70.0% +0.200 +0.100 to +0.300 30 6 < 0.001" in text
    assert "effective_rank exp of the entropy of the singular values; higher is better 17.2 21.7" in text
    assert "features 40 -" in text
    assert "q_score old → new 119 −0.970 −0.990 to −0.950 0%" in text
    assert "30 samples, 12 of them at random" in text
    assert "From old to new the probe gains 30 samples and loses 6: +20.0 points of accuracy [+10.0, +30.0]." in text


def test_a_change_that_chance_could_make_is_called_that() -> None:
    (shift,) = small.comparison().probes
    (found,) = summary({"comparison": small.comparison(probes=(replace(shift, p=0.3),))})["findings"]
    assert found.endswith("no difference that can be told from chance.")


@pytest.mark.usefixtures("undrawn")
def test_the_samples_that_moved_have_pictures_where_there_are_images(tmp_path: Path) -> None:
    images = open_images(small.images(tmp_path / "images.npz"))
    html = Page(render(content({"comparison": small.comparison()}, images)))
    assert len(html.all("img")) == 12 + 6 + 12 + 12


def test_a_comparison_without_its_table_still_shows_its_numbers() -> None:
    text = text_of(small.comparison(columns={}))
    assert "The samples that moved are not shown: the column 'id' of the comparison record is missing." in text
    assert "17.2 21.7" in text


# Heatmaps


@pytest.fixture
def explained(tmp_path: Path) -> Path:
    """A run with an explanation and its contact sheets."""
    run = tmp_path / "run"
    runs.add_record(run, small.explanation())
    (run / "maps").mkdir()
    for name in ("lowest", "highest", "features"):
        (run / "maps" / f"{name}.png").write_bytes(encode_png(np.zeros((20, 30, 3), np.uint8)))
    return run


def test_contact_sheets_are_embedded_and_the_page_stays_small(explained: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1100, 2800, 3), np.uint8)  # that of 24 images of 224 pixels
    Image.fromarray(noise).save(explained / "maps" / "lowest.png", compress_level=0)
    for name in ("highest", "features"):
        shutil.copy(explained / "maps" / "lowest.png", explained / "maps" / f"{name}.png")
    out = report(explained, explained.parent / "report.html")
    pictures = Page(out.read_text()).all("img")
    assert [picture["alt"].split(",")[0] for picture in pictures] == [
        "Contact sheet: The images with the lowest Q-Scores",
        "Contact sheet: The images with the highest Q-Scores",
        "Contact sheet: Features",
    ]
    assert out.stat().st_size < 2_000_000
    for picture in pictures:
        head, _, data = picture["src"].partition(",")
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert (head, image.format) == ("data:image/jpeg;base64", "JPEG")
            assert (str(image.width), str(image.height)) == (picture["width"], picture["height"])
            assert image.width / image.height == pytest.approx(2800 / 1100, rel=0.01)


def test_missing_and_damaged_contact_sheets_leave_a_placeholder(explained: Path) -> None:
    (explained / "maps" / "lowest.png").unlink()
    (explained / "maps" / "highest.png").write_bytes(b"no image")
    html = report(explained, explained.parent / "report.html").read_text()
    assert len(Page(html).all("img")) == 1
    assert "no such contact sheet" in words(html) and "unreadable contact sheet" in words(html)
    assert text_of(small.explanation()).count("no such contact sheet") == 3


def test_an_explanation_tells_its_counts_and_how_maps_were_made() -> None:
    text = text_of(small.explanation())
    for told in (
        "images with a map 12 of 120", "without a discriminative feature 36", "discriminative features 18 of 40",
        "each feature is the mean of one channel of the layer head",
    ):  # fmt: skip
        assert told in text
    text = text_of(small.explanation(exact=False, method="occlusion", layer=None))
    assert "It is exact" not in text and "Method: occlusion, how far a feature falls" in text


def test_maps_that_do_not_beat_the_centre_prior_are_reported_as_such() -> None:
    text = text_of(small.overlap(prior=0.44))
    told = "The maps of D do NOT beat the centre prior on core masks"
    assert text.count(told) == 2  # in the summary, and in the section
    (kind,) = overlap_section(small.overlap(prior=0.44))["kinds"]
    assert not kind["beats_prior"]
    text = text_of(small.overlap(prior=0.1))
    assert "do NOT beat" not in text
    assert text.count("The maps of D overlap core masks more than the centre prior does") == 2


def test_every_control_has_its_row_with_intervals() -> None:
    (kind,) = overlap_section(small.overlap())["kinds"]
    assert [row["maps"] for row in kind["rows"] if row["control"]] == ["random init", "centre prior", "random map"]
    text = text_of(small.overlap())
    assert "centre prior a blob in the middle of every image 110 0 0.440 0.420 to 0.460" in text
    assert "D, correct samples 55 4 0.200 0.180 to 0.220" in text
    assert "D minus centre prior 110 −0.190 −0.210 to −0.170" in text
    signs = {row["second"]: row["iou"]["sign"] for row in kind["differences"]}
    assert signs == {"not D": 1, "random init": 0, "centre prior": -1, "random map": -1, "D, wrong": 0}


@pytest.mark.parametrize(
    "record",
    [
        small.overlap(measured=small.overlap().measured[-1:]),
        small.overlap(differences=small.overlap().differences[:2]),
    ],
    ids=["without all samples", "without the centre prior"],
)
def test_an_overlap_without_its_controls_is_not_shown_and_breaks_nothing(record: Record) -> None:
    assert "Not shown: the overlap record" in text_of(record)


@pytest.mark.usefixtures("undrawn")
def test_faithfulness_has_a_curve_and_a_row_for_each_order() -> None:
    section = faithfulness_section(small.faithfulness())
    assert [each["of"] for each in section["quantities"]] == ["q_score", "cosine"]
    deletion, insertion = section["quantities"][0]["curves"]
    assert (deletion["mode"], insertion["mode"]) == ("deletion", "insertion")
    assert deletion["series"][0] == {
        "order": "map", "share": [0, 0.25, 0.5, 0.75, 1], "value": [1, 0.75, 0.5, 0.25, 0]
    }  # fmt: skip
    text = text_of(small.faithfulness())
    assert "random order 0.500 0.480 to 0.520 +0.100 +0.080 to +0.120 0.500" in text
    assert "Against the random order, for q_score: deletion is better with the map, insertion is better" in text
    assert "Against the centre prior, for cosine: deletion does not tell them apart" in text
    assert "map 0.400 0.380 to 0.420 0.600" in text


# The figures


@pytest.mark.parametrize("width", [330, 720])
def test_figures_are_svg_in_the_colours_of_the_page(width: int) -> None:
    drawn = [
        verdict_figures.keep_curve(keep_curve(small.compression().curve), width=width),
        verdict_figures.keep_curve(keep_curve(small.compression().curve[:-1]), width=width),
        verdict_figures.reliability(calibration_section(small.calibration())["bins"], width=width),
        *(
            verdict_figures.order_curves(curve, width=width)
            for curve in faithfulness_section(small.faithfulness())["quantities"][0]["curves"]
        ),
        *(verdict_figures.convergence(each, width=width) for each in convergence_table(small.measured().curves)),
    ]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert float(root.attrib["viewBox"].split()[2]) == width
        assert "#0000" not in svg and "var(--" in svg and len(svg) < 60_000
        colors = {found for element in root.iter() for name in ("fill", "stroke") if (found := element.get(name))}
        assert {color for color in colors if not color.startswith("var(")} <= {"none", "transparent"}


def test_a_curve_of_ten_methods_and_bins_at_zero_can_be_drawn() -> None:
    point = small.compression().curve[0]
    curve = tuple(CurvePoint(f"method-{row}", 0.5, 20, point.accuracy) for row in range(10))
    assert "method-9" in verdict_figures.keep_curve(keep_curve(curve), width=720)
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    ElementTree.fromstring(verdict_figures.reliability([{"n": 9, "predicted": 0.0, "observed": nothing}], width=720))
