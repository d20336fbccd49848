"""The whole story on bundled real images: 4,000 + 2,000 CIFAR-10 images through a small SimCLR encoder to a report."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from .. import runs
from .._files import refuse_existing, writing
from .._optional import require
from ..embeddings import Embeddings
from ..encoders import load_encoder
from ..evaluating import evaluate
from ..extraction import Progress, extract
from ..images import open_images
from ..measuring import measure
from ..probing import probe
from ..records import Evaluation, Metrics, ProbeResult, Scores
from ..reporting import report
from ..scoring import score

_LIBRARIES = ("torch", "PIL", "jinja2", "altair", "vl_convert")
_PARTS = {"train": "embeddings/train.emb", "test": "embeddings/val.emb"}


@dataclass(frozen=True)
class Demo:
    """What the demo found, and where its run and its report lie."""

    run: Path
    report: Path
    scores: Scores
    probe: ProbeResult
    evaluation: Evaluation
    metrics: Metrics


def demo(out: str | Path, *, seed: int = 0, overwrite: bool = False, progress: Progress | None = None) -> Demo:
    """Extract, score, probe, evaluate, measure and report, on the bundled images and encoder.

    Args:
        out: run folder to write; its report is report.html.
        seed: of everything random.
        overwrite: replace a run that is there.
        progress: called while features are extracted; see `karat.extract`.

    Raises:
        OutputExistsError: `out` exists and `overwrite` is false.
        MissingDependencyError: torch or the report's libraries are not installed.
    """
    folder = Path(out)
    refuse_existing(folder, overwrite=overwrite)
    for library in _LIBRARIES:  # before anything is written, or the work done
        require(library, "the demo")
    train, val = _extracted(folder, overwrite=overwrite, progress=progress)
    scores = score(
        val,
        reference=train,
        scores="all",
        epsilon="auto",
        seed=seed,
        out=folder / "scores.parquet",
        keep_activations=True,
        overwrite=overwrite,
    )
    probed = probe(train, val, seed=seed)
    evaluation = evaluate(scores, probed, seed=seed)
    metrics = measure(val, reference=train, epsilon="auto", seed=seed)
    for record in (scores, probed, evaluation, metrics):
        runs.add_record(folder, record, overwrite=overwrite)
    page = report(folder, folder / "report.html", overwrite=overwrite)
    return Demo(folder, page, scores, probed, evaluation, metrics)


def _extracted(folder: Path, *, overwrite: bool, progress: Progress | None) -> list[Embeddings]:
    """The features of the bundled training and test images; the test images go into the run."""
    with writing(folder):
        (folder / "embeddings").mkdir(parents=True, exist_ok=True)
        (folder / "images").mkdir(exist_ok=True)
    with as_file(files(__name__) / "data") as data:
        encoder = load_encoder(data / "encoder.safetensors")
        embeddings = [
            extract(
                encoder,
                data / f"{part}.npz",
                out=folder / emb,
                precision="float32",  # the same story on every machine
                overwrite=overwrite,
                progress=progress,
            )
            for part, emb in _PARTS.items()
        ]
        with writing(folder):
            shutil.copyfile(data / "test.npz", folder / "images" / "test.npz")
    source = open_images(folder / "images" / "test.npz")
    paths = dict(zip(source.ids.tolist(), source.paths.tolist(), strict=True))
    runs.add_images(folder, runs.Images("images/test.npz", paths))
    return embeddings
