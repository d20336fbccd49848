"""explain: which discriminative features fire on each image, and where they look."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from .. import runs
from .._files import writing
from .._version import version
from ..embeddings import Embeddings, as_embeddings
from ..encoders import Encoder
from ..errors import InputError
from ..extraction import Progress, extract
from ..images import ImageSource, open_images
from ..records import Explanation, Provenance
from ..stats.discriminative import Over
from ..stats.halves import Halves
from .drawing import Drawing
from .explaining import Subject, drawn_maps, drawn_sheets
from .heatmaps import Images
from .map_files import MapFiles, WithMaps
from .scored import scored
from .wanted import Features

if TYPE_CHECKING:
    from .methods import Name

# Fewer images are no reference of their own.
LEAST_REFERENCE = 1000


def explain(
    encoder: Encoder,
    images: Images,
    *,
    reference: Any = None,
    features: Features | None = None,
    method: Name = "gradcam",
    layer: str | None = None,
    top: int | None = 24,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
    batch_size: int = 32,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = None,
    max_bad: float = 0.01,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Explanation:
    """Heatmaps of each image's discriminative features, of those with the lowest and the highest Q-Scores.

    The images are extracted and scored against the reference; maps are drawn of the `top` worst and best. With `out`, a
    run: embeddings/explained.emb, scores.parquet with activations/ and features.parquet (the feature pages come from
    them), maps/ (float16, overlays, contact sheets) and the record. What is there is gone on with (`resume`), and gives
    the same bytes as an uninterrupted call.

    Args:
        encoder, images, method, layer: see `karat.attribution.feature_maps`.
        reference: the set that the discriminative features are fitted on, [m, d]; may be left out where there are at
            least 1,000 images, which then are their own reference.
        features: draw these instead of each image's discriminative ones: numbers from 0 to d - 1, or d + j for the
            negative half of feature j.
        top: maps of so many worst and so many best; images of Q-Score 0 by rule (no discriminative feature) are
            counted, not drawn. None: a map of every image, zero where it has no discriminative feature.
        epsilon, lower, upper, over, normalize, halves, seed: see `karat.score`.
        batch_size, device, threads, workers, max_bad: see `karat.extract`.
        out: a run to add to; None: maps are kept in memory.
        resume, overwrite: go on with, or replace, what is there.
        progress: called with (images done, images in all, share of the time that was spent waiting for images), first
            while h is extracted, then while maps are drawn.

    Returns:
        An `Explanation`: `.maps` [m, H, W], `.ids` [m], and what could not be drawn.

    Raises:
        InputError: no reference and fewer than 1,000 images, and what `karat.extract`, `karat.score` and
            `karat.attribution.feature_maps` raise.
        OutputExistsError: the run has an explanation, or scores of other images or settings.

    >>> import numpy as np
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> pooling = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    >>> module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), *pooling)
    >>> to_tensor = lambda image: torch.from_numpy(image).permute(2, 0, 1).float()
    >>> encoder = Encoder(module, dim=8, transform=to_tensor, name="one layer")
    >>> images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    >>> train = np.random.default_rng(1).exponential(size=(200, 8))
    >>> explain(encoder, images, reference=train, epsilon=1, features=[0], top=3).maps.shape
    (6, 8, 8)
    """
    source = open_images(images)
    _check(source, reference, top=top, resume=resume, overwrite=overwrite, out=out)
    computing: dict[str, Any] = {"batch_size": batch_size, "device": device, "threads": threads, "workers": workers}
    settings: dict[str, Any] = {"epsilon": epsilon, "lower": lower, "upper": upper, "over": over}
    settings |= {"normalize": normalize, "halves": halves, "seed": seed}
    drawing = Drawing(encoder, method=method, layer=layer, **computing)
    again = {"resume": resume, "overwrite": overwrite}
    with ExitStack() as stack:
        run = Path(stack.enter_context(TemporaryDirectory()) if out is None else out)
        runs.refuse_record(run, "explanation", overwrite=resume or overwrite)
        with writing(run):
            (run / "embeddings").mkdir(parents=True, exist_ok=True)
        emb = _extracted(encoder, source, run, **computing, max_bad=max_bad, **again, progress=progress)
        ref = emb if reference is None else as_embeddings(reference)
        scores = scored(emb, ref, run, settings=settings, threads=threads, **again)
        subject = Subject.of(source, emb, scores, run, features=features, top=top, dim=encoder.dim)
        parameters = {"method": method, "layer": layer, "top": top, "features": _plain(features), **settings}
        files = MapFiles(run, {**parameters, **subject.digests(emb), **computing, "karat": version()})
        files.begin(**again)
        size, zero = drawn_maps(drawing, subject, files, progress)
        drawn_sheets(drawing, subject, files, run)
        provenance = Provenance("explain", {**parameters, **computing}, dict(scores.provenance.inputs), version())
        record = subject.record(provenance, drawing, scores, size=size, zero_maps=zero)
        runs.add_record(run, record, overwrite=resume or overwrite)
        _say_where_images_are(run, images, source)
        columns = WithMaps(record.columns, run)
        return replace(record, columns=dict(columns) if out is None else columns)


def _check(source: ImageSource, reference: Any, *, top: int | None, resume: bool, overwrite: bool, out: Any) -> None:
    if reference is None and len(source) < LEAST_REFERENCE:
        raise InputError(
            f"there are {len(source)} images, too few to tell which features are discriminative: "
            f"give a reference, embeddings of the same encoder (at least {LEAST_REFERENCE:,} images need none)"
        )
    if top is not None and top < 1:
        raise InputError(f"top is {top}, but a whole number of at least 1 is needed, or None for all images")
    if resume and overwrite:
        raise InputError("resume goes on with what is there and overwrite replaces it: choose one of them")
    if out is None and resume:
        raise InputError("resume needs out: a run is gone on with")


def _extracted(encoder: Encoder, source: ImageSource, run: Path, *, resume: bool, **options: Any) -> Embeddings:
    """h of the images, in the run; a folder of the same work is gone on with where that was asked for."""
    target = run / "embeddings" / "explained.emb"
    return extract(encoder, source, out=target, precision="float32", resume=resume, **options)


def _plain(features: Features | None) -> Any:
    """The features as JSON has them."""
    if features is None:
        return None
    return [list(map(int, entry)) if hasattr(entry, "__iter__") else int(entry) for entry in features]


def _say_where_images_are(run: Path, images: Images, source: ImageSource) -> None:
    """images.json, where the images have a name that others can open, and the run has none yet."""
    if not isinstance(images, str | os.PathLike) or (run / "images.json").exists():
        return
    name = os.fsdecode(images)
    where = os.path.relpath(name, run) if Path(name).exists() else name
    paths = dict(zip(source.ids.tolist(), source.paths.tolist(), strict=True))
    runs.add_images(run, runs.Images(where, paths))
