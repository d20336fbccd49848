"""The explorer in a real browser, on the demo run: every view, what one does there, and no request to anybody else."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from karat import demo, runs, store
from karat.explorer.app import create_app
from karat.explorer.explored import open_explored
from karat.scoring import score
from tests import report_records as small
from tests.explorer.web_run import write_run
from tests.test_report_browser import ARGUMENTS, CONTRAST

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
LARGE = 400_000
VIEWS = {
    "samples": "/samples",
    "samples_filtered": "/samples?correct=no&min.q_score=0.3&max.q_score=0.7&shown=n_active&order=desc&text=test",
    "samples_none": "/samples?text=nothing%20is%20like%20this",
    "sample": "/sample?id=test/04028",
    "heatmap": "/sample?id=test/04028&map=yes",
    "features": "/features",
    "feature": "/feature?number=184",
    "feature_maps": "/feature?number=184&maps=yes",
    "compare": "/compare",
    "compared": "/compare?other=normalised",
    "selection": "/selection",
    "tagged": "/selection?tag=odd",
    "error": "/sample?id=none",
}
WAITED = "() => document.fonts.ready.then(() => !document.querySelector('.waiting'))"


@dataclass
class Window:
    """A page of the browser, and what it asked for and complained of."""

    page: Any
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> Any:
        self.page.goto(self.address + path, wait_until="networkidle")
        return self.page

    @property
    def params(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    @property
    def found(self) -> int:
        return int(self.page.locator("#found span").first.inner_text().split()[0].replace(",", ""))

    def tiles(self) -> list[int]:
        """The places of the samples that are in the page."""
        return self.page.evaluate("[...document.querySelectorAll('#gallery li')].map(item => Number(item.dataset.at))")

    def first_in_sight(self) -> int:
        script = (
            "[...document.querySelectorAll('#gallery li')].find(i => i.getBoundingClientRect().top > -20).dataset.at"
        )
        return int(self.page.evaluate(script))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "chromium is not installed: apt-get install -y --no-install-recommends chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def served(run: Path, encoder: Path | None = None) -> Iterator[str]:
    """The address of a run that is being explored."""
    import uvicorn

    app = create_app(open_explored(run, encoder=encoder))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def demo_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo run with its encoder, beside a run of the same embeddings, normalised first; four samples are tagged."""
    folder = tmp_path_factory.mktemp("explored")
    demo.demo(folder / "demo")
    train, val = (store.load(folder / "demo" / "embeddings" / name) for name in ("train.emb", "val.emb"))
    runs.add_record(folder / "normalised", score(val, reference=train, epsilon=2, normalize=True))
    explored = open_explored(folder / "demo")
    explored.selection.tag("odd", [f"test/{number:05d}" for number in (115, 137, 560, 1799)])
    with served(folder / "demo", Path(str(files(demo) / "data" / "encoder.safetensors"))) as address:
        yield address


@pytest.fixture(scope="module")
def large_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A run of 400,000 samples without images: their gallery is taller than a page can be."""
    folder = tmp_path_factory.mktemp("large") / "run"
    columns = {
        "id": np.array([f"s{row:06d}" for row in range(LARGE)]),
        "q_score": np.arange(LARGE) / LARGE,
        "label": np.arange(LARGE) % 100_000,
    }
    runs.add_record(folder, small.scores(columns=columns, names=("q_score",)))
    with served(folder) as address:
        yield address


@pytest.fixture
def window(browser: Any, demo_address: str) -> Iterator[Callable[..., Window]]:
    """Opens windows; in the end nothing outside was asked for, and nothing complained."""
    opened: list[Window] = []

    def opening(
        address: str = demo_address, width: int = 1280, height: int = 900, scheme: str = "light", **settings: Any
    ) -> Window:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, **settings)
        made = Window(page, address)
        page.on("request", lambda request: made.requests.append(request.url))
        page.on("console", lambda message: made.complaints.append(message.text))
        page.on("pageerror", lambda error: made.complaints.append(str(error)))
        page.on("dialog", lambda dialog: made.complaints.append(dialog.message))
        opened.append(made)
        return made

    yield opening
    for made in opened:
        made.page.close()
        assert [url for url in made.requests if not url.startswith(made.address + "/")] == []
        assert made.complaints == []


# every view


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("view", [view for view in VIEWS if view != "error"])
def test_a_view_fits_the_window_and_can_be_read_by_everybody(
    window: Callable[..., Window], view: str, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = window(width=width, scheme=scheme).go(VIEWS[view])
    page.wait_for_function(WAITED)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{view}-{width}-{scheme}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.loading === 'lazy' || image.naturalWidth > 0)")
    assert page.evaluate(CONTRAST) >= 4.5
    found = Axe().run(page).response["violations"]
    serious = [
        (fault["id"], [node["html"] for node in fault["nodes"]])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_an_error_is_a_page_too(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go(VIEWS["error"])
    assert page.get_by_role("heading", name="Not found").is_visible()
    assert page.get_by_role("link", name="All samples").is_visible()
    (complaint,) = opened.complaints  # the browser itself says so
    assert "404" in complaint
    opened.complaints.clear()


# which samples


def test_a_brush_over_the_histogram_chooses_a_range(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/samples")
    all_of_them, before = opened.found, page.url
    box = page.locator(".plot").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], middle, steps=4)
    assert page.locator(".brush").evaluate("shade => parseFloat(shade.getAttribute('width'))") == pytest.approx(
        20, abs=0.5
    )
    with page.expect_navigation():
        page.mouse.up()
    low, high = (float(opened.params[f"{end}.q_score"]) for end in ("min", "max"))
    highest = float(page.locator(".histogram").get_attribute("data-high"))
    assert (low, high) == (pytest.approx(0.3 * highest, abs=0.01), pytest.approx(0.5 * highest, abs=0.01))
    assert 0 < opened.found < all_of_them
    values = page.locator("#gallery .line.number").all_inner_texts()
    assert values and all(low - 0.001 <= float(value) <= high + 0.001 for value in values)
    with page.expect_navigation():
        page.mouse.click(box["x"] + 0.9 * box["width"], middle)
    assert opened.found == all_of_them and "min.q_score" not in opened.params
    page.go_back()
    assert float(opened.params["min.q_score"]) == low
    page.go_back()
    assert page.url == before


def test_the_range_can_be_typed(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/samples?shown=n_active")
    page.get_by_label("from").fill("3")
    page.get_by_label("to", exact=True).fill("5")
    with page.expect_navigation():
        page.get_by_label("to", exact=True).press("Enter")
    assert opened.params == {"shown": "n_active", "min.n_active": "3.0", "max.n_active": "5.0"}
    assert page.get_by_role("link", name="n_active 3 to 5").is_visible()
    with page.expect_navigation():
        page.get_by_role("link", name="n_active 3 to 5").click()
    assert opened.params == {"shown": "n_active"}


def test_fields_filter_and_sort_and_stand_in_the_address(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/samples")
    everything = opened.found
    for label, choice, params in (
        ("Probe", "no", {"correct": "no"}),
        ("Order", "desc", {"correct": "no", "order": "desc"}),
        ("Sort by", "max_z", {"correct": "no", "order": "desc", "sort": "max_z"}),
    ):
        with page.expect_navigation():
            page.get_by_role("combobox", name=label).select_option(choice)
        assert opened.params == params
    wrong = opened.found
    assert 0 < wrong < everything
    assert page.locator("#gallery .wrong").count() == len(opened.tiles())
    values = [float(value) for value in page.locator("#gallery .line.number").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    page.get_by_role("combobox", name="Label", exact=True).fill("cat")
    with page.expect_navigation():
        page.get_by_role("combobox", name="Label", exact=True).press("Enter")
    assert set(page.locator("#gallery .name").all_inner_texts()) == {"cat"}
    cats, part = opened.found, page.locator("#gallery .id").first.inner_text()[:-2]
    page.get_by_label("Text").fill(part)
    with page.expect_navigation():
        page.get_by_label("Text").press("Enter")
    assert 0 < opened.found < cats < wrong
    assert all(name.startswith(part) for name in page.locator("#gallery .id").all_inner_texts())
    with page.expect_navigation():
        page.get_by_role("link", name="all filters: remove").click()
    assert opened.found == everything and opened.params == {"order": "desc", "sort": "max_z"}


def test_labels_are_offered_while_one_types(window: Callable[..., Window], large_address: str) -> None:
    opened = window(large_address)
    page = opened.go("/samples")
    page.get_by_role("combobox", name="Label", exact=True).focus()
    page.wait_for_function("() => document.querySelectorAll('#labels option').length === 50")  # of 100,000
    with page.expect_response("**/labels?prefix=99**"):
        page.get_by_role("combobox", name="Label", exact=True).press_sequentially("9912")
    page.wait_for_function("() => document.querySelector('#labels option')?.value.startsWith('9912')")
    assert set(page.locator("#labels option").evaluate_all("all => all.map(o => o.value.slice(0, 4))")) == {"9912"}


# the gallery


def test_only_what_is_seen_of_two_thousand_samples_is_in_the_page(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/samples")
    seen = set(opened.tiles())
    assert len(seen) < 120
    for _ in range(12):
        page.mouse.wheel(0, 1500)
        page.wait_for_timeout(120)
        page.wait_for_function(WAITED)
        assert len(opened.tiles()) < 120
        seen |= set(opened.tiles())
    assert seen == set(range(max(seen) + 1))  # none was passed over
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    page.wait_for_function(WAITED)
    assert max(opened.tiles()) == 1999
    asked = [url for url in opened.requests if "/samples/rows" in url]
    assert len(asked) == len(set(asked)) <= 34


def test_the_end_of_a_gallery_that_is_taller_than_a_page_can_be_is_reached(
    window: Callable[..., Window], large_address: str
) -> None:
    opened = window(large_address)
    page = opened.go("/samples")
    assert page.evaluate("document.documentElement.scrollHeight") < 5_000_000
    rows = LARGE // 8 * page.evaluate("document.querySelector('#gallery li').offsetHeight + 20")
    assert rows > 5_000_000
    for share, expected in ((0.5, LARGE / 2), (0.25, LARGE / 4), (1, LARGE - 1)):
        page.evaluate(f"scrollTo(0, {share} * document.documentElement.scrollHeight)")
        page.wait_for_timeout(400)
        page.wait_for_function(WAITED)
        assert max(opened.tiles()) == pytest.approx(expected, rel=0.1)
        assert len(opened.tiles()) < 120
    assert max(opened.tiles()) == LARGE - 1
    assert page.locator("#gallery li").last.locator(".id").inner_text() == f"s{LARGE - 1:06d}"
    page.evaluate("scrollTo(0, 0.6 * document.documentElement.scrollHeight)")
    page.wait_for_timeout(400)
    start = opened.first_in_sight()
    for _ in range(10):
        page.mouse.wheel(0, 300)
        page.wait_for_timeout(40)
    page.wait_for_timeout(400)  # the scroll bar catches up, and nothing moves
    assert 0 < opened.first_in_sight() - start < 8 * 25


def test_the_place_in_the_gallery_is_in_the_address_and_the_back_button_finds_it(
    window: Callable[..., Window], large_address: str
) -> None:
    for address in (None, large_address):
        opened = window(**({} if address is None else {"address": address}))
        page = opened.go("/samples")
        page.evaluate("scrollTo(0, 0.4 * document.documentElement.scrollHeight)")
        page.wait_for_timeout(700)
        page.wait_for_function(WAITED)
        place, scrolled = int(opened.params["at"]), opened.first_in_sight()
        assert abs(place - scrolled) <= 8
        page.locator(f'#gallery li[data-at="{place + 9}"] a').click()
        page.wait_for_url("**/sample?**")
        page.go_back(wait_until="networkidle")
        page.wait_for_function(WAITED)
        assert abs(opened.first_in_sight() - scrolled) <= 8
        deep = window(**({} if address is None else {"address": address}))
        deep.page.goto(page.url, wait_until="networkidle")
        assert abs(deep.first_in_sight() - scrolled) <= 8


def test_a_narrower_window_shows_the_same_place(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/samples?at=800")
    page.set_viewport_size({"width": 420, "height": 900})
    page.wait_for_timeout(400)
    assert abs(opened.first_in_sight() - 800) <= 8
    lefts = page.evaluate("[...document.querySelectorAll('#gallery li')].map(i => i.getBoundingClientRect().left)")
    assert len(set(lefts)) == 3


def test_the_gallery_is_a_list_that_the_keyboard_walks_through(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/samples")
    first = page.locator("#gallery li").first
    assert (first.get_attribute("aria-setsize"), first.get_attribute("aria-posinset")) == ("2000", "1")
    assert page.get_by_role("list", name="2,000 samples").get_by_role("listitem").count() > 8
    first.get_by_role("link").focus()
    for _ in range(2 * 80):  # a link and a box each
        page.keyboard.press("Tab")
    page.wait_for_function(WAITED)
    at = page.evaluate("Number(document.activeElement.closest('li').dataset.at)")
    assert at == 80
    page.keyboard.press("Enter")
    page.wait_for_url("**/sample?**at=80")


def test_without_scripts_the_gallery_has_pages(window: Callable[..., Window]) -> None:
    opened = window(java_script_enabled=False)
    page = opened.go("/samples?correct=no")
    page.get_by_label("Text").fill("test/0")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name="After").click()
    assert opened.params == {"correct": "no", "text": "test/0", "at": "60"}
    assert page.locator("#gallery li").count() == 60
    page.get_by_role("link", name="Before").click()
    assert opened.params == {"correct": "no", "text": "test/0"}


# one sample


def test_a_sample_shows_score_features_heatmap_and_verdict_in_one_view(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/sample?id=test/04028")
    for heading in ("What the probe sees", "Its features", "Scores", "Nearest neighbours", "Tags"):
        assert page.get_by_role("heading", name=heading).is_visible()
    shares = page.locator(".bars .value").all_inner_texts()
    assert len(shares) == 5 and [float(share.rstrip("%")) for share in shares] == sorted(
        (float(share.rstrip("%")) for share in shares), reverse=True
    )
    assert page.locator(".standings tbody tr").count() == 20
    picture = page.locator(".picture img")
    plain = picture.screenshot()
    with page.expect_navigation(wait_until="networkidle"):
        page.get_by_role("link", name=re.compile("where feature")).first.click()
    assert opened.params["feature"].isdecimal()
    assert picture.evaluate("image => image.naturalWidth") > 0
    assert picture.screenshot() != plain
    feature = picture.get_attribute("alt")
    assert feature == f"Where feature {opened.params['feature']} looks in test/04028"
    page.go_back(wait_until="networkidle")
    assert picture.screenshot() == plain


def test_one_walks_through_the_samples_in_the_order_that_was_chosen(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/samples?correct=no&order=desc&sort=max_z")
    names = page.locator("#gallery .id").all_inner_texts()[:3]
    page.locator("#gallery a").first.click()
    page.wait_for_url("**/sample?**")
    walked = [page.locator("h1").inner_text()]
    for _ in range(2):
        with page.expect_navigation():
            page.keyboard.press("ArrowRight")
        walked.append(page.locator("h1").inner_text())
    assert walked == names
    with page.expect_navigation():
        page.get_by_role("link", name="Previous").click()
    assert page.locator("h1").inner_text() == names[1]
    with page.expect_navigation():
        page.get_by_role("link", name="All samples").click()
    assert {"correct": "no", "order": "desc", "sort": "max_z"}.items() <= opened.params.items()


def test_a_neighbour_and_a_feature_lead_on(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/sample?id=test/04028")
    neighbour = page.locator(".gallery .id").first.inner_text()
    page.locator(".gallery a").first.click()
    page.wait_for_url("**/sample?**")
    assert page.locator("h1").inner_text() == neighbour
    page.go_back()
    number = page.locator(".fires a").first.inner_text()
    page.locator(".fires a").first.click()
    page.wait_for_url(f"**/feature?number={number}")


# tags


def test_samples_are_tagged_together_and_exported(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/samples")
    names = page.locator("#gallery .id").all_inner_texts()
    for place in (0, 3):
        page.locator(f'#gallery li[data-at="{place}"] input').check(force=True)
    page.mouse.wheel(0, 6000)
    page.wait_for_timeout(400)
    page.mouse.wheel(0, -6000)
    page.wait_for_timeout(400)
    assert page.locator("#gallery input:checked").count() == 2
    assert page.locator("#chosen").inner_text() == "2 chosen"
    page.locator(".tagging").get_by_role("combobox", name="Tag").fill("look again")
    with page.expect_navigation():
        page.get_by_role("button", name="Tag the chosen").click()
    assert urlsplit(page.url).path == "/samples"
    with page.expect_navigation():
        page.locator(".controls").get_by_role("combobox", name="Tag").select_option("look again")
    assert sorted(page.locator("#gallery .id").all_inner_texts()) == sorted([names[0], names[3]])
    page.get_by_role("link", name="Selection").click()
    page.get_by_role("link", name="look again", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("CSV")).first.click()
    assert names[3] in Path(download.value.path()).read_text(encoding="utf-8")


def test_all_that_a_filter_finds_is_tagged(window: Callable[..., Window]) -> None:
    opened = window()
    page = opened.go("/samples?label=ship&correct=no")
    found = opened.found
    page.locator(".tagging").get_by_role("combobox", name="Tag").fill("lost ships")
    with page.expect_navigation():
        page.get_by_role("button", name=f"Tag all {found}").click()
    opened.go("/samples?tag=lost+ships")
    assert opened.found == found


def test_a_tag_of_a_sample_comes_and_goes(window: Callable[..., Window]) -> None:
    opened = window(width=360)
    page = opened.go("/sample?id=test/00829")
    page.get_by_role("combobox", name="Tag").fill("<b>odd</b>")
    with page.expect_navigation():
        page.get_by_role("button", name="Add").click()
    assert opened.params["id"] == "test/00829"
    assert page.get_by_role("link", name="<b>odd</b>").is_visible()
    with page.expect_navigation():
        page.get_by_role("button", name="Remove the tag <b>odd</b>").click()
    assert page.get_by_role("link", name="<b>odd</b>").count() == 0


# hostile names


def test_hostile_names_do_nothing(window: Callable[..., Window], tmp_path: Path) -> None:
    hostile = "<script>document.title = 'stolen'</script><img src=x onerror=alert(1)>\"' " + "unbreakable" * 30
    run = write_run(tmp_path / "run", 60, ids=[f"{hostile}{row}" for row in range(60)], classes=(hostile, "a", "b"))
    with served(run) as address:
        opened = window(address, width=360)
        page = opened.go("/samples")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator("#gallery a").first.click()
        page.wait_for_url("**/sample?**")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.locator("h1").inner_text().startswith("<script>")
        assert page.title() != "stolen"


def test_a_run_without_images_has_placeholders(window: Callable[..., Window], large_address: str) -> None:
    page = window(large_address).go("/samples")
    assert page.locator("#gallery .blank").first.inner_text() == "no picture"
    page.locator("#gallery a").first.click()
    page.wait_for_url("**/sample?**")
    assert page.locator(".picture .blank").is_visible()
