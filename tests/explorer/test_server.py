"""Serving a run: the address, a port in use, a browser that goes away, and the end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import karat
from karat.errors import InputError, MissingDependencyError, OutputError
from tests.explorer.web_run import write_run

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(karat.__file__).parents[1])}
Start = Callable[..., tuple[subprocess.Popen, str, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("served") / "run", 40)


@pytest.fixture
def start(run: Path) -> Iterator[Start]:
    """Starts karat explore; gives its process, what it said before, and its address."""
    started = []

    def starting(*options: object) -> tuple[subprocess.Popen, str, str]:
        command = [sys.executable, "-m", "karat", "explore", str(run), "--no-browser", *map(str, options)]
        process = subprocess.Popen(command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        said = ""
        while not said.endswith("Ctrl-C ends it\n"):
            line = process.stderr.readline()
            assert line, said
            said += line
        return process, said, re.search(r"http://\S+", said)[0]

    yield starting
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens at; the next may be free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def status_of(address: str) -> int:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.status


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_port_in_use_is_passed_over_and_ctrl_c_ends_quietly(start: Start, taken: int, ending: signal.Signals) -> None:
    process, said, address = start("--port", taken)
    assert re.match(rf"port {taken} is in use: \d+ is taken instead\nhttp://127\.0\.0\.1:(?!{taken})\d+/\n", said)
    assert status_of(address) == 200
    process.send_signal(ending)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.slow
def test_a_browser_that_goes_away_is_no_error(start: Start) -> None:
    process, _, address = start("--port", 0)
    port = int(address.rsplit(":", 1)[1].strip("/"))
    request = f"GET /samples HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    for sent in (request, request[:20], b"", b"\x16\x03\x01 no HTTP\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # a reset
            gone.sendall(sent)
    time.sleep(0.5)
    assert status_of(address) == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.slow
def test_the_token_may_come_from_the_environment(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "KARAT_TOKEN", "sixteen letters!")
    _, _, address = start("--host", "0.0.0.0", "--port", 0)
    assert address.endswith("/?token=sixteen%20letters%21")
    local = re.sub(r"//[^:]+:", "//127.0.0.1:", address)
    assert status_of(local) == 200
    with pytest.raises(urllib.error.HTTPError, match="401"):
        status_of(local.partition("?")[0])


def test_a_port_that_is_none_is_refused(run: Path) -> None:
    with pytest.raises(InputError, match="port is 70000, but a number from 0"):
        karat.explore(run, port=70_000)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_refused(run: Path, host: str) -> None:
    with pytest.raises(InputError, match=r"host is .*, which (is no address of this machine|cannot be found)"):
        karat.explore(run, host=host, token="sixteen letters!")


def test_where_no_port_is_free_it_says_so(run: Path, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("karat.explorer.server._FURTHER", 1)
    with pytest.raises(OutputError, match=f"no port from {taken} to {taken} of 127.0.0.1 is free: give another"):
        karat.explore(run, port=taken)


def test_what_is_no_run_is_refused_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no run"):
        karat.explore(tmp_path)


def test_without_its_libraries_it_says_what_to_install(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingDependencyError, match=r"the explorer needs duckdb.*pip install 'karat\[explore\]'"):
        karat.explore(run)
