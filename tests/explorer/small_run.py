"""A run of 200 samples with everything that the explorer reads, made in a second; its ids and labels are hostile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from karat import runs
from karat.embeddings import Embeddings
from karat.records import ProbeResult, Provenance
from karat.scoring import score
from karat.store import save

N, D = 200, 12
HOSTILE = (
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "'; DROP TABLE samples; --",
    "line\nbreak",
    "%_\\",
    "ünïcode",
    "",
)
LABELS = ("cat", "<b>dog</b>", "bird'; --", "")
COLUMN = 'x" FROM samples; --'


def ids() -> list[str]:
    return [*HOSTILE, *(f"train/{i:04d}.png" for i in range(N - len(HOSTILE)))]


def notes() -> np.ndarray:
    """A text of its own for each sample."""
    return np.array([f"Note {i * 37 % N:04d} of somebody" for i in range(N)])


def make_run(folder: Path, *, seed: int = 0) -> Path:
    """Scores with missing, infinite and equal values, a probe that judged all but 20 samples, features, images."""
    generator = np.random.default_rng(seed)
    h = generator.exponential(size=(N, D)).astype(np.float32)
    labels = [LABELS[i % len(LABELS)] for i in range(N)]
    extra = {COLUMN: np.arange(N) % 7, "flagged": np.arange(N) % 2 == 0, "note": notes()}
    emb = Embeddings(h, ids=ids(), labels=labels, extra=extra)
    (folder / "embeddings").mkdir(parents=True)
    save(emb, folder / "embeddings" / "val.emb")
    table = folder / "scores.parquet"
    made = score(emb, reference=emb, scores=["q_score", "random"], epsilon=1.0, out=table, keep_activations=True)
    columns = {name: np.array(made.columns[name]) for name in made.columns}
    columns["random"][:3] = np.nan
    columns["random"][3], columns["random"][4] = np.inf, -np.inf
    columns["q_score"][10:20] = 0.25
    runs.add_record(folder, replace(made, columns=columns))
    runs.add_record(folder, probe(h, labels))
    add_images(folder)
    return folder


def probe(h: np.ndarray, labels: list[str]) -> ProbeResult:
    """Judges the last 180 samples, in another order; the logits are two features and their sum."""
    rows = np.arange(N)[:19:-1]
    logits = np.stack([h[rows, 0], h[rows, 1], h[rows, 0] + h[rows, 1]], axis=1)
    classes = ("cat", "<b>dog</b>", "bird'; --")
    prediction = np.array(classes)[logits.argmax(axis=1)]
    names, truth = np.array(ids())[rows], np.array(labels)[rows]
    columns = {"id": names, "label": truth, "prediction": prediction, "correct": prediction == truth, "logits": logits}
    return ProbeResult(Provenance("probe", {}, {}, "0"), 0.3, N, len(rows), classes, {}, columns)


def add_images(folder: Path) -> None:
    """images.json, and small pictures of which the red channel is the number."""
    (folder / "images" / "train").mkdir(parents=True)
    paths = {name: f"train/{i:04d}.png" for i, name in enumerate(ids())}
    for i in range(40):
        pixels = np.full((20, 30, 3), (i, 100, 200), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / paths[ids()[i]])
    runs.add_images(folder, runs.Images("images", paths))
