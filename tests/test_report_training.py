"""What a report says of trainings, of studies of them, and of the spectrum."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from karat.records import Estimate
from karat.reporting import figures, training_figures
from karat.reporting.content import content
from karat.reporting.html import render
from karat.reporting.spectra import spectrum_curve
from karat.reporting.studied import study_section, study_verdict
from karat.reporting.summary import summary
from karat.reporting.trained import finetuning_section, training_headline
from tests import report_records as small
from tests.test_report_verdicts import undrawn, words  # noqa: F401 (a fixture)


def curve(section: dict, name: str) -> dict:
    return next(each for each in section["losses"] + section["metrics"] if each["name"] == name)


# Trainings


def test_each_loss_and_metric_has_its_value_of_every_epoch() -> None:
    section = finetuning_section(small.finetuning(3))
    assert curve(section, "loss")["epoch"] == [1, 2, 3]
    assert curve(section, "loss")["values"] == [8, 4, 8 / 3]
    assert curve(section, "q_term")["values"] == [-1, -0.5, -1 / 3]
    assert curve(section, "norm_term")["values"] == [1, 0.5, 1 / 3]
    accuracy = curve(section, "linear_accuracy")
    assert (accuracy["epoch"], accuracy["before"], accuracy["unit"]) == ([0, 1, 2, 3], 0.6, "share")
    assert accuracy["values"] == pytest.approx([0.6, 0.61, 0.62, 0.63])
    assert curve(section, "loss")["before"] is None


def test_a_term_that_was_never_there_has_no_curve_and_lasso_is_called_that() -> None:
    plain = small.finetuning(history=tuple(replace(entry, q_term=0.0) for entry in small.finetuning().history))
    assert "q_term" not in [each["name"] for each in finetuning_section(plain)["losses"]]
    asked = replace(small.provenance("finetune"), parameters={"lasso": 1e-3})
    assert "Lasso" in curve(finetuning_section(small.finetuning(provenance=asked)), "norm_term")["meaning"]


def test_of_many_epochs_both_ends_are_listed_and_few_points_are_drawn() -> None:
    section = finetuning_section(small.finetuning(1000))
    rows = section["table"]["rows"]
    assert [row["epoch"] for row in rows] == [*range(20), *range(981, 1001)]
    assert section["table"]["left_out"] == 1001 - 40
    loss = curve(section, "loss")
    assert len(loss["epoch"]) <= 301 and (loss["epoch"][0], loss["epoch"][-1]) == (1, 1000)
    assert loss["values"][-1] == 8 / 1000


@pytest.mark.usefixtures("undrawn")
def test_the_page_says_what_the_training_came_to_and_what_it_does_not_prove() -> None:
    text = words(render(content({"finetuning": small.finetuning()})))
    for told in (
        "small was fine-tuned with simclr: linear accuracy 60.0% before, 63.0% after.",
        "linear accuracy 60.0% → 63.0%", "karat finetune --study", "few images.", "lambda2 0.0002", "batch size 64",
        "89ab89ab", "3 2.67 2.67 −0.333 0.333 0.900 0.0100 0.630",
    ):  # fmt: skip
        assert told in text
    assert "karat score EMB" not in text


def test_a_training_without_metrics_is_not_called_better() -> None:
    history = tuple(replace(entry, metrics={}) for entry in small.finetuning().history)
    bare = small.finetuning(history=history, n_val=0, from_scratch=True)
    assert "trained from scratch" in training_headline(bare) and "not been tested" in training_headline(bare)
    section = finetuning_section(bare)
    assert (section["metrics"], section["changes"]) == ([], [])
    assert "What the encoder was like" not in render(content({"finetuning": bare}))


# Studies


@pytest.mark.parametrize(("lead", "tone", "word"), [(0.05, "good", "better"), (-0.05, "poor", "worse")])
def test_the_headline_of_a_study_is_what_its_tests_say(lead: float, tone: str, word: str) -> None:
    assert study_verdict(small.study(lead))[0] == tone
    assert word in study_verdict(small.study(lead))[1]
    assert summary({"study": small.study(lead)})["headline"] == study_verdict(small.study(lead))[1]


def test_a_study_that_shows_nothing_says_so() -> None:
    tone, sentence = study_verdict(small.study(0.0))
    assert (tone, "not shown" in sentence) == ("poor", True)
    assert study_verdict(small.study(tests=()))[0] == "unknown"
    mixed = small.study()
    mixed = replace(mixed, tests=(replace(mixed.tests[0], p_holm=0.5), *mixed.tests[1:]))
    assert study_verdict(mixed)[0] == "fair"


@pytest.mark.usefixtures("undrawn")
def test_a_study_shows_each_arm_with_its_change_and_each_test() -> None:
    section = study_section(small.study())
    assert section["rows"][0]["title"] == "no fine-tuning"
    assert section["rows"][0]["cells"][0]["change"] is None
    assert section["rows"][-1]["cells"][0]["change"]["sign"] == 1
    assert section["rows"][-1]["cells"][1]["change"]["sign"] == 0
    text = words(render(content({"study": small.study()})))
    assert "fine-tuned with Q-Score 0.650 0.630 to 0.670 +0.050 (+0.030 to +0.070)" in text
    assert "fine-tuned with Q-Score fine-tuned, lambda = 0 +0.050 +0.030 to +0.070 0.001 better" in text
    assert text.count("As it is told.") == 2 and "accuracy at 60% of the features" in text


# The spectrum


def test_the_parts_of_the_variance_are_held_by_the_fewest_directions() -> None:
    found = spectrum_curve([0.5, 0.25, 0.125, 0.0625, 0.0625])
    assert [part["directions"] for part in found["parts"]] == [1, 4, 5]
    assert (found["rank"], found["share"][0]) == ([1, 2, 3, 4, 5], 0.5)
    assert (found["directions"], found["used"], found["fitted"]) == (5, 5, None)


def test_directions_without_variance_are_counted_and_not_drawn() -> None:
    found = spectrum_curve([0.75, 0.25, 0.0, 0.0])
    assert (found["directions"], found["used"], found["rank"]) == (4, 2, [1, 2])
    assert spectrum_curve([]) is None and spectrum_curve([0.0, 0.0]) is None


def test_a_spectrum_of_many_directions_keeps_its_ends_and_few_points() -> None:
    shares = [1 / 4096] * 4096
    found = spectrum_curve(shares)
    assert len(found["rank"]) <= 200 and (found["rank"][0], found["rank"][-1]) == (1, 4096)
    assert found["fitted"] == [11, 100]
    assert found["parts"][0]["directions"] == 2048


@pytest.mark.usefixtures("undrawn")
def test_the_page_shows_the_spectrum_where_it_was_measured() -> None:
    text = words(render(content({"metrics": small.measured()})))
    assert "directions that hold 90% of the variance 4 of 30" in text
    assert "The spectrum" not in words(render(content({"metrics": small.metrics()})))


# The figures


@pytest.mark.parametrize("width", [330, 720])
def test_figures_are_svg_in_the_colours_of_the_page(width: int) -> None:
    section, studied = finetuning_section(small.finetuning()), study_section(small.study())
    spectrum = spectrum_curve(small.measured().spectrum)
    drawn = [
        *(training_figures.epoch_curve(each, width=width) for each in section["losses"] + section["metrics"]),
        training_figures.study_accuracies(studied["arms"], width=width),
        training_figures.study_differences(studied["tests"], width=width),
        figures.spectrum(spectrum, width=width),
        figures.spectrum(spectrum | {"fitted": None}, width=width),
        figures.spectra([{"name": f"run {row}", **spectrum} for row in range(17)], width=width),
    ]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert float(root.attrib["viewBox"].split()[2]) == width
        assert "#0000" not in svg and len(svg) < 60_000
        colors = {found for element in root.iter() for name in ("fill", "stroke") if (found := element.get(name))}
        assert {color for color in colors if not color.startswith("var(")} <= {"none", "transparent"}


def test_one_epoch_a_constant_curve_and_unknown_intervals_can_be_drawn() -> None:
    point = {"epoch": [0], "values": [0.5], "unit": "share", "before": 0.5}
    ElementTree.fromstring(training_figures.epoch_curve(point, width=210))
    unknown = Estimate(math.nan, math.nan, math.nan)
    arms = tuple(replace(arm, linear_accuracy=unknown) for arm in small.study().arms)
    page = render(content({"study": small.study(arms=arms)}))
    assert "NaN" not in page and ">nan" not in page
