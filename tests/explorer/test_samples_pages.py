"""The pages of samples without a browser: what they say is what the files say."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from karat import runs
from karat.explorer.histogram_figure import Bar, figure_of
from karat.explorer.histograms import Histogram
from karat.reporting.formats import number, share
from tests import report_records as small
from tests.explorer.web_run import browser_of, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("pages") / "run")


@pytest.fixture(scope="module")
def browser(run: Path) -> TestClient:
    return browser_of(run)


@pytest.fixture(scope="module")
def table(run: Path) -> dict[str, np.ndarray]:
    """The scores and the probe's verdicts, by row of the scores."""
    scores = {name: np.array(values) for name, values in pq.read_table(run / "scores.parquet").to_pydict().items()}
    judged = pq.read_table(run / "records" / "probe.parquet", columns=["id", "correct"]).to_pydict()
    correct = dict(zip(judged["id"], judged["correct"], strict=True))
    return scores | {"correct": np.array([correct[id] for id in scores["id"].tolist()])}


def ids(text: str) -> list[str]:
    """The ids of the tiles of a page."""
    return [unescape(id) for id in re.findall(r'class="line id"><bdi>(.*?)</bdi>', text)]


# all samples


@pytest.mark.parametrize(("params", "descending"), [({}, False), ({"order": "desc"}, True)])
def test_tiles_are_in_the_order_of_the_scores(
    browser: TestClient, table: dict[str, np.ndarray], params: dict[str, str], descending: bool
) -> None:
    rising = np.argsort(-table["q_score"] if descending else table["q_score"], kind="stable")
    expected = table["id"][rising].tolist()
    shown = [ids(browser.get("/samples/rows", params=params | {"offset": o, "limit": 60}).text) for o in (0, 60, 120)]
    assert [id for part in shown for id in part] == expected
    assert ids(browser.get("/samples", params=params).text) == expected[:60]


def test_a_filter_leaves_what_is_in_it(browser: TestClient, table: dict[str, np.ndarray]) -> None:
    kept = ~table["correct"] & (table["max_z"] >= 3.0) & (table["label"] == "cat")
    params = {"min.max_z": "3.0", "correct": "no", "label": "cat"}
    text = browser.get("/samples", params=params).text
    assert sorted(ids(text)) == sorted(table["id"][kept].tolist()) != []
    assert f'data-total="{kept.sum()}"' in text


def test_every_tile_knows_its_place_and_leads_to_its_sample_in_the_same_order(browser: TestClient) -> None:
    text = browser.get("/samples/rows", params={"offset": 60, "limit": 20, "correct": "yes", "sort": "max_z"}).text
    places = [int(place) for place in re.findall(r'aria-posinset="(\d+)"', text)]
    assert places == list(range(61, 61 + len(places)))
    for place, id, link in zip(places, ids(text), re.findall(r'class="tile" href="(.*?)"', text), strict=True):
        parts = urlsplit(unescape(link))
        expected = {"id": [id], "correct": ["yes"], "sort": ["max_z"], "at": [str(place - 1)]}
        assert (parts.path, parse_qs(parts.query)) == ("/sample", expected)


def test_the_page_begins_with_the_block_that_its_place_is_in(browser: TestClient) -> None:
    text = browser.get("/samples?at=75").text
    assert 'start="61"' in text and 'data-at="75"' in text
    assert ids(text) == ids(browser.get("/samples/rows?offset=60&limit=60").text)
    assert ids(browser.get("/samples?at=100000").text) == ids(browser.get("/samples/rows?offset=120&limit=60").text)


@pytest.mark.parametrize(
    ("given", "led"),
    [
        ("sort=q_score&order=&correct=&label=&text=&shown=", "/samples"),
        ("sort=max_z&shown=max_z&min.max_z=3&max.max_z=", "/samples?sort=max_z&min.max_z=3.0"),
        ("at=0&correct=no", "/samples?correct=no"),
        ("elsewhere=1", "/samples"),
    ],
)
def test_equal_states_have_equal_addresses(browser: TestClient, given: str, led: str) -> None:
    answer = browser.get(f"/samples?{given}")
    assert (answer.status_code, answer.headers["location"]) == (303, led)
    assert browser.get(led).status_code == 200


def test_a_run_without_scores_that_are_called_q_score_is_sorted_by_its_first(tmp_path: Path) -> None:
    columns = {"id": np.array(["a", "b", "c"]), "max_z": np.array([2.0, 3.0, 1.0])}
    runs.add_record(tmp_path / "run", small.scores(columns=columns, names=("max_z",)))
    browser = browser_of(tmp_path / "run")
    answer = browser.get(browser.get("/samples").headers["location"])
    assert ids(answer.text) == ["c", "a", "b"]
    assert "lowest <code>max_z</code> first" in answer.text


def test_numbers_that_are_infinite_or_missing_are_shown(tmp_path: Path) -> None:
    columns = {"id": np.array(["a", "b", "c"]), "q_score": np.array([np.inf, np.nan, 1.0])}
    runs.add_record(tmp_path / "run", small.scores(columns=columns, names=("q_score",)))
    browser = browser_of(tmp_path / "run")
    text = browser.get("/samples").text
    assert sorted(ids(text)) == ["a", "b", "c"]
    assert "2 samples have no such number" in text
    assert browser.get("/sample?id=a").status_code == browser.get("/sample?id=b").status_code == 200


# the histogram


def test_bars_are_as_high_as_the_bins_are_full() -> None:
    figure = figure_of(Histogram(np.array([0.0, 1.0, 2.0, 4.0]), np.array([4, 0, 2]), None, 7))
    assert figure.bars == (Bar("all", 1.75, 0.0, 21.5, 100.0), Bar("all", 53.5, 50.0, 43.0, 50.0))
    assert (figure.low, figure.high, figure.waist, figure.chosen, figure.missing) == (0.0, 4.0, None, None, 7)


def test_right_goes_up_and_wrong_goes_down_and_the_unjudged_are_left_out() -> None:
    histogram = Histogram(np.array([0.0, 1.0, 2.0]), np.array([5, 9]), np.array([3, 1]), 0)
    figure = figure_of(histogram, np.array([1, 0]))  # one and eight are not judged
    assert figure.waist == 75.0
    assert [(bar.kind, bar.y, bar.height) for bar in figure.bars] == [
        ("right", 0.0, 75.0),
        ("right", 50.0, 25.0),
        ("wrong", 75.0, 25.0),
    ]


def test_the_bars_of_a_page_hold_what_the_probe_gets_right_and_wrong(
    browser: TestClient, table: dict[str, np.ndarray]
) -> None:
    text = browser.get("/samples").text
    right, wrong = (
        sum(map(float, re.findall(rf'class="bar-{kind}" .*? height="(.*?)"', text))) for kind in ("right", "wrong")
    )
    assert wrong / right == pytest.approx(np.mean(~table["correct"]) / np.mean(table["correct"]), rel=1e-3)


@pytest.mark.parametrize(
    ("bounds", "chosen"),
    [
        ((None, None), None), ((1.0, 3.0), (25.0, 50.0)), ((None, 1.0), (0.0, 25.0)), ((-9.0, 9.0), (0.0, 100.0)),
        ((5.0, 6.0), (100.0, 0.0)),
    ],
)  # fmt: skip
def test_the_shade_lies_over_the_range(
    bounds: tuple[float | None, float | None], chosen: tuple[float, float] | None
) -> None:
    histogram = Histogram(np.array([0.0, 2.0, 4.0]), np.array([1, 1]), None, 0)
    assert figure_of(histogram, None, *bounds).chosen == chosen


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-3e-9, 4e-9), (1e12, 3e12), (-85.3, -12.1), (0.0, 29.41)])
def test_a_few_round_numbers_stand_below_the_bars(ends: tuple[float, float]) -> None:
    figure = figure_of(Histogram(np.linspace(*ends, 5), np.ones(4), None, 0))
    assert 3 <= len(figure.ticks) <= 9
    for value, place in figure.ticks:
        assert ends[0] <= value <= ends[1]
        assert place == pytest.approx(100 * (value - ends[0]) / (ends[1] - ends[0]), abs=0.01)
        assert len(f"{value:.4g}".strip("-").replace(".", "").split("e")[0].strip("0")) <= 2


# one sample


def test_a_score_stands_where_the_share_of_lower_ones_says(browser: TestClient, table: dict[str, np.ndarray]) -> None:
    row = 17
    text = browser.get("/sample", params={"id": table["id"][row]}).text
    told = re.findall(r'<code>(\w+)</code></a></th>.*?class="value">(.*?)</td><td class="value">(.*?)</td>', text)
    expected = [
        (name, number(table[name][row]), share(float(np.mean(table[name] < table[name][row]))).replace("<", "&lt;"))
        for name in ("q_score", "n_active", "max_z", "random")
    ]
    assert told == expected


def test_the_features_of_a_sample_are_those_that_were_kept(browser: TestClient, run: Path) -> None:
    with np.load(run / "activations" / "part-00000.npz", allow_pickle=False) as kept:
        row = slice(*kept["indptr"][17:19])
        active = sorted(zip(kept["value"][row].tolist(), kept["col"][row].tolist(), strict=True), reverse=True)
    inside = pq.read_table(run / "features.parquet").to_pydict()["in_D"]
    text = browser.get("/sample?id=img/017.png").text
    shown = re.findall(
        r'<a href="/feature\?number=(\d+)">\d+</a>( <span class="in-d")?.*?class="value">(.*?)<', text, re.S
    )
    assert (
        [(int(j), bool(marked), value) for j, marked, value in shown]
        == [(j, inside[j], number(value)) for value, j in active]
        != []
    )


def test_the_neighbours_are_nearest_by_centred_cosine(browser: TestClient, run: Path) -> None:
    h = np.load(run / "embeddings" / "val.emb" / "part-00000.npy").astype(np.float64)
    h -= h.mean(0)
    h /= np.linalg.norm(h, axis=1, keepdims=True)
    order = [row for row in np.argsort(-(h @ h[17])).tolist() if row != 17]
    assert ids(browser.get("/sample?id=img/017.png").text) == [f"img/{row:03d}.png" for row in order[:12]]


def test_before_and_after_are_those_of_the_order(browser: TestClient, table: dict[str, np.ndarray]) -> None:
    order = table["id"][np.argsort(-table["max_z"], kind="stable")].tolist()
    for place in (0, 70, 149):
        text = browser.get("/sample", params={"id": order[place], "sort": "max_z", "order": "desc"}).text
        found = {way: re.search(rf'rel="{way}" href="(.*?)"', text) for way in ("prev", "next")}
        led = {way: link and parse_qs(urlsplit(unescape(link[1])).query) for way, link in found.items()}
        state = {"sort": ["max_z"], "order": ["desc"]}
        assert led["prev"] == (None if place == 0 else {"id": [order[place - 1]], **state})
        assert led["next"] == (None if place == 149 else {"id": [order[place + 1]], **state})


def test_a_run_that_changes_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 40)
    browser = browser_of(folder)
    assert "has changed" not in browser.get("/samples").text
    (folder / "run.json").write_text((folder / "run.json").read_text() + " ")
    assert "The run has changed since it was opened" in browser.get("/samples").text


def test_a_damaged_part_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 40)
    (folder / "records" / "probe.json").write_text("{")
    text = browser_of(folder).get("/samples").text
    assert "A part is missing; the rest is shown" in text or "parts are missing; the rest is shown" in text
    assert "probe.json" in text and len(ids(text)) == 40
