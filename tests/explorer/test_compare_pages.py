"""The page that compares two runs."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest, spearmanr
from starlette.testclient import TestClient

from karat import runs
from karat.errors import InputError
from karat.explorer.compared import compared, others_of
from karat.explorer.opened import open_run
from karat.explorer.scatter_figure import DOTS, GRID, scatter_figure
from karat.records.tables import read_record
from tests import report_records as small
from tests.explorer.web_run import browser_of, write_run


def add(folder: Path, seed: int, *, n: int = 40) -> Path:
    """A run with scores of "s000", "s001" ... in an order of their own, and a probe."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation([f"s{row:03d}" for row in range(n)])
    q_score = rng.random(n)
    right = rng.random(n) > 0.4
    labels = np.array(["a"] * n)
    scored = {"id": ids, "label": labels, "q_score": q_score, "entropy": 1 - q_score}
    runs.add_record(folder, small.scores(columns=scored, names=("q_score",)))
    columns = {"id": ids, "label": labels, "prediction": np.where(right, "a", "b"), "correct": right,
               "logits": np.zeros((n, 2), np.float32)}  # fmt: skip
    runs.add_record(folder, small.probe(columns=columns, classes=("a", "b")))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    add(folder / "one", 1)
    add(folder / "two", 2)
    (folder / "no run").mkdir()
    return folder


@pytest.fixture(scope="module")
def browser(folder: Path) -> TestClient:
    return browser_of(folder / "one")


def known(run: Path) -> dict[str, tuple[float, bool]]:
    scores, probe = (
        pq.read_table(run / "scores.parquet").to_pydict(),
        pq.read_table(run / "records/probe.parquet").to_pydict(),
    )
    right = dict(zip(probe["id"], probe["correct"], strict=True))
    return {id: (q, right[id]) for id, q in zip(scores["id"], scores["q_score"], strict=True)}


def places(run: Path) -> dict[str, float]:
    """The share of samples that score no better."""
    values = {id: q for id, (q, _) in known(run).items()}
    return {id: sum(other <= q for other in values.values()) / len(values) for id, q in values.items()}


def test_the_runs_beside_a_run_can_be_chosen(folder: Path, browser: TestClient) -> None:
    assert others_of(open_run(folder / "one")) == ["two"]
    text = browser.get("/compare").text
    assert re.findall(r'<option value="([^"]+)"', text) == ["two"]


def test_samples_that_rose_and_fell_most_come_first(folder: Path, browser: TestClient) -> None:
    before, after = places(folder / "one"), places(folder / "two")
    rise = {id: after[id] - before[id] for id in before}
    text = browser.get("/compare?other=two").text
    for end, sign in (("rose", 1), ("fell", -1)):
        part = text.split(f'id="{end}"')[1].split("</section>")[0]
        shown = re.findall(r'href="/sample\?id=(s\d+)"', part)
        sizes = [sign * rise[id] for id in shown]
        assert len(shown) == 12 and sizes == sorted(sizes, reverse=True)
        assert sizes[-1] >= sorted((sign * value for value in rise.values()), reverse=True)[12]
        first = f"{100 * before[shown[0]]:.0f}% → {100 * after[shown[0]]:.0f}%"
        assert first in part
    assert f"{spearmanr(list(before.values()), [after[id] for id in before])[0]:.3f}".replace("-", "−") in text


def test_what_the_probes_gained_and_lost_is_told(folder: Path, browser: TestClient) -> None:
    one, two = known(folder / "one"), known(folder / "two")
    gained = {id for id in one if two[id][1] and not one[id][1]}
    lost = {id for id in one if one[id][1] and not two[id][1]}
    text = browser.get("/compare?other=two").text
    for end, members in (("gained", gained), ("lost", lost)):
        part = text.split(f'id="{end}"')[1].split("</section>")[0]
        assert set(re.findall(r'href="/sample\?id=(s\d+)"', part)) <= members
        assert f"{len(members)} samples" in part
    p = binomtest(len(gained), len(gained) + len(lost)).pvalue
    assert f"{len(gained)}, {len(lost)} " in text and f"p {p:.3f}" in text
    assert len(re.findall(r'class="dot gained"', text)) == len(gained)
    assert len(re.findall(r'class="dot ', text)) == 40


def test_few_samples_are_dots_and_many_are_squares(folder: Path) -> None:
    pair = compared(open_run(folder / "one"), "two")
    before, after = places(folder / "one"), places(folder / "two")
    figure = scatter_figure(pair)
    assert figure.squares == () and {dot.id for dot in figure.dots} == set(before)
    dot = next(dot for dot in figure.dots if dot.id == "s007")
    assert (dot.x, dot.y) == pytest.approx((100 * before["s007"], 100 - 100 * after["s007"]), abs=0.01)
    n = DOTS + 1
    rng = np.random.default_rng(0)
    ids, nowhere = pa.array(map(str, range(n))), np.full(n, "")
    many = replace(pair, ids=ids, before=rng.random(n), after=np.full(n, 0.51), change=nowhere)
    drawn = scatter_figure(many)
    assert {square.y for square in drawn.squares} == {100 - 100 / GRID * (int(0.51 * GRID) + 1)}
    assert len(drawn.squares) == GRID and max(square.full for square in drawn.squares) == 1
    assert 0 < len(drawn.dots) <= 12


@pytest.mark.parametrize(
    "other", ["three", "no run", "one", "..", "../compared", "/etc", "two/../two", "two/", "<script>alert(1)</script>"]
)
def test_only_a_run_beside_this_one_is_opened(folder: Path, browser: TestClient, other: str) -> None:
    answer = browser.get("/compare", params={"other": other})
    assert answer.status_code == 400
    assert "there is no run" in unescape(answer.text) and "<script>alert" not in answer.text
    with pytest.raises(InputError):
        compared(open_run(folder / "one"), other)


def test_a_score_that_only_one_has_is_refused_with_those_that_both_have(browser: TestClient) -> None:
    answer = browser.get("/compare?other=two&by=entropy")
    assert answer.status_code == 400 and "that both runs have is needed: q_score" in answer.text


def test_a_run_on_its_own_says_so(tmp_path: Path) -> None:
    add(tmp_path / "alone", 1)
    assert "There is no other run beside this one" in browser_of(tmp_path / "alone").get("/compare").text


def test_runs_of_other_samples_cannot_be_compared(tmp_path: Path) -> None:
    add(tmp_path / "one", 1)
    write_run(tmp_path / "two", 60)
    answer = browser_of(tmp_path / "one").get("/compare?other=two")
    assert answer.status_code == 400 and "no sample in common" in answer.text


def test_samples_that_the_other_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    add(tmp_path / "one", 1, n=40)
    add(tmp_path / "two", 2, n=30)
    assert "10 samples of this run are not in" in browser_of(tmp_path / "one").get("/compare?other=two").text


def test_a_run_that_changes_is_compared_again(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "runs")
    first = open_run(tmp_path / "runs" / "one")
    assert compared(first, "two") is compared(first, "two")
    before = compared(first, "two").after
    scores = read_record(tmp_path / "runs" / "two" / "scores.parquet")
    flipped = {**scores.columns, "q_score": 1 - scores.columns["q_score"]}
    runs.add_record(tmp_path / "runs" / "two", small.scores(columns=flipped, names=("q_score",)), overwrite=True)
    np.testing.assert_allclose(compared(first, "two").after, 1 - before + 1 / 40)


def test_a_run_without_a_probe_is_compared_by_rank_alone(tmp_path: Path) -> None:
    add(tmp_path / "one", 1)
    add(tmp_path / "two", 2)
    shutil.rmtree(tmp_path / "two" / "records")
    text = browser_of(tmp_path / "one").get("/compare?other=two").text
    assert "McNemar" not in text and 'id="rose"' in text


def test_two_equal_runs_show_that_nothing_moved(tmp_path: Path) -> None:
    add(tmp_path / "one", 1)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert "Nothing moved" in browser_of(tmp_path / "one").get("/compare?other=two").text
