"""A small run with everything that pages show, made by the library itself; and a browser's requests to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from karat import runs, store
from karat.embeddings import Embeddings
from karat.explorer.app import create_app
from karat.explorer.explored import open_explored
from karat.images import open_images
from karat.probing import probe
from karat.scoring import score

CLASSES = ("bird", "cat", "frog")
ADDRESS = "http://127.0.0.1:8765"


def embeddings(n: int, ids: Sequence[str], classes: Sequence[str], *, seed: int) -> Embeddings:
    """Features of which a few tell the class, imperfectly, and each sample has some that stand out."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % len(classes)
    h = rng.gamma(0.5, 0.3, (n, 48)).astype(np.float32)
    h[np.arange(n), y] += rng.uniform(0, 2, n).astype(np.float32)
    h[np.arange(n), rng.integers(3, 48, n)] += rng.uniform(1, 3, n).astype(np.float32)
    return Embeddings(h, ids=np.array(ids), labels=np.array(classes)[y])


def write_run(
    folder: Path, n: int = 150, *, ids: Sequence[str] | None = None, classes: Sequence[str] = CLASSES, side: int = 16
) -> Path:
    """A run of n samples "img/000.png" ... with scores, activations, a probe, embeddings and noise images."""
    names = [f"img/{row:03d}.png" for row in range(n)] if ids is None else list(ids)
    train = embeddings(2 * n, [f"train {row}" for row in range(2 * n)], classes, seed=1)
    val = embeddings(n, names, classes, seed=2)
    (folder / "embeddings").mkdir(parents=True)
    store.save(train, folder / "embeddings" / "train.emb")
    store.save(val, folder / "embeddings" / "val.emb")
    scores = score(
        val, reference=train, scores=("q_score", "n_active", "max_z", "random"), epsilon=2,
        out=folder / "scores.parquet", keep_activations=True,
    )  # fmt: skip
    for record in (scores, probe(train, val)):
        runs.add_record(folder, record)
    pixels = np.random.default_rng(3).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", images=pixels, ids=np.array(names))
    paths = open_images(folder / "images.npz").paths.tolist()
    runs.add_images(folder, runs.Images("images.npz", dict(zip(names, paths, strict=True))))
    return folder


def browser_of(run: Path, **settings: Any) -> TestClient:
    """A client that asks as a browser does that somebody types addresses into; it follows no redirect by itself."""
    app = create_app(open_explored(run), **settings)
    return TestClient(app, base_url=ADDRESS, follow_redirects=False, raise_server_exceptions=False)
