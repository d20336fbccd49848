"""How fast are linear probes beside 100 epochs of SGD, at which accuracy?    python benchmarks/probes.py

On 50,000 x 2048 features of 100 classes: Gaussians around orthogonal means, which Bayes tells apart in 70% of the
cases, once with features of equal variance ("white"), once with the variances of the principal axes falling as 1 / j,
as those of trained encoders do ("coloured"; the 100 directions of the classes are the first). Everything runs in one
process, one after the other; CPU seconds count the threads.

100 epochs of SGD have no penalty in the protocol; with the weight decay 1 / (C n) they minimise what L-BFGS minimises
at C. A machine that does other things blurs the numbers: `chrt -f 50 python benchmarks/probes.py` puts it last.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from karat.embeddings import Embeddings
from karat.probing import probe
from karat.records import ProbeResult
from karat.stats.threads import thread_count

N, D, CLASSES, JUDGED, BAYES = 50_000, 2048, 100, 20_000, 0.7
STRENGTHS = tuple(np.geomspace(1e-5, 1e-2, 8).tolist())
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)


def bayes(distance: float) -> float:
    """How often the own mean of k orthogonal ones of this length is the likeliest: E Phi(z + distance)^(k - 1)."""
    return quad(lambda z: norm.pdf(z) * norm.cdf(z + distance) ** (CLASSES - 1), -9, 9)[0]


def mixture(power: float) -> tuple[Embeddings, Embeddings]:
    """Training and validation set; the standard deviation of principal axis j falls as j^-power."""
    rng = np.random.default_rng(0)
    length = brentq(lambda distance: bayes(distance) - BAYES, 0.1, 9)
    means = np.zeros((CLASSES, D))
    means[:, :CLASSES] = length * np.linalg.qr(rng.standard_normal((CLASSES, CLASSES)))[0]
    axes = np.linalg.qr(rng.standard_normal((D, D)))[0] * np.arange(1, D + 1)[:, None] ** -power
    sets = []
    for n in (N, JUDGED):
        labels = rng.integers(0, CLASSES, n)
        h = rng.standard_normal((n, D), np.float32)
        h += means[labels].astype(np.float32)
        sets.append(Embeddings(h @ axes.astype(np.float32), labels=labels))
    return sets[0], sets[1]


def timed(run: Callable[[], ProbeResult]) -> tuple[ProbeResult, float, float]:
    """A result, the seconds that it took, and the CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def compared(name: str, power: float, threads: int) -> Table:
    """Every way on one mixture."""
    train, val = mixture(power)

    def run(**settings: object) -> Callable[[], ProbeResult]:
        return lambda: probe(train, val, threads=threads, device="cpu", **settings)  # type: ignore[arg-type]

    sweep = timed(run(strengths=STRENGTHS))
    chosen = sweep[0].head["C"]
    found = {
        "SGD, 100 epochs (kalibhat2024)": timed(run(protocol="kalibhat2024")),
        "the same at the penalty of the next line": timed(
            run(protocol="kalibhat2024", weight_decays=[1 / (chosen * N)])
        ),
        f"L-BFGS, one head, C = {chosen:.2g}": timed(run(strengths=[chosen])),
        "L-BFGS, sweep, and the best on all": sweep,
        "L-BFGS, sweep of the protocol": timed(run()),
        "SGD, sweep, 10 epochs, and the best on all": timed(
            run(protocol="kalibhat2024", epochs=10, learning_rates=RATES)
        ),
    }
    table = Table(
        title=f"{name}: {N:,} x {D}, {CLASSES} classes, {threads} threads, Bayes {BAYES:.0%}",
        title_justify="left",
        box=None,
    )
    for column in ("", "heads", "seconds", "CPU seconds", "times faster than 100 epochs", "accuracy"):
        table.add_column(column, justify="right" if column else "left")
    reference = next(iter(found.values()))[2]
    for variant, (result, wall, cpu) in found.items():
        speed, accuracy = f"{reference / cpu:.1f}", f"{result.accuracy:.2%}"
        table.add_row(variant, str(len(result.heads)), f"{wall:.1f}", f"{cpu:.1f}", speed, accuracy)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None)
    threads = thread_count(parser.parse_args().threads)
    for name, power in (("white", 0.0), ("coloured", 0.5)):
        Console(width=140).print(compared(name, power, threads))


if __name__ == "__main__":
    main()
