"""Is the explorer's data layer fast enough for two million samples?    python benchmarks/explorer.py [--samples N]

A run of random numbers is made in a temporary folder, and deleted: eight scores (one with 1% missing values), half a
million possible labels, three further columns, a probe's verdicts, images.json that names an image a sample, 1,000
small JPEGs. It is then looked at in a process of its own, as the pages do. Each step is timed once, as a user meets it
first: a step that can use what an earlier one has kept says so. "wall" is what a user waits, "cpu" the work of all
threads: on a machine that does other things, wall is above it for no reason of ours. The targets are of issue 8.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

STEPS: list[dict[str, Any]] = []
FIRST_PAGE, STEP, MEMORY = 1.0, 0.3, 1.5
TILES = ("q_score", "label", "correct")


def make(folder: Path, n: int) -> None:
    """A run of n samples."""
    import numpy as np
    from PIL import Image

    from karat import runs, score
    from karat.embeddings import Embeddings
    from karat.records import ProbeResult, Provenance

    generator = np.random.default_rng(0)
    small = score(Embeddings(generator.exponential(size=(2000, 64))), scores="all")
    names = small.names[:8]
    ids = np.array([f"train/n{i * 7919 % 1000:08d}/{i:08d}.jpeg" for i in range(n)])
    labels = np.char.add("class ", (generator.zipf(1.3, n) % 500_000).astype(str))
    values = {name: generator.normal(size=n) for name in names}
    values["q_score"][generator.random(n) < 0.1] = 0
    values[names[1]][generator.random(n) < 0.01] = np.nan
    extra = {"camera": generator.choice(["a", "b", "c"], n), "year": generator.integers(1990, 2026, n), "path": ids}
    record = replace(small, names=names, columns={"id": ids, "label": labels, **extra, **values})
    runs.add_record(folder, record)
    correct = generator.random(n) < 0.7
    prediction = np.where(correct, labels, np.roll(labels, 1))
    columns = {"id": ids, "label": labels, "prediction": prediction, "correct": correct}
    provenance = Provenance("probe", {}, {}, "0.1.0")
    runs.add_record(folder, ProbeResult(provenance, float(correct.mean()), n, n, ("a", "b"), {}, columns))
    (folder / "images").mkdir()
    for number in range(1000):
        pixels = generator.integers(0, 256, (160, 200, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:04d}.jpeg")
    runs.add_images(folder, runs.Images("images", {id: f"{i % 1000:04d}.jpeg" for i, id in enumerate(ids.tolist())}))


@contextmanager
def step(name: str, target: float | None = STEP) -> Iterator[None]:
    """Time what happens inside."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    taken = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    STEPS.append({"name": name, **taken, "target": target, "memory": memory()})


def memory() -> float:
    """The most that this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def look(folder: Path) -> None:
    """Look at a run as the pages do."""
    import psutil

    started = psutil.Process().create_time()
    with step("import", None):
        from karat.explorer.opened import open_run
        from karat.explorer.query import Query
        from karat.explorer.samples import Samples
        from karat.explorer.selection import Selection
    with step("open, first page", FIRST_PAGE):
        run = open_run(folder)
        selection = Selection(run)
        samples = Samples(run, selection)
        samples.page(Query(), offset=0, limit=60, columns=TILES)
    first = {"wall": time.time() - started, "cpu": time.process_time(), "target": FIRST_PAGE, "memory": memory()}
    STEPS.append({"name": "process start to first page (import, open, page)", **first})
    with step("all columns, their ranges"):
        columns = samples.columns
    with step("histogram of the first page"):
        samples.histogram(Query(), "q_score")
    names = [column.name for column in columns]
    for name in names:
        with step(f"sort by {name}"):
            samples.page(Query(sort=name, descending=True), offset=0, limit=60, columns=(*TILES, name))
    brushed = Query(ranges=(("q_score", -0.5, 0.5),))
    asked: dict[str, Callable[[], object]] = {
        "filter: a range": lambda: (samples.count(brushed), samples.page(brushed, offset=0, limit=60, columns=TILES)),
        "histogram with a brush on another column": lambda: samples.histogram(brushed, names[2]),
        "filter: correct": lambda: samples.page(Query(correct=False), offset=0, limit=60, columns=TILES),
        "filter: label": lambda: samples.page(Query(label="class 7"), offset=0, limit=60, columns=TILES),
        "labels that begin with": lambda: samples.labels("class 12"),
        "search for text": lambda: (
            samples.count(Query(text="00012")),
            samples.page(Query(text="00012"), offset=0, limit=60),
        ),
        "scroll to the middle": lambda: samples.page(
            Query(sort=names[2]), offset=len(samples) // 2, limit=60, columns=TILES
        ),
        "scroll on (order kept)": lambda: samples.page(
            Query(sort=names[2]), offset=len(samples) - 60, limit=60, columns=TILES
        ),
        "scroll to the middle, filtered": lambda: samples.page(brushed, offset=300_000, limit=60, columns=TILES),
        "scroll to the middle, by label": lambda: samples.page(Query(sort="label"), offset=len(samples) // 2, limit=60),
        "a sample, and those beside it": lambda: beside(samples, Query(sort=names[3])),
    }
    for name, ask in asked.items():
        with step(name):
            ask()
    with step("scroll to the middle, by id (order of 2 million texts)", None):
        samples.page(Query(sort="id"), offset=len(samples) // 2, limit=60, columns=TILES)
    with step("tag 10,000 samples", None):
        selection.tag("worst", samples.ids(Query(), limit=10_000))
    with step("filter: a tag"):
        samples.page(Query(tag="worst"), offset=0, limit=60, columns=TILES)
    thumbnails(samples, run)
    print(json.dumps(STEPS))


def beside(samples: Any, query: Any) -> None:
    (row,) = samples.page(query, offset=1000, limit=1)
    samples.row(row.id)
    samples.neighbour_in_order(query, row.id)


def thumbnails(samples: Any, run: Any) -> None:
    from karat.explorer.pictures import Pictures
    from karat.explorer.query import Query

    pictures, ids = Pictures(run), samples.ids(Query(), limit=240)
    with step("first thumbnail (images.json is read)", None):
        assert pictures.thumbnail(ids[0]) is not None, pictures.problems
    with step("60 thumbnails"):
        for id in ids[60:120]:
            pictures.thumbnail(id)
    with step("60 thumbnails (kept)"):
        for id in ids[60:120]:
            pictures.thumbnail(id)


def show(steps: list[dict[str, Any]], n: int) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"The explorer's data layer, {n:,} samples", box=None, title_justify="left")
    for name in ("step", "wall, ms", "cpu, ms", "target, ms", "memory so far, GB"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for row in steps:
        target = "" if row["target"] is None else f"{1000 * row['target']:.0f}"
        mark = "" if row["target"] is None or row["wall"] <= row["target"] else " !"
        table.add_row(
            row["name"], f"{1000 * row['wall']:.0f}{mark}", f"{1000 * row['cpu']:.0f}", target, f"{row['memory']:.2f}"
        )
    console = Console()
    console.print(table)
    console.print(f"memory: {steps[-1]['memory']:.2f} GB, target {MEMORY} GB; ! is over its target")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2_000_000)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make is not None:
        return make(given.make, given.samples)
    if given.look is not None:
        return look(given.look)
    with tempfile.TemporaryDirectory() as folder:
        again = [sys.executable, __file__, "--samples", str(given.samples)]
        subprocess.run([*again, "--make", f"{folder}/run"], check=True)
        found = subprocess.run([*again, "--look", f"{folder}/run"], check=True, stdout=subprocess.PIPE)
    show(json.loads(found.stdout.splitlines()[-1]), given.samples)


if __name__ == "__main__":
    main()
