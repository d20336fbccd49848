"""The explorer answers only its own user: hosts, other sites, tokens, headers, hostile names, paths, errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from karat.errors import InputError
from karat.explorer import explore
from karat.explorer.safety import LOOPBACK, allowed_hosts, is_loopback
from tests.explorer.web_run import ADDRESS, browser_of, write_run

TOKEN = "a token that is long enough"
HOSTILE = "<script>alert('stolen')</script><img src=x onerror=alert(1)>\"' {{ 7 * 7 }} ${7*7} javascript:alert(1)"
PAGES = (
    "/samples",
    "/sample?id=img/003.png",
    "/samples/rows?offset=0",
    "/static/explorer.css",
    "/picture?id=img/003.png",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("safety") / "run")


@pytest.fixture(scope="module")
def browser(run: Path) -> TestClient:
    return browser_of(run)


# who may ask


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "127.0.0.1", "localhost:9000", "LOCALHOST", "[::1]:8765"])
def test_this_machine_is_answered_by_each_of_its_names(browser: TestClient, host: str) -> None:
    assert browser.get("/samples", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "192.168.0.7:8765", "localhost@evil", "", "[::2]"],
)
@pytest.mark.parametrize("page", PAGES)
def test_a_name_that_was_pointed_at_this_machine_is_refused(browser: TestClient, host: str, page: str) -> None:
    answer = browser.get(page, headers={"Host": host})
    assert answer.status_code == 421
    assert "img/" not in answer.text


def test_two_hosts_in_one_request_are_refused(run: Path) -> None:
    browser = browser_of(run)
    twice = [("Host", "127.0.0.1:8765"), ("Host", "evil.example")]
    assert browser.get("/samples", headers=twice).status_code == 421


def test_a_server_on_every_address_is_reached_by_number_and_own_name_only(run: Path) -> None:
    browser = browser_of(run, hosts=allowed_hosts("0.0.0.0"))
    statuses = [
        browser.get("/samples", headers={"Host": host}).status_code
        for host in ("192.0.2.7:8765", "[::7]", "evil.example")
    ]
    assert statuses == [200, 200, 421]


def test_a_server_on_one_address_is_reached_by_it(run: Path) -> None:
    assert allowed_hosts("fd00::7") == LOOPBACK | {"[fd00::7]"}
    browser = browser_of(run, hosts=allowed_hosts("192.0.2.7"))
    statuses = [
        browser.get("/samples", headers={"Host": host}).status_code for host in ("192.0.2.7:80", "192.0.2.8:80")
    ]
    assert statuses == [200, 421]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("mode", "dest"), [("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe"), ("cors", "empty")]
)
def test_a_page_of_another_site_can_embed_nothing(browser: TestClient, site: str, mode: str, dest: str) -> None:
    for page in PAGES:
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
        assert browser.get(page, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("site", "mode", "dest"),
    [("cross-site", "navigate", "document"), ("none", "navigate", "document"), ("same-origin", "cors", "empty")],
)
def test_a_link_that_somebody_follows_is_answered(browser: TestClient, site: str, mode: str, dest: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    assert browser.get("/samples", headers=headers).status_code == 200


OURS = {"Origin": ADDRESS}
FIELDS = {"name": "odd", "id": "img/003.png"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": f"{ADDRESS}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", **OURS},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
@pytest.mark.parametrize("address", ["/tag", "/untag"])
def test_another_site_cannot_change_a_tag(
    browser: TestClient, run: Path, headers: dict[str, str], address: str
) -> None:
    assert browser.post(address, data=FIELDS, headers=headers).status_code == 403
    assert not (run / "explorer" / "selections.json").exists()


@pytest.mark.parametrize("headers", [OURS, {"Sec-Fetch-Site": "same-origin"}, OURS | {"Sec-Fetch-Site": "same-origin"}])
def test_the_explorers_own_page_can_change_a_tag(browser: TestClient, headers: dict[str, str]) -> None:
    answer = browser.post("/tag", data=FIELDS | {"next": "/sample?id=img/003.png"}, headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sample?id=img%2F003.png")
    assert "odd" in browser.get("/sample?id=img/003.png").text
    browser.post("/untag", data=FIELDS, headers=headers)
    assert "odd" not in browser.get("/sample?id=img/003.png").text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_other_methods_are_refused(browser: TestClient, method: str) -> None:
    assert browser.request(method, "/samples").status_code == 405


def test_nothing_is_changed_by_reading(browser: TestClient) -> None:
    assert browser.get("/tag", params=FIELDS).status_code == 405
    assert browser.get("/untag", params=FIELDS).status_code == 405


def test_a_websocket_is_closed(run: Path) -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), browser_of(run).websocket_connect("/samples"):
        pass


# token


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "laptop.example", ""])
def test_an_address_that_others_reach_needs_a_token(run: Path, host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(InputError, match="others can reach: give a token"):
        explore(run, host=host, no_browser=True)


def test_a_short_token_is_refused(run: Path) -> None:
    with pytest.raises(InputError, match="the token has 6 characters, but at least 16 are needed"):
        explore(run, token="secret", no_browser=True)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("query", ["", "token=", "token=wrong", f"token={TOKEN[:-1]}", f"token={TOKEN} ", "Token=x"])
def test_without_the_token_nothing_is_told(run: Path, page: str, query: str) -> None:
    browser = browser_of(run, token=TOKEN)
    answer = browser.get(f"{page}{'&' if '?' in page else '?'}{query}")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "img/" not in answer.text and run.name not in answer.text.replace("The explorer", "")


def test_the_token_is_shown_once_and_then_a_cookie(run: Path) -> None:
    browser = browser_of(run, token=TOKEN)
    welcome = browser.get("/sample", params={"id": "img/003.png", "token": TOKEN})
    cookie = welcome.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/"))
    assert TOKEN not in cookie and TOKEN not in welcome.text.replace("+", " ")
    assert 'content="0; url=/sample?id=img%2F003.png"' in welcome.text
    assert browser.get("/sample?id=img/003.png").status_code == 200
    assert browser.post("/tag", data=FIELDS).status_code == 403


@pytest.mark.parametrize("cookie", ["", "x", TOKEN.replace(" ", "-"), "é"])
def test_a_made_up_cookie_is_no_token(run: Path, cookie: str) -> None:
    browser = browser_of(run, token=TOKEN)
    answer = browser.get("/samples", headers={"Cookie": f"karat_session={cookie}".encode()})
    assert answer.status_code == 401


def test_each_server_has_a_session_of_its_own(run: Path) -> None:
    first, second = browser_of(run, token=TOKEN), browser_of(run, token=TOKEN)
    first.get("/", params={"token": TOKEN})
    assert (
        second.get("/samples", headers={"Cookie": f"karat_session={first.cookies['karat_session']}"}).status_code == 401
    )


def test_the_welcome_page_leads_to_no_other_site(run: Path) -> None:
    for path in ("//evil.example/", "/\\evil.example", '/"><script>'):
        answer = browser_of(run, token=TOKEN).get(f"{ADDRESS}{path}", params={"token": TOKEN})
        (target,) = re.findall(r'content="0; url=([^"]*)"', answer.text)
        assert re.match(r"/[^/\\]", target) and "<script" not in answer.text


def test_tokens_are_compared_in_constant_time(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    digest = SimpleNamespace(compare_digest=lambda a, b: compared.append((a, b)) or a == b)
    monkeypatch.setattr("karat.explorer.safety.hmac", digest)
    browser_of(run, token=TOKEN).get("/", params={"token": "wrong"}, headers={"Cookie": "karat_session=x"})
    assert (b"wrong", TOKEN.encode()) in compared and len(compared) == 2


# headers


@pytest.mark.parametrize(
    "page", [*PAGES, "/nothing", "/sample?id=none", "/samples?sort=none", "/static/x", "/samples/rows"]
)
def test_every_answer_forbids_what_the_explorer_does_not_need(browser: TestClient, page: str) -> None:
    headers = browser.get(page).headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"].startswith("private")
    assert "access-control-allow-origin" not in headers


def test_refusals_carry_the_headers_too(run: Path) -> None:
    for answer in (browser_of(run).get("/", headers={"Host": "evil"}), browser_of(run, token=TOKEN).get("/")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]


# hostile content


class Markup(HTMLParser):
    """The elements of a page, and what the policy would refuse: scripts and styles in it, handlers, other addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.refused: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        given = dict(attributes)
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.refused.append(f"<script {given}>")
        if tag in ("style", "iframe", "object", "embed", "base"):
            self.refused.append(f"<{tag}>")
        for name, value in attributes:
            outside = name in ("src", "href", "action") and not re.match(r"/(?!/)|#", value or "")
            if name.startswith("on") or name == "style" or outside:
                self.refused.append(f"{tag} {name}={value}")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "<b>run"
    ids = [f"{HOSTILE} {row}" for row in range(60)]
    ids[:4] = ["../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "x" * 3000]
    return write_run(folder, 60, ids=ids, classes=(HOSTILE, "</script>", "&lt;"))


def test_hostile_names_and_labels_are_text(hostile: Path) -> None:
    browser = browser_of(hostile)
    browser.post("/tag", data={"name": "<i>tag</i>", "id": f"{HOSTILE} 7"}, headers=OURS)
    views = [
        browser.get("/samples"),
        browser.get("/samples", params={"text": HOSTILE, "tag": "<i>tag</i>"}),
        browser.get("/samples", params={"label": HOSTILE}),
        browser.get("/samples/rows", params={"offset": 0}),
        browser.get("/sample", params={"id": f"{HOSTILE} 7"}),
        browser.get("/sample", params={"id": HOSTILE}),
        browser.get("/samples", params={"sort": HOSTILE}),
        browser.get(f"/{HOSTILE}"),
    ]
    assert [view.status_code for view in views] == [200, 200, 200, 200, 200, 404, 400, 404]
    for view in views:
        page = Markup(view.text)
        assert page.refused == []
        assert not {"b", "i"} & set(page.elements) or "<i>tag" not in view.text
        assert "49" not in re.findall(r"\{\{ (\d+) \}\}|\$(\d+)", view.text)
    assert "&lt;script&gt;alert(" in views[0].text and "&lt;i&gt;tag" in views[4].text


@pytest.mark.parametrize(
    "name", ["../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "run.json", "images.npz"]
)
def test_an_id_is_never_a_path(hostile: Path, name: str) -> None:
    browser = browser_of(hostile)
    for address in ("/picture", "/heatmap"):
        answer = browser.get(address, params={"id": name})
        assert answer.status_code == 404 or answer.headers["content-type"] in ("image/jpeg", "image/png")
        assert b"root:" not in answer.content


def test_pictures_are_made_anew_from_pixels(browser: TestClient) -> None:
    whole, small = (browser.get("/picture", params={"id": "img/003.png"} | side) for side in ({}, {"side": 64}))
    for answer in (whole, small):
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.content.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    "path",
    [
        "../app.py", "..%2fapp.py", "%2e%2e/app.py", "..%5capp.py", "%2fetc%2fpasswd", "....//app.py",
        "explorer.css/..", "explorer.css%00", "", ".", "templates/page.html.j2",
    ],
)  # fmt: skip
def test_only_the_explorers_own_files_are_served(browser: TestClient, path: str) -> None:
    answer = browser.get(f"{ADDRESS}/static/{path}")
    assert answer.status_code in (404, 307)
    assert "import" not in answer.text and "root:" not in answer.text


@pytest.mark.parametrize(
    ("asked", "led"),
    [
        ("https://evil.example/a?b=c", "/a?b=c"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/%5Cevil.example"),
        ("/samples?at=60", "/samples?at=60"),
        ("javascript:alert(1)", "/alert%281%29"),
        ("/a\r\nSet-Cookie: x=y", "/aSet-Cookie%3A%20x%3Dy"),
    ],
)
def test_after_a_change_the_browser_stays_here(browser: TestClient, asked: str, led: str) -> None:
    answer = browser.post("/untag", data=FIELDS | {"next": asked}, headers=OURS)
    assert answer.headers["location"] == led


# errors


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/nothing", 404), ("/sample", 400), ("/sample?id=none", 404), ("/samples?sort=none", 400),
        ("/samples?min.q_score=low", 400), ("/samples?at=-1", 400), ("/samples/rows?offset=0&limit=100000", 400),
        ("/samples?min.none%22%3B--=1", 400), ("/picture?id=img/003.png&side=5000", 400),
        ("/samples?correct=perhaps", 400), ("/docs", 404), ("/openapi.json", 404),
    ],
)  # fmt: skip
def test_an_error_is_a_plain_page(browser: TestClient, address: str, status: int) -> None:
    answer = browser.get(address)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Traceback" not in answer.text and "site-packages" not in answer.text
    assert 'class="missing"' in answer.text


def test_an_unexpected_error_is_told_to_the_terminal_only(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("inner secret")

    monkeypatch.setattr("karat.explorer.samples.Samples.page", broken)
    answer = browser_of(run).get("/samples")
    assert answer.status_code == 500
    assert "inner secret" not in answer.text and "Traceback" not in answer.text
    assert capsys.readouterr().err == "karat: unexpected RuntimeError at /samples: inner secret\n"


@pytest.mark.parametrize(
    ("send", "status"),
    [
        (
            lambda browser: browser.post(
                "/tag", content=b"x" * (1 << 21), headers=OURS | {"Content-Type": "text/plain"}
            ),
            413,
        ),
        (lambda browser: browser.post("/tag", json={}, headers=OURS), 415),
        (lambda browser: browser.post("/tag", data={"name": "a"}, headers=OURS), 400),
        (lambda browser: browser.post("/tag", data={"name": "", "id": "img/003.png"}, headers=OURS), 400),
        (lambda browser: browser.post("/tag", data={"name": "a", "id": "none"}, headers=OURS), 404),
    ],
)
def test_a_form_that_is_none_changes_nothing(
    browser: TestClient, send: Callable[[TestClient], Any], status: int
) -> None:
    assert send(browser).status_code == status
    assert browser.get("/samples?tag=a").text.count("<li ") == 0
