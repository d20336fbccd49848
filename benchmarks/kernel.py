"""How fast is QScorer.fit, with its validation, beside a pure read of the same array?    python benchmarks/kernel.py

Every variant runs in the same process in turn, several rounds; the table shows the best of each and their ratios.
The pure read sums the array in float32 over the same chunks on the same threads.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numba
import numpy as np
from rich.console import Console
from rich.table import Table

from karat.estimators import QScorer
from karat.stats.digest import chunk_rows
from karat.stats.reference import fit_reference
from karat.stats.threads import thread_count


@numba.njit(nogil=True, fastmath=True)
def total(values: np.ndarray) -> np.float32:
    result = np.float32(0)
    for i in range(values.size):
        result += values[i]
    return result


def pure_read(h: np.ndarray, threads: int) -> None:
    """Read every value once and do nothing with it."""
    size = chunk_rows(h)
    with ThreadPoolExecutor(threads) as pool:
        sum(pool.map(total, (h[start : start + size].reshape(-1) for start in range(0, len(h), size))))


def whole_matrix(h: np.ndarray, epsilon: float = 4.0) -> np.ndarray:
    """What one writes in a notebook for the same numbers: validation, moments in float64, activation counts."""
    if not np.isfinite(h).all():
        raise ValueError("h is not finite")
    np.count_nonzero(h < 0), np.count_nonzero(h == 0)
    np.abs(h).sum(axis=1, dtype=np.float64), np.square(h).sum(axis=1, dtype=np.float64)  # the norms
    mean = h.mean(axis=1, keepdims=True, dtype=np.float64)
    return (h > mean + epsilon * h.std(axis=1, keepdims=True, dtype=np.float64)).sum(axis=0)


def in_chunks(h: np.ndarray) -> np.ndarray:
    """The same, 256 rows at a time."""
    return sum(whole_matrix(h[start : start + 256]) for start in range(0, len(h), 256))


def features(n: int, d: int) -> np.ndarray:
    """Sparse non-negative features as a ReLU network has: about half zeros, a heavy tail, |L| about 9 at epsilon 4."""
    rng = np.random.default_rng(0)
    block = np.maximum(rng.standard_normal((2_000, d), dtype=np.float32), 0)
    h = np.empty((n, d), np.float32)
    for start in range(0, n, len(block)):
        h[start : start + len(block)] = np.roll(block, start // len(block), axis=1)[: n - start]
    return h


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    threads = thread_count(arguments.threads)
    h = features(arguments.rows, arguments.columns)
    half, brain = h.astype(np.float16), h.astype(ml_dtypes.bfloat16)
    scorer = QScorer(threads=threads)
    variants: dict[str, Callable[[], object]] = {
        f"pure read, {threads} threads": lambda: pure_read(h, threads),
        "pure read, 1 thread": lambda: pure_read(h, 1),
        "QScorer.fit float32": lambda: scorer.fit(h),
        "QScorer.fit float16": lambda: scorer.fit(half),
        "QScorer.fit bfloat16": lambda: scorer.fit(brain),
        "the same with the input's digest, float32": lambda: fit_reference(h, threads=threads),
        "NumPy, 256 rows at a time": lambda: in_chunks(h),
        "NumPy, whole matrix": lambda: whole_matrix(h),
    }
    best = dict.fromkeys(variants, float("inf"))
    for number in range(arguments.rounds):
        for name, run in variants.items():
            if name.startswith("NumPy") and number > 1:
                continue  # slow, and steady
            started = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - started)
    table = Table(title=f"{len(h):,} x {h.shape[1]} on {processor()}", title_justify="left", box=None)
    for name in ("", "seconds", "million rows/s", "GB/s", "times the pure read", "QScorer.fit is ... times faster"):
        table.add_column(name, justify="right" if name else "left")
    read, fit = best[f"pure read, {threads} threads"], best["QScorer.fit float32"]
    for name, seconds in best.items():
        size = half.nbytes if "16" in name else h.nbytes
        table.add_row(
            name,
            f"{seconds:.3f}",
            f"{len(h) / seconds / 1e6:.2f}",
            f"{size / seconds / 1e9:.1f}",
            f"{seconds / read:.2f}",
            f"{seconds / fit:.2f}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
