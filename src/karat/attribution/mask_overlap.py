"""mask_overlap: do an encoder's heatmaps lie on the object? Every kind of map that this takes, drawn and measured."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._version import version
from ..embeddings import as_embeddings
from ..encoders import Encoder, Preprocessing
from ..errors import InputError
from ..extraction import Progress, extract
from ..images import ImageSource, open_images
from ..joining import keys_of, positions
from ..records import Overlap, ProbeResult, Provenance
from ..records.overlaps import RANDOM_INIT
from ..stats.discriminative import Over
from ..stats.halves import Halves
from .chosen import Chosen
from .compared_maps import ComparedMaps
from .controls import reinitialised
from .explain import LEAST_REFERENCE
from .heatmaps import Images
from .masks import MaskSource, align_masks, open_masks
from .overlap_table import overlap

if TYPE_CHECKING:
    from .methods import Name

BEFORE = "before"


def mask_overlap(
    encoder: Encoder,
    images: Images,
    masks: str | os.PathLike[str] | MaskSource,
    *,
    reference: Any = None,
    reference_images: Images | None = None,
    before: Encoder | None = None,
    correct: ProbeResult | np.ndarray | None = None,
    method: Name = "gradcam",
    layer: str | None = None,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
    resamples: int = 1000,
    batch_size: int = 32,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = None,
    max_bad: float = 0.01,
    progress: Progress | None = None,
) -> Overlap:
    """Draw the maps of D and of all that D must beat, and measure how much each overlaps the masks.

    Each image's map of L_i ∩ D is compared with those of its other highly activated features ("not D"), of as many
    random features, of D in a copy of the encoder with random weights ("random init"), with a blob in the middle of the
    image and with noise. Every encoder has its own D: that of the copy is fitted on its features of `reference_images`,
    else of the images themselves, whatever their number, so that this control is always in the table; the record warns
    where they are fewer than 1,000.

    Maps of the images with a mask are kept as float16 in a temporary file while they are measured: at 224 pixels half a
    megabyte an image.

    Args:
        encoder: its transform must be a `karat.encoders.Preprocessing`, which masks go through as well.
        images, method, layer: see `karat.attribution.feature_maps`.
        masks: of the images (see `karat.attribution.masks.open_masks`).
        reference: h of this encoder that its D is fitted on, [m, d]; may be left out where there are reference_images,
            or at least 1,000 images.
        reference_images: those that the reference is made of, for the D of the other encoders too.
        before: an encoder to compare with, such as this one before it was finetuned.
        correct: a probe's record, whose samples join by id, or for each image whether it is right, [n] (NaN: unknown):
            correct and wrong samples are told apart.
        epsilon, lower, upper, over, normalize, halves: see `karat.stats.fit_reference`; "auto" chooses one for each
            encoder.
        seed: of random features, weights, maps and resamples.
        resamples: of the bootstrap over images.
        batch_size, device, threads, workers, max_bad: see `karat.extract`.
        progress: as for `karat.explain`.

    Returns:
        An `Overlap`, whose first maps are those of D. It prints its tables and says plainly whether D beats the centre
        prior.

    Raises:
        InputError: no reference and fewer than 1,000 images, another transform, and what `open_masks`, `align_masks`,
            `karat.extract` and `karat.attribution.feature_maps` raise.

    >>> import torch
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> pooling = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    >>> module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), *pooling)
    >>> encoder = Encoder(module, dim=8, transform=Preprocessing(8, (0, 0, 0), (1, 1, 1)), name="one layer")
    >>> pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("0.png", "1.png", "2.png", "3.png"):
    ...         Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(f"{folder}/{name}")
    ...     found = mask_overlap(encoder, pixels, folder, reference_images=pixels, epsilon=1, workers=0)
    >>> [row.maps for row in found.measured]
    ['D', 'not D', 'random features', 'random init', 'centre prior', 'random map']

    Reference: Kalibhat et al., AAAI 2024 (mIoU of heatmaps and masks); the random weights are the sanity check of
    Adebayo et al., NeurIPS 2018; the other controls are ours.
    """
    source = open_images(images)
    given = None if reference_images is None else open_images(reference_images)
    preprocessing = _checked(encoder, source, reference, given)
    found = open_masks(masks, source.ids.tolist())
    others, lacking = _other_encoders(encoder, before, seed)
    computing: dict[str, Any] = {"batch_size": batch_size, "device": device, "threads": threads, "workers": workers}
    fitting: dict[str, Any] = {"epsilon": epsilon, "lower": lower, "upper": upper, "over": over}
    fitting |= {"normalize": normalize, "halves": halves}
    with TemporaryDirectory() as folder:
        emb = extract(encoder, source, precision="float32", max_bad=max_bad, progress=progress, **computing)
        rows = positions(source.ids, np.asarray(emb.ids))
        readable = Chosen.of(source, rows)
        aligned = align_masks(found, readable, preprocessing)
        work = ComparedMaps(
            readable, aligned, given, Path(folder), method, layer, seed, fitting, computing, max_bad, progress
        )
        maps = work.maps_of(encoder, others, emb, None if reference is None else as_embeddings(reference))
        outcome, unmatched = _outcome(correct, source, rows)
        record = overlap(maps, aligned, correct=outcome, grid=work.grid, resamples=resamples, seed=seed)
    parameters: dict[str, Any] = {"encoder": encoder.name, "before": None if before is None else before.name}
    parameters |= {"preprocessing": encoder.preprocessing}
    parameters |= {"masks": found.name, "method": method, "layer": layer, **fitting, "seed": seed}
    parameters |= {
        "resamples": resamples,
        "grid": work.grid,
        "maps": list(maps),
        "fitted": work.described(),
        **computing,
    }
    inputs = {"images": readable.digest, **work.digests(), **record.provenance.inputs}
    warnings = (*lacking, *_left_out(len(source) - len(rows), len(source)), *work.warnings(), *unmatched)
    return replace(
        record,
        provenance=Provenance("mask_overlap", parameters, inputs, version()),
        warnings=(*warnings, *record.warnings),
    )


def _checked(
    encoder: Encoder, source: ImageSource, reference: Any, reference_images: ImageSource | None
) -> Preprocessing:
    """The encoder's transform, if masks can go through it.

    Raises:
        InputError: they cannot, or D could not be told.
    """
    if reference is None and reference_images is None and len(source) < LEAST_REFERENCE:
        raise InputError(
            f"there are {len(source)} images, too few to tell which features are discriminative: give a reference, "
            f"embeddings of the same encoder, or reference_images (at least {LEAST_REFERENCE:,} images need none)"
        )
    if not isinstance(encoder.transform, Preprocessing):
        raise InputError(
            f"the transform of {encoder.name} is {encoder.preprocessing}, of which nobody can say what it does to a "
            "mask: an encoder whose transform is a karat.encoders.Preprocessing is needed"
        )
    return encoder.transform


def _other_encoders(encoder: Encoder, before: Encoder | None, seed: int) -> tuple[dict[str, Encoder], list[str]]:
    """What the encoder is compared with, by name; and why there is no copy with random weights, where there is none.

    Raises:
        InputError: an earlier encoder that sees images otherwise.
    """
    others = {}
    if before is not None:
        if before.transform != encoder.transform:
            raise InputError(
                f"before has the transform {before.preprocessing}, but the encoder {encoder.preprocessing}: their maps "
                "can only be compared where both see the same part of an image at the same size"
            )
        others[BEFORE] = before
    try:
        return others | {RANDOM_INIT: reinitialised(encoder, seed=seed)}, []
    except InputError as error:
        return others, [str(error)]


def _outcome(
    correct: ProbeResult | np.ndarray | None, source: ImageSource, rows: np.ndarray
) -> tuple[np.ndarray | None, list[str]]:
    """Whether a probe is right on each of the images, float [n], NaN where it is not known; and a warning.

    Raises:
        InputError: an array of another length.
    """
    if correct is None:
        return None, []
    if not isinstance(correct, ProbeResult):
        outcome = np.asarray(correct, np.float64)
        if outcome.shape != (len(source),):
            raise InputError(f"correct is {outcome.shape}, but ({len(source)},) is needed: one value an image")
        return outcome[rows], []
    place = positions(keys_of(correct.columns["id"], "probe"), source.ids[rows])
    if not (place >= 0).any():
        return None, ["the probe judged none of the images (no id is the same): correct and wrong are not told apart"]
    return np.where(place >= 0, np.asarray(correct.columns["correct"], np.float64)[place], np.nan), []


def _left_out(missing: int, n: int) -> list[str]:
    return [f"{missing} of {n} images cannot be decoded and were left out"] if missing else []
