"""The kernel is compiled once a machine, where there is a place to keep it, and from however many threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import karat
from karat.stats import _compile
from karat.stats.qscore import q_score

ROOT = Path(karat.__file__).parents[1]

# Four threads make the first, compiling call at once; prints how much was compiled, and the scores.
FIRST_CALLS = """
import json, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from numba.core import event
with event.install_recorder("numba:compile") as compilations:
    from karat.stats.qscore import q_score
    sets = [np.random.default_rng(seed).exponential(size=(30, 40)).astype(np.float32) for seed in range(4)]
    start = threading.Barrier(4)
    def call(h):
        start.wait()
        return q_score(h, epsilon=2).tolist()
    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(call, sets))
print(json.dumps({"compilations": len(compilations.buffer), "scores": scores}))
"""


def first_calls(**environment: str) -> dict[str, object]:
    """What FIRST_CALLS prints in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FIRST_CALLS],
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def expected() -> list[list[float]]:
    sets = [np.random.default_rng(seed).exponential(size=(30, 40)).astype(np.float32) for seed in range(4)]
    return [q_score(h, epsilon=2).tolist() for h in sets]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME is Linux's")
def test_the_kernel_is_compiled_by_the_first_process_and_loaded_by_the_second(
    tmp_path: Path, expected: list[list[float]]
) -> None:
    first = first_calls(XDG_CACHE_HOME=str(tmp_path))
    assert first["compilations"]
    assert first["scores"] == expected
    assert list((tmp_path / "karat" / "kernel").rglob("*.nbc"))
    assert first_calls(XDG_CACHE_HOME=str(tmp_path)) == {"compilations": 0, "scores": expected}


@pytest.mark.slow
@pytest.mark.parametrize("home", ["file/below", "no-home"])
def test_without_a_place_to_keep_the_kernel_scores_are_the_same(
    home: str, tmp_path: Path, expected: list[list[float]]
) -> None:
    """Not even root can make a folder below a file."""
    (tmp_path / "file").touch()
    unwritable = str(tmp_path / "file" / "below")
    environment = {"XDG_CACHE_HOME": unwritable} if home == "file/below" else {"XDG_CACHE_HOME": "", "HOME": unwritable}
    found = first_calls(**environment)
    assert found["scores"] == expected
    assert found["compilations"]
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


def test_compiled_code_is_kept_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/x"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert _compile.cache_folder().parent == Path("/cache/karat/kernel")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert _compile.cache_folder().parent == Path("/home/x/.cache/karat/kernel")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _compile.cache_folder().parent == Path("/home/x/Library/Caches/karat/kernel")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    assert _compile.cache_folder() == Path("/elsewhere")


def test_other_sources_are_kept_in_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """numba itself notices changes in the decorated function's file only."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    folders = [_compile.cache_folder()]
    for source in Path(_compile.__file__).parent.glob("_*.py"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(_compile, "__file__", str(tmp_path / "_compile.py"))
    assert _compile.cache_folder() == folders[0]
    for name in ("_kernel.py", "_row.py", "_compile.py"):
        with open(tmp_path / name, "a") as source:
            source.write("# changed\n")
        folders.append(_compile.cache_folder())
    assert len(set(folders)) == 4
