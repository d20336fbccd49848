"""Memory does not grow with the file: what `karat score` and `karat measure` hold, sampled while they run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import karat

COLUMNS = 1024
SMALL, LARGE = 6_000, 60_000
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(karat.__file__).parents[1])}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc is Linux's"),
]


def write(path: Path, rows: int) -> None:
    """Float16 features as a ReLU network has them, half of them zero; each block of rows has the columns rolled."""
    block = np.maximum(np.random.default_rng(0).standard_normal((SMALL, COLUMNS)), 0).astype(np.float16)
    h = np.lib.format.open_memmap(path, "w+", np.float16, (rows, COLUMNS))
    for start in range(0, rows, SMALL):
        h[start : start + SMALL] = np.roll(block, start // SMALL, axis=1)
    h.flush()


def peak_of(*arguments: str, folder: Path) -> int:
    """The most anonymous memory (RssAnon, bytes) that a karat command held."""
    process = subprocess.Popen(
        [sys.executable, "-m", "karat", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous_memory(process.pid))
        time.sleep(0.005)
    assert process.stderr is not None
    with process.stderr as stderr:
        assert process.returncode == 0, stderr.read()
    return peak


def anonymous_memory(pid: int) -> int:
    """RssAnon of a process in bytes; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both files; the kernel is compiled."""
    folder = tmp_path_factory.mktemp("memory")
    write(folder / "small.npy", SMALL)
    write(folder / "large.npy", LARGE)
    peak_of("score", "small.npy", "-o", "first.parquet", folder=folder)
    return folder


@pytest.mark.parametrize(
    ("options", "growth"),
    [((), 0.15), (("--reference", "small.npy"), 0.15), (("--keep-activations",), 0.25)],
    ids=["alone", "with reference", "activations kept"],
)
def test_ten_times_the_rows_take_no_more_memory(files: Path, options: tuple[str, ...], growth: float) -> None:
    """The buffers of one row group of scores and of its writing are all that the longer file adds."""
    small, large = (
        peak_of("score", f"{name}.npy", "-o", "scores.parquet", "--overwrite", *options, folder=files)
        for name in ("small", "large")
    )
    assert pq.read_metadata(files / "scores.parquet").num_rows == LARGE
    assert large < 400e6
    assert large < (1 + growth) * small


def test_ten_times_the_rows_take_no_more_memory_to_measure(files: Path) -> None:
    """Matrices [d, d], a block of rows and a sample of 5,000 are all that is held, of subsets too."""
    options = ("--metrics", "nesum,uniformity", "--convergence")
    small, large = (peak_of("measure", f"{name}.npy", *options, folder=files) for name in ("small", "large"))
    assert large < 700e6
    assert large < 1.15 * small
