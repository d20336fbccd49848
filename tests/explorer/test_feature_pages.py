"""The pages of features: the activation shares, the table, what activates a feature."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from karat.explorer.app import create_app
from karat.explorer.explored import open_explored
from karat.explorer.features import Feature
from karat.explorer.share_figure import kinds_of, share_figure
from karat.runs import add_record, load_record
from tests.explorer.web_run import ADDRESS, browser_of, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("features") / "run")


@pytest.fixture(scope="module")
def browser(run: Path) -> TestClient:
    return browser_of(run)


def listed(run: Path) -> list[tuple[int, float, bool]]:
    """(number, share, in D) of all features, from the file."""
    table = pq.read_table(run / "features.parquet").to_pydict()
    return list(zip(table["column"], table["share"], table["in_D"], strict=True))


def activations(run: Path) -> np.ndarray:
    """[n, d], 0 where a feature is not highly active."""
    parts = []
    for file in sorted((run / "activations").iterdir()):
        with np.load(file) as arrays:
            part = np.zeros((len(arrays["indptr"]) - 1, len(listed(run))))
            rows = np.repeat(np.arange(len(part)), np.diff(arrays["indptr"]))
            part[rows, arrays["col"]] = arrays["value"]
            parts.append(part)
    return np.concatenate(parts)


def numbers_in(text: str) -> list[int]:
    """The features of the table, in its order."""
    return [int(number) for number in re.findall(r'<th scope="row"><a href="/feature\?number=(\d+)"', text)]


def test_the_table_begins_with_the_discriminative_features_by_falling_share(run: Path, browser: TestClient) -> None:
    text = browser.get("/features").text
    expected = sorted((one for one in listed(run) if one[2]), key=lambda one: (-one[1], one[0]))
    assert numbers_in(text) == [number for number, *_ in expected][:50]


@pytest.mark.parametrize(
    ("address", "key", "reverse"),
    [
        ("sort=number", lambda one: one[0], False),
        ("sort=number&order=desc", lambda one: one[0], True),
        ("sort=share&order=asc", lambda one: (one[1], one[0]), False),
        ("", lambda one: (-one[1], one[0]), False),
    ],
)
def test_the_table_is_sorted_as_the_address_says(
    run: Path, browser: TestClient, address: str, key, reverse: bool
) -> None:
    text = browser.get(f"/features?kind=all&{address}").text
    assert numbers_in(text) == [number for number, *_ in sorted(listed(run), key=key, reverse=reverse)][:50]
    assert len(re.findall(r'aria-sort="(ascending|descending)"', text)) == 1


def test_each_heading_turns_the_order_round(browser: TestClient) -> None:
    text = browser.get("/features?kind=all").text
    (link,) = re.findall(r'aria-sort="descending"><a href="([^"]+)"', text)
    assert parse_qs(urlsplit(unescape(link)).query) == {"kind": ["all"], "order": ["asc"]}
    back = browser.get(unescape(link)).text
    assert 'aria-sort="ascending"' in back and '<a href="/features?kind=all"><span' not in back
    assert numbers_in(back) != numbers_in(text)


def test_every_feature_is_of_one_kind_and_the_kinds_are_counted(run: Path, browser: TestClient) -> None:
    found = {}
    for kind in ("discriminative", "generic", "rare", "dead"):
        text = browser.get(f"/features?kind={kind}&sort=number").text
        found[kind] = numbers_in(text)
        (count,) = re.findall(rf'kind={kind}[^>]*>{kind} <span class="count">(\d+)</span>', text)
        assert int(count) == len(found[kind])
    assert sorted(number for numbers in found.values() for number in numbers) == list(range(48))
    band = [share for _, share, member in listed(run) if member]
    for number, share, member in listed(run):
        kind = "discriminative" if member else "dead" if share == 0 else "generic" if share > max(band) else "rare"
        assert number in found[kind]


def test_beside_a_feature_are_the_samples_that_activate_it_most(run: Path, browser: TestClient) -> None:
    number = max(listed(run), key=lambda one: one[1])[0]
    text = browser.get("/features?kind=all").text
    row = text.split(f'href="/feature?number={number}"')[1].split("</tr>")[0]
    order = np.argsort(-activations(run)[:, number], kind="stable")[:12]
    assert re.findall(r'<a href="/sample\?id=img%2F(\d+)\.png"', row) == [f"{at:03d}" for at in order]


def test_a_feature_has_its_share_rank_and_most_activating_images_with_values(run: Path, browser: TestClient) -> None:
    shares = sorted(listed(run), key=lambda one: (-one[1], one[0]))
    number, share, member = shares[3]
    text = browser.get(f"/feature?number={number}").text
    assert f"<h1>Feature {number}</h1>" in text
    assert "4 of 48" in text and f"{share:.1%}" in text
    assert ('<span class="in-d">D</span>' in text) is member
    values = activations(run)[:, number]
    order = [row for row in np.argsort(-values, kind="stable") if values[row] > 0][:60]
    gallery = text[text.index("top-heading") :]
    assert re.findall(r'<a class="tile" href="/sample\?id=img%2F(\d+)\.png"', gallery) == [f"{at:03d}" for at in order]
    shown = re.findall(r'<span class="line number">([^<]+)</span>', gallery)
    np.testing.assert_allclose([float(value) for value in shown], values[order], rtol=5e-3)
    assert f'rel="prev" href="/feature?number={shares[2][0]}"' in text
    assert f'rel="next" href="/feature?number={shares[4][0]}"' in text


@pytest.mark.parametrize("address", ["/feature?number=48", "/feature?number=999999999999"])
def test_a_feature_that_there_is_not_is_not_found(browser: TestClient, address: str) -> None:
    answer = browser.get(address)
    assert answer.status_code == 404 and "There is no feature" in answer.text


@pytest.mark.parametrize(
    "address",
    ["/feature", "/feature?number=x", "/feature?number=-1", "/features?sort=id", "/features?kind=no", "/features?at=-1",
     "/features?order=up"],
)  # fmt: skip
def test_an_address_that_means_nothing_is_refused(browser: TestClient, address: str) -> None:
    answer = browser.get(address)
    assert answer.status_code == 400 and "Traceback" not in answer.text


def test_a_page_past_the_end_is_the_last(browser: TestClient) -> None:
    assert numbers_in(browser.get("/features?kind=all&at=5000").text) == numbers_in(
        browser.get("/features?kind=all").text
    )


def test_a_run_without_activations_says_how_to_get_them(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "features.parquet").unlink()
    browser = browser_of(tmp_path / "run")
    answer = browser.get("/features")
    assert answer.status_code == 200 and "--keep-activations" in answer.text
    assert browser.get("/feature?number=1").status_code == 404


def test_halves_of_features_are_named_by_their_feature_and_sign(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    record = load_record(tmp_path / "run" / "scores.parquet")
    halved = replace(record, health=replace(record.health, halves=True, d=24), columns=dict(record.columns))
    add_record(tmp_path / "run", halved, overwrite=True)
    browser = browser_of(tmp_path / "run")
    assert "<h1>Feature 3+</h1>" in browser.get("/feature?number=3").text
    text = browser.get("/feature?number=27").text
    assert "<h1>Feature 3−</h1>" in text and "27: the negative half" in text


def test_where_a_feature_looks_is_shown_where_an_encoder_can_draw_it(run: Path) -> None:
    drawing = SimpleNamespace(of_features=True, problems=())
    app = create_app(replace(open_explored(run), heatmaps=drawing))  # type: ignore[arg-type]
    browser = TestClient(app, base_url=ADDRESS)
    plain = browser.get("/feature?number=5").text
    assert 'href="/feature?number=5&amp;maps=yes"' in plain and "/heatmap" not in plain
    assert re.search(r'href="/sample\?id=[^"]+&amp;feature=5"', plain)
    mapped = browser.get("/feature?number=5&maps=yes").text
    assert len(re.findall(r'src="/heatmap\?id=[^"]+&amp;feature=5"', mapped)) > 0 and 'src="/picture' not in mapped


# ---- the figure


def features(shares: list[float], members: list[bool]) -> tuple[Feature, ...]:
    order = sorted(range(len(shares)), key=lambda place: -shares[place])
    ranks = {place: rank for rank, place in enumerate(order, 1)}
    return tuple(
        Feature(place, share, member, ranks[place])
        for place, (share, member) in enumerate(zip(shares, members, strict=True))
    )


FIVE = features([0.0, 0.4, 0.1, 0.2, 0.3], [False, False, False, True, True])


def test_the_band_covers_the_discriminative_features_and_ends_at_their_shares() -> None:
    band = share_figure(FIVE).band
    assert band is not None
    assert (band.low, band.high) == (0.2, 0.3)
    assert (band.begin, band.width) == (40, 40)  # the third and fourth of five, from edge to edge
    assert (band.low_y, band.high_y) == (100 - 96 * 0.5, 100 - 96 * 0.75)


def test_the_curve_rises_and_the_marked_feature_lies_on_it() -> None:
    figure = share_figure(FIVE, FIVE[3])
    points = [tuple(map(float, point.split(","))) for point in figure.line.split()]
    assert points == [(10, 100), (30, 76), (50, 52), (70, 28), (90, 4)]
    assert figure.marked == (50, 52)
    assert (figure.highest, figure.features) == (0.4, 5)


def test_the_kinds_of_features_follow_from_the_band() -> None:
    assert kinds_of(FIVE) == ["dead", "generic", "rare", "discriminative", "discriminative"]


@pytest.mark.parametrize("shares", [[0.0, 0.0], [0.5, 0.5]])
def test_a_run_without_discriminative_features_has_no_band(shares: list[float]) -> None:
    figure = share_figure(features(shares, [False, False]))
    assert figure.band is None and figure.marked is None
    assert kinds_of(features(shares, [False, False])) == ["dead" if shares[0] == 0 else "rare"] * 2
