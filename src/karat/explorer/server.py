"""explore: serve a run to a browser on this machine, until Ctrl-C."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import numpy as np

from .._optional import require
from ..encoders import Encoder
from ..errors import InputError, OutputError
from ..images import ImageSource

PORT = 8765
# So many ports after a port in use are tried.
_FURTHER = 50
_PURPOSE = "the explorer"


def explore(
    run: str | os.PathLike[str],
    *,
    encoder: Encoder | str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | np.ndarray | ImageSource | None = None,
    host: str = "127.0.0.1",
    port: int = PORT,
    token: str | None = None,
    no_browser: bool = False,
) -> None:
    """Serve a run to a browser: from the scores to the samples, to the features that fire on them, and back.

    The address is said on stderr. Returns when it is interrupted (Ctrl-C). Nothing is asked of any network, nothing of
    the run is changed but its tags (RUN/explorer/).

    Args:
        run: a run's folder.
        encoder: draws heatmaps of any feature on demand (see `karat.load_encoder`); None: those that the run holds.
        images: where the samples' pictures are (see `karat.images.open_images`), by id; None: where the run says.
        host: address to listen at; by default only this machine can reach it.
        port: port to listen at; where it is in use, the next that is free.
        token: what a browser must show once, in the address; at least 16 characters. Needed at any address that others
            can reach.
        no_browser: do not open the page in a browser.

    Raises:
        InputError: an address that others can reach without a token, a token that is too short, a port that is none,
            or images that cannot be opened.
        FileFormatError: no run in that folder.
        OutputError: no port is free.
        MissingDependencyError: the extra `explore` is not installed.

    Example:
        >>> karat.explore("demo-run")  # doctest: +SKIP
        http://127.0.0.1:8765/
    """
    for library in ("fastapi", "uvicorn", "duckdb", "jinja2", "PIL"):
        require(library, _PURPOSE)
    from .app import create_app
    from .explored import open_explored
    from .safety import allowed_hosts

    _check(host, port, token)
    app = create_app(open_explored(run, encoder=encoder, images=images), token=token, hosts=allowed_hosts(host))
    with _listening(host, port) as listener:
        taken = listener.getsockname()[1]
        if port not in (0, taken):
            _say(f"port {port} is in use: {taken} is taken instead")
        address = _address(host, taken, token)
        _say(f"{address}\nCtrl-C ends it")
        if not no_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        _serve(app, listener)


def _check(host: str, port: int, token: str | None) -> None:
    """Refuse what would let others in, and what is no port.

    Raises:
        InputError: see `explore`.
    """
    from .safety import SHORTEST_TOKEN, is_loopback

    if token is None and not is_loopback(host):
        raise InputError(
            f"host is {host!r}, which others can reach: give a token (--token) that a browser must show, or leave out "
            "the host and reach this machine by ssh -L"
        )
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise InputError(f"the token has {len(token)} characters, but at least {SHORTEST_TOKEN} are needed")
    if not 0 <= port < 1 << 16:
        raise InputError(f"port is {port}, but a number from 0 (any that is free) to 65535 is needed")


def _listening(host: str, port: int) -> socket.socket:
    """A listening socket at the first free port from `port` on.

    Raises:
        InputError: an address that this machine does not have.
        OutputError: no port is free, or none may be used.
    """
    candidates = range(port, min(port + _FURTHER, 1 << 16)) if port else range(1)
    for candidate in candidates:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
        except OSError as error:
            raise InputError(f"host is {host!r}, which cannot be found ({error.strerror})") from error
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRNOTAVAIL:
                raise InputError(f"host is {host!r}, which is no address of this machine") from error
            if error.errno != errno.EADDRINUSE:
                raise OutputError(
                    f"port {candidate} of {host} cannot be used: {str(error.strerror).lower()}"
                ) from error
            continue
        return listener
    raise OutputError(f"no port from {port} to {candidates[-1]} of {host} is free: give another (--port)")


def _address(host: str, port: int, token: str | None) -> str:
    """What to open in a browser of this machine."""
    from .safety import EVERY_ADDRESS

    name = socket.gethostname() if host in EVERY_ADDRESS else host
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}/" + ("" if token is None else f"?token={quote(token, safe='')}")


def _serve(app: Any, listener: socket.socket) -> None:
    """Answer until interrupted; a browser that goes away is no error."""
    import uvicorn

    settings = uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(settings).run(sockets=[listener])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
