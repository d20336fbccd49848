"""What keeps other sites and other people out: an ASGI layer around the explorer.

A page on another site can make a browser send requests to this machine. So of every request is checked: the Host header
(a name that was pointed at this machine after the fact, DNS rebinding, is refused), where the browser says that the
request comes from (Origin, Sec-Fetch-Site), and the token, where there is one. Every answer forbids the browser to run
or load anything but the explorer's own files.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})
SHORTEST_TOKEN = 16
COOKIE = "karat_session"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: under it a browser says "Origin: null" when it posts our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
_READING, _WRITING = ("GET", "HEAD"), ("POST",)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("laptop")
    (True, True, False, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str) -> frozenset[str]:
    """What the Host header may say to a server that listens at `host`: its names, without a port.

    >>> sorted(allowed_hosts("127.0.0.1") - LOOPBACK), sorted(allowed_hosts("192.0.2.7") - LOOPBACK)
    ([], ['192.0.2.7'])
    """
    own = {socket.gethostname().lower()} if host in EVERY_ADDRESS else set()
    return LOOPBACK | own | {f"[{host}]" if ":" in host else host.lower()}


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered."""

    status: HTTPStatus
    why: str


@dataclass(frozen=True)
class Safety:
    """An ASGI application that answers only what it may.

    Attributes:
        app: what it protects.
        hosts: names that the Host header may have; with "0.0.0.0" or "[::]" among them any numeric address as well, as
            rebinding needs a name.
        token: what a browser must once show, as ?token=; None: nothing.
        session: what the cookie holds afterwards. Cookies are shared with other servers of the same machine, and those
            must not learn the token.
    """

    app: ASGIApp
    hosts: frozenset[str] = LOOPBACK
    token: str | None = None
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            answer = self._answered_here(scope)
            await (answer or self.app)(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _answered_here(self, scope: Scope) -> HTMLResponse | None:
        """The answer to a request that the application must not see; None: it may."""
        headers = Headers(scope=scope)
        refusal = self._foreign_host(headers) or _foreign_page(scope["method"], headers)
        if refusal is not None:
            return _refused(refusal)
        if self.token is None or self._known(headers):
            return None
        return self._at_the_door(scope)

    def _foreign_host(self, headers: Headers) -> Refusal | None:
        """Refuse a request that was meant for a name that is not this machine's."""
        named = [_HOST.fullmatch(value.lower()) for value in headers.getlist("host")]
        if len(named) == 1 and (found := named[0]) and self._is_ours(found[1]):
            return None
        return Refusal(HTTPStatus.MISDIRECTED_REQUEST, "This address is not the explorer's.")

    def _is_ours(self, name: str) -> bool:
        if name in self.hosts:
            return True
        return not self.hosts.isdisjoint({"0.0.0.0", "[::]"}) and _is_number(name)

    def _known(self, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self.session)

    def _at_the_door(self, scope: Scope) -> HTMLResponse:
        """Let in who has the token. The page goes on by itself: a redirect would lose the cookie that it sets where
        the link to it was followed from another site."""
        query = parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True)
        if not any(name == "token" and _same(value, str(self.token)) for name, value in query):
            why = "This explorer needs its token: open the address that it printed, which ends in ?token=..."
            return _refused(Refusal(HTTPStatus.UNAUTHORIZED, why))
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        target = escape("/" + quote(scope["path"].lstrip("/")) + (f"?{rest}" if rest else ""))
        answer = HTMLResponse(
            _document(
                "karat",
                f'<p><a href="{target}">Go on</a></p>',
                f'<meta http-equiv="refresh" content="0; url={target}">',
            )
        )
        answer.set_cookie(COOKIE, self.session, httponly=True, samesite="strict", secure=scope["scheme"] == "https")
        return answer


def _foreign_page(method: str, headers: Headers) -> Refusal | None:
    """Refuse what a page of another site asks for; a link that somebody follows is fine."""
    refusal = Refusal(HTTPStatus.FORBIDDEN, "The explorer does not answer requests from other sites.")
    site = headers.get("sec-fetch-site")
    if method in _READING:
        followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return None if site in (None, "same-origin", "none") or followed else refusal
    if method not in _WRITING:
        return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "The explorer knows no such request.")
    origin = headers.get("origin")
    ours = origin is None or urlsplit(origin).netloc == headers.get("host")
    said = (origin, site) != (None, None)
    return None if said and ours and site in (None, "same-origin") else refusal


def _with_headers(send: Send) -> Send:
    """Send, with the headers of every answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers.setdefault("Cache-Control", "private, no-cache")
        await send(message)

    return sending


def _refused(refusal: Refusal) -> HTMLResponse:
    return HTMLResponse(_document(refusal.status.phrase, f"<p>{escape(refusal.why)}</p>"), refusal.status)


def _document(title: str, body: str, head: str = "") -> str:
    """A page that tells nothing of the run: who reads it may be anybody."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"{head}<title>{escape(title)}</title></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def _same(given: str, expected: str) -> bool:
    """Compare in a time that tells nothing."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
