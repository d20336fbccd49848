"""karat explain"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import CycloptsError, Parameter, Token

from .. import attribution, runs
from ..attribution.masks import MaskSource, open_masks
from ..embeddings import Embeddings
from ..encoders import Encoder, load_encoder
from ..errors import InputError
from ..images import open_images
from ..records import Explanation, Overlap, ProbeResult
from ..store import load
from . import encoding, inputs, requirements, results, terminal

RESAMPLES = 1000


def _top(_: Any, tokens: Sequence[Token]) -> int | None:
    """A whole number, or all."""
    return None if tokens[0].value == "all" else inputs.whole(at_least=1)(_, tokens)


def _features(_: Any, tokens: Sequence[Token]) -> list[int]:
    """Feature numbers separated by commas."""
    names = tokens[0].value.split(",")
    if not all(name.strip().isdecimal() for name in names):
        raise ValueError(f"{tokens[0].value} is no list of feature numbers, such as 3,17")
    return [int(name) for name in names]


def explain(
    encoder: encoding.EncoderName,
    images: encoding.ImagesName,
    /,
    *,
    reference: Annotated[
        Path | None,
        Parameter(
            metavar="EMB|RUN",
            help="Embeddings of the same encoder that the discriminative features are fitted on, or a run with "
            "embeddings/train.emb; not needed for 1,000 images or more.",
        ),
    ] = None,
    out: Annotated[
        Path, Parameter(name=("-o", "--out"), metavar="RUN", help="Run folder that the heatmaps are added to.")
    ],
    features: Annotated[
        list[int] | None,
        Parameter(
            metavar="NUMBERS",
            converter=_features,
            n_tokens=1,
            help="Show these features, separated by commas, not each image's discriminative ones; d + j is the "
            "negative half of feature j.",
        ),
    ] = None,
    method: Annotated[
        Literal["gradcam", "gradient", "integrated", "occlusion"],
        Parameter(help="How maps are made; occlusion works with any encoder, and is slow."),
    ] = "gradcam",
    layer: Annotated[
        str | None,
        Parameter(
            metavar="NAME", help="Module that maps are taken from; by default the last with places in the image."
        ),
    ] = None,
    top: Annotated[
        int | None,
        Parameter(
            metavar="N|all", converter=_top, help="Maps of so many images with the lowest and the highest Q-Scores."
        ),
    ] = 24,
    epsilon: inputs.Epsilon = 4.0,
    lower: inputs.Lower = 50,
    upper: inputs.Upper = 95,
    over: inputs.OverChoice = "active",
    normalize: inputs.Normalize = False,
    halves: inputs.HalvesChoice = "auto",
    seed: inputs.Seed = 0,
    masks: Annotated[
        str | None,
        Parameter(
            metavar="MASKS",
            help="Also measure how far the maps lie on these masks, beside all controls: a folder of mask images "
            "named like the images, salient-imagenet:ZIP:ANSWERS, hard-imagenet:FOLDER or rival10:FOLDER. --json and "
            "--require are then about that.",
        ),
    ] = None,
    reference_images: Annotated[
        str | None,
        Parameter(
            metavar="IMAGES",
            help="With --masks: the images that the reference is made of, for the features of the other encoders.",
        ),
    ] = None,
    before: Annotated[
        str | None,
        Parameter(metavar="ENCODER", help="With --masks: an earlier encoder, whose maps are measured as well."),
    ] = None,
    resamples: Annotated[
        int,
        Parameter(metavar="N", converter=inputs.whole(at_least=1), help="With --masks: of the bootstrap over images."),
    ] = RESAMPLES,
    arch: encoding.Arch = None,
    layout: encoding.Layout = None,
    unsafe_load: encoding.UnsafeLoad = False,
    batch_size: encoding.BatchSize = 32,
    device: encoding.Device = "auto",
    threads: inputs.Threads = None,
    workers: encoding.Workers = None,
    max_bad: encoding.MaxBad = 0.01,
    resume: encoding.Resume = False,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    _refuse_without_masks(masks, reference_images, before, resamples)
    again = resume or overwrite
    if masks is not None:
        runs.refuse_record(out, "overlap", overwrite=again)
    mask_source = None if masks is None else open_masks(masks, open_images(images).ids.tolist())
    ref = None if reference is None else _reference(reference)
    with terminal.progress("loading the encoder", unit="B") as progress:
        reading: dict[str, Any] = {"arch": arch, "layout": layout, "unsafe_load": unsafe_load, "progress": progress}
        loaded = load_encoder(encoder, **reading)
        earlier = None if before is None else load_encoder(before, **reading)
    shared: dict[str, Any] = {"reference": ref, "method": method, "layer": layer, "epsilon": epsilon, "lower": lower}
    shared |= {"upper": upper, "over": over, "normalize": normalize, "halves": inputs.halves_of(halves), "seed": seed}
    shared |= {"batch_size": batch_size, "device": device, "threads": threads, "workers": workers, "max_bad": max_bad}
    with terminal.progress("explaining", unit="images") as progress:
        drawn = attribution.explain(
            loaded,
            images,
            features=features,
            top=top,
            out=out,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            **shared,
        )
    terminal.say(f"{drawn.n_mapped:,} maps and their contact sheets -> {out / 'maps'}")
    told: Explanation | Overlap = drawn
    if mask_source is not None:
        _tell(drawn, as_json=json)
        compared = {"reference_images": reference_images, "before": earlier, "resamples": resamples}
        told = _overlap(loaded, images, mask_source, out, **compared, **shared)
        runs.add_record(out, told, overwrite=again)
    for warning in told.warnings:
        terminal.warn(warning)
    results.show(told, as_json=json, require=require)


def _overlap(encoder: Encoder, images: str, masks: MaskSource, run: Path, **settings: Any) -> Overlap:
    """How far the maps lie on the masks; with the run's own probe correct and wrong samples apart."""
    probe = runs.open_run(run).records.get("probe")
    correct = probe if isinstance(probe, ProbeResult) else None
    with terminal.progress("measuring", unit="images") as progress:
        return attribution.mask_overlap(encoder, images, masks, correct=correct, progress=progress, **settings)


def _refuse_without_masks(masks: str | None, reference_images: str | None, before: str | None, resamples: int) -> None:
    """Refuse what only the overlap with masks needs where no masks are given."""
    given = {
        "reference-images": reference_images,
        "before": before,
        "resamples": resamples if resamples != RESAMPLES else None,
    }
    for name, value in given.items():
        if masks is None and value is not None:
            raise CycloptsError(msg=f"--{name} is for the overlap with --masks, which are not given")


def _tell(record: Explanation, *, as_json: bool) -> None:
    """What was drawn, before the overlap is measured; of JSON there can be one document only."""
    for warning in record.warnings:
        terminal.warn(warning)
    if not as_json:
        results.show(record, as_json=False)


def _reference(path: Path) -> Embeddings:
    """The embeddings at a path, or those that a run was trained on.

    Raises:
        InputError: a run without them.
    """
    if not runs.is_run(path):
        return load(path)
    train = path / "embeddings" / "train.emb"
    if not train.is_dir():
        raise InputError(f"{path} is a run without embeddings/train.emb: give the embeddings of its training images")
    return load(train)
