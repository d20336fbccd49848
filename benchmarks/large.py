"""Does memory stay flat? Score a file of ROWS x 2048 float16 and sample the process.

    python benchmarks/large.py --rows 2000000

The file is tiled from a 64 MB block with rolled columns, refused when the disk has not 1.3 times its size free, and
always deleted. Beside it a file of 200,000 rows is scored the same way. RssAnon is the anonymous memory of the process.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

COLUMNS, BLOCK_ROWS = 2048, 16_384  # float16: 64 MB


def write(path: Path, rows: int) -> int:
    """A float16 .npy of `rows` rows; returns its size."""
    rng = np.random.default_rng(0)
    block = np.maximum(rng.standard_normal((BLOCK_ROWS, COLUMNS), dtype=np.float32), 0).astype(np.float16)
    with open(path, "wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (rows, COLUMNS)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, BLOCK_ROWS):
            np.roll(block, start // BLOCK_ROWS, axis=1)[: rows - start].tofile(file)
    return path.stat().st_size


def anonymous_memory(pid: int) -> int:
    """RssAnon of a process in bytes; 0 once it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("RssAnon")), 0)


def score(path: Path, out: Path) -> tuple[float, int]:
    """karat score in a process of its own: seconds, and the peak of its anonymous memory."""
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen(
        [sys.executable, "-m", "karat", "score", str(path), "-o", str(out)], stdout=subprocess.DEVNULL
    )
    while process.poll() is None:
        peak = max(peak, anonymous_memory(process.pid))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"karat score failed with status {process.returncode}")
    return time.perf_counter() - started, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the files go")
    arguments = parser.parse_args()
    size, free = arguments.rows * COLUMNS * 2, shutil.disk_usage(arguments.folder).free
    if free < 1.3 * size:
        raise SystemExit(f"{arguments.folder} has {free / 1e9:.1f} GB free, but {1.3 * size / 1e9:.1f} GB are needed")
    table = Table(title="karat score, float16 x 2048", title_justify="left", box=None)
    for name in ("rows", "file, GB", "seconds", "seconds per million rows", "peak RssAnon, MB"):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        write(folder / "h.npy", 2_000)
        score(folder / "h.npy", folder / "first.parquet")  # the kernel may have to be compiled, once
        for rows in (200_000, arguments.rows):
            written = write(folder / "h.npy", rows)
            seconds, peak = score(folder / "h.npy", folder / f"{rows}.parquet")
            table.add_row(
                f"{rows:,}",
                f"{written / 1e9:.1f}",
                f"{seconds:.1f}",
                f"{seconds / rows * 1e6:.2f}",
                f"{peak / 1e6:.0f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
