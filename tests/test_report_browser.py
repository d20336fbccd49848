"""The report in a real browser: it asks for nothing, complains of nothing, and fits narrow and wide windows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from karat.reporting import report
from karat.runs import add_record
from tests import report_records as small
from tests.test_report_files import activations

pytestmark = pytest.mark.browser

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
LONG = "unbreakable" * 30


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "chromium is not installed: apt-get install -y --no-install-recommends chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A usual report, one of hostile and endless text, one of damaged parts, and one of several runs."""
    folder = tmp_path_factory.mktemp("pages")
    further = [small.judged(), small.measured(), small.compression(), small.calibration(), small.selection()]
    further += [small.comparison(), small.explanation(), small.overlap(), small.faithfulness()]
    further += [small.finetuning(), small.study()]
    usual = [small.scores(), small.probe(), *further]
    hostile = f'<script>document.title = "stolen"</script><img src=x onerror=alert(1)>"\'{LONG}'
    columns = {name: np.array([f"{hostile}{row}" for row in range(120)]) for name in ("id", "label")}
    rows = [small.row(hostile, (0.6, 0.5, 0.7)), small.row(LONG, (0.7, 0.6, 0.8), labelled=True)]
    endless = [
        small.scores(
            columns={**small.scores().columns, **columns, hostile: np.arange(120.0)},
            names=("q_score", hostile),
            health=small.health(120, 40, warnings=(hostile,)),
        ),
        small.probe(columns={**small.probe().columns, **columns, "prediction": columns["label"]}, head={LONG: hostile}),
        small.evaluation(*rows),
        *(small.hostile(record, hostile) for record in further),
    ]
    runs = [folder / name for name in ("first", LONG[:200], "training")]
    for run, records in zip(runs, (usual, usual[:5], further[-2:]), strict=True):
        for record in records:
            add_record(run, record)
    activations(runs[0])
    return {
        "usual": report(usual, folder / "usual.html", images=small.images(folder / "images.npz")),
        "hostile": report(endless, folder / "hostile.html", by=hostile, title=hostile),
        "damaged": report(
            [small.scores(columns={}), small.selection(columns={}), small.comparison(columns={})],
            folder / "damaged.html",
        ),
        "several": report(runs, folder / "several.html", images=folder / "images.npz"),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("name", ["usual", "hostile", "damaged", "several"])
def test_a_report_fits_the_window_asks_for_nothing_and_complains_of_nothing(
    browser, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    address = pages[name].as_uri()
    page.goto(address, wait_until="load")
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert [url for url in requests if not url.startswith("data:")] == [address]
    assert complaints == []
    assert page.title() != "stolen"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(picture => picture.complete && picture.naturalWidth > 0)")
    page.close()


@pytest.mark.parametrize(("width", "shown"), [(360, "narrow"), (1200, "wide")])
def test_each_figure_is_shown_once_in_the_width_of_the_window(
    browser, pages: dict[str, Path], width: int, shown: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(pages["usual"].as_uri())
    figures = page.evaluate(
        "[...document.querySelectorAll('svg')].filter(figure => figure.checkVisibility()).map("
        "figure => [figure.parentElement.className, figure.getBoundingClientRect().right])"
    )
    assert [name for name, _ in figures if name not in ("small", "half")] == [shown] * 9
    assert [name for name, _ in figures].count("small") == 12
    assert [name for name, _ in figures].count("half") == 4
    assert all(right <= width for _, right in figures)
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (360, "light")])
@pytest.mark.parametrize("name", ["usual", "damaged", "several"])
def test_axe_finds_nothing_serious(browser, pages: dict[str, Path], name: str, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(pages[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = {
        each["id"]: [node["html"] for node in each["nodes"]]
        for each in found
        if each["impact"] in ("serious", "critical")
    }
    assert serious == {}
    page.close()


def test_every_scrolling_part_and_fold_can_be_reached_with_the_keyboard(browser, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 900})
    page.goto(pages["usual"].as_uri())
    wanted = page.evaluate("[...document.querySelectorAll('a[href], summary, [tabindex]')].length")
    reached = set()
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        place = page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)")
        reached.add(place)
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement === document.body")
    hidden = page.evaluate(
        "[...document.querySelectorAll('a[href], summary, [tabindex]')].filter(part => !part.checkVisibility()).length"
    )
    scrolling = page.evaluate(
        """[...document.querySelectorAll('*')].filter(part => part.checkVisibility()
          && part.scrollWidth > part.clientWidth && ['auto', 'scroll'].includes(getComputedStyle(part).overflowX)
        ).map(part => part.tabIndex)"""
    )
    assert len(reached) >= wanted - hidden
    assert scrolling and all(index == 0 for index in scrolling)
    page.close()


def test_a_printed_report_shows_what_is_folded_and_each_figure_once(browser, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["usual"].as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 794, "height": 1123})
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == "rgb(252, 252, 251)"  # that of the light scheme
    assert page.evaluate("document.querySelector('nav').checkVisibility()") is False
    shown = page.evaluate(
        "[...document.querySelectorAll('details > :not(summary)')]"
        ".every(part => part.getBoundingClientRect().height > 0)"
    )
    assert shown
    drawn = page.evaluate(
        "[...document.querySelectorAll('[role=img]')].map("
        "box => [...box.children].filter(part => part.checkVisibility()).length)"
    )
    assert set(drawn) == {1}
    assert page.pdf(format="A4")[:4] == b"%PDF"
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(browser, pages: dict[str, Path], scheme: str) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
    page.goto(pages["usual"].as_uri())
    assert page.evaluate(CONTRAST) >= 4.5
    page.close()


# The least contrast (WCAG) of any text, in the page and in the figures, with the nearest background behind it.
CONTRAST = """() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const luminance = color => {
    const [r, g, b] = channels(color).slice(0, 3).map(value => value / 255)
      .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
  };
  const contrast = element => {
    const style = getComputedStyle(element);
    const [front, back] = [element.tagName === 'text' ? style.fill : style.color, behind(element)].map(luminance);
    return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
  };
  const texts = [...document.body.querySelectorAll('*')].filter(element =>
    element.checkVisibility() && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  return Math.min(...texts.map(contrast));
}"""
