"""karat finetune"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import CycloptsError, Parameter, Token

from .. import finetuning
from ..encoders import Encoder, load_encoder
from ..finetuning.continuing import is_training
from ..records import Record, Study
from . import inputs, requirements, results, terminal


def _refresh(_: Any, tokens: Sequence[Token]) -> str | None:
    text = tokens[0].value
    if text not in ("counts", "pass", "never"):
        raise ValueError(f"{text} is none of counts, pass, never")
    return None if text == "never" else text


def _settings(_: Any, tokens: Sequence[Token]) -> dict[str, Any]:
    """NAME=VALUE,NAME=VALUE; a value is a number, true, false or a word; a pair of numbers is LOW:HIGH."""
    found = {}
    for part in tokens[0].value.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{part} is no setting, such as temperature=0.2")
        parts = [_value(piece) for piece in value.split(":")]
        found[name.strip()] = parts[0] if len(parts) == 1 else parts
    return found


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


def _number(name: str, text: str) -> Parameter:
    return Parameter(metavar=name, help=text)


def _count(at_least: int, text: str) -> Parameter:
    return Parameter(metavar="N", converter=inputs.whole(at_least=at_least), help=text)


def finetune(
    encoder: Annotated[
        str,
        Parameter(
            help="A checkpoint, a published name, timm:NAME, torchvision:NAME, or the run folder or step-N.pt of an "
            "earlier training; with --from-scratch an architecture: small-resnet, resnet18-cifar, resnet50 ..."
        ),
    ],
    images: Annotated[
        str,
        Parameter(help="As of karat extract: a folder, an .npz, a list of paths, wds:, hf: or torchvision:."),
    ],
    /,
    *,
    method: Annotated[
        Literal["simclr", "swav", "moco", "byol", "dino", "simsiam", "vicreg", "barlow"],
        Parameter(help="The encoder's own objective."),
    ],
    out: Annotated[
        Path,
        Parameter(name=("-o", "--out"), metavar="RUN", help="Run folder to write: checkpoints, log and the record."),
    ],
    from_scratch: Annotated[
        bool, Parameter(show_default=False, help="Pretrain: random weights, the recipe's rate, no Q-Score terms.")
    ] = False,
    new_heads: Annotated[
        bool,
        Parameter(
            show_default=False, help="Let heads, teacher and queue begin anew, where ENCODER's training has them."
        ),
    ] = False,
    study: Annotated[
        bool,
        Parameter(
            show_default=False,
            help="Without, with lambda = 0, with Lasso and with Q-Score, several seeds each: compare.",
        ),
    ] = False,
    seeds: Annotated[int, _count(1, "Runs of each, with --study.")] = 3,
    keep: Annotated[float, _number("SHARE", "Share of the features that the smaller probes of --study have.")] = 0.6,
    resamples: Annotated[int, _count(1, "Of the bootstrap of --study.")] = 1000,
    arch: Annotated[
        str | None, Parameter(metavar="NAME", help="Architecture of the checkpoint, where it cannot be told from it.")
    ] = None,
    layout: Annotated[
        str | None, Parameter(metavar="NAME", help="Layout of the checkpoint, where several would fit.")
    ] = None,
    unsafe_load: Annotated[
        bool,
        Parameter(
            show_default=False,
            help="Let a checkpoint run whatever code it contains. Only for files whose makers you trust.",
        ),
    ] = False,
    size: Annotated[
        int | None, _count(8, "Side of the images of an encoder from scratch; by default the first one's, at most 224.")
    ] = None,
    epochs: Annotated[
        int | None, _count(1, "Passes over the images; by default 50, from scratch the recipe's.")
    ] = None,
    lr: Annotated[
        float | None, _number("RATE", "Highest learning rate; by default 1e-5, from scratch the recipe's.")
    ] = None,
    batch_size: Annotated[
        int | None, _count(2, "Images in a step, over all processes; by default the recipe's, at most 256.")
    ] = None,
    lambda1: Annotated[
        float | None, _number("NUMBER", "Weight of the Q-Score term; by default 1e-4, from scratch 0.")
    ] = None,
    lambda2: Annotated[
        float | None, _number("NUMBER", "Weight of the column norms; by default 1e-4, from scratch 0.")
    ] = None,
    lasso: Annotated[float, _number("NUMBER", "Weight of an L1 penalty in their place, the control.")] = 0.0,
    epsilon: inputs.Epsilon = 4.0,
    lower: inputs.Lower = 50,
    upper: inputs.Upper = 95,
    over: inputs.OverChoice = "active",
    halves: inputs.HalvesChoice = "auto",
    refresh: Annotated[
        Literal["counts", "pass"] | None,
        Parameter(
            metavar="counts|pass|never",
            converter=_refresh,
            show_choices=False,
            help="How the discriminative features are made anew each epoch: from what was seen, or by a full pass.",
        ),
    ] = "counts",
    schedule: Annotated[
        Literal["cosine", "constant"], Parameter(help="Of the learning rate after its warm-up.")
    ] = "cosine",
    settings: Annotated[
        dict[str, Any] | None,
        Parameter(
            metavar="NAME=VALUE,...",
            converter=_settings,
            n_tokens=1,
            accepts_keys=False,
            help="Other values of the recipe: temperature=0.2,optimizer=sgd,full_scale=0.2:1.",
        ),
    ] = None,
    val: Annotated[
        str | None,
        Parameter(metavar="IMAGES", help="Images to judge the encoder on; by default some of IMAGES are held out."),
    ] = None,
    held_out: Annotated[int | None, _count(0, "How many; by default one in 20, at most 2,000.")] = None,
    metrics_every: Annotated[int, _count(1, "Epochs from one judgement to the next.")] = 1,
    seed: inputs.Seed = 0,
    device: Annotated[
        str, Parameter(metavar="NAME", help="auto (a GPU where there is one), cpu, cuda, cuda:1 ...")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Parameter(help="Of products and convolutions; auto: bfloat16 where the hardware has it, else float32."),
    ] = "auto",
    accumulate: Annotated[int, _count(1, "Micro-batches that a step is split in, where memory is short.")] = 1,
    threads: inputs.Threads = None,
    workers: Annotated[int | None, _count(0, "Processes that decode images; by default 1, for a GPU 8.")] = None,
    checkpoint_steps: Annotated[int | None, _count(1, "Write a checkpoint after so many steps, too.")] = None,
    keep_checkpoints: Annotated[int, _count(1, "Checkpoints that stay.")] = 3,
    tensorboard: Annotated[bool, Parameter(show_default=False, help="Write events to RUN/tensorboard, too.")] = False,
    resume: Annotated[
        bool, Parameter(show_default=False, help="Go on where an interrupted run with the same settings stopped.")
    ] = False,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    leads = int(os.environ.get("RANK", "0")) == 0
    loaded: Encoder | str = encoder
    if not from_scratch and not is_training(encoder):
        loaded = load_encoder(encoder, arch=arch, layout=layout, unsafe_load=unsafe_load)
    shared: dict[str, Any] = {
        "method": method, "out": out, "new_heads": new_heads, "epochs": epochs, "lr": lr, "batch_size": batch_size,
        "lambda1": lambda1, "lambda2": lambda2, "epsilon": epsilon, "lower": lower, "upper": upper, "over": over,
        "halves": inputs.halves_of(halves), "refresh": refresh, "schedule": schedule, "settings": settings, "val": val,
        "held_out": held_out, "seed": seed, "device": device, "precision": precision, "accumulate": accumulate,
        "threads": threads, "workers": workers, "checkpoint_steps": checkpoint_steps, "resume": resume,
        "overwrite": overwrite,
    }  # fmt: skip
    only_one = {
        "from_scratch": from_scratch, "size": size, "metrics_every": metrics_every,
        "keep_checkpoints": keep_checkpoints, "tensorboard": tensorboard,
    }  # fmt: skip
    only_study: dict[str, Any] = {"seeds": seeds, "keep": keep, "resamples": resamples}
    _refuse_unused(only_one if study else only_study, study=study)
    if study:
        record: Record = _study(loaded, images, {**shared, **only_study, "lasso": lasso or None})
        terminal.say(f"{out}/study.svg shows it; each run is a folder in {out}")
    else:
        tuned = _finetune(loaded, images, {**shared, **only_one, "lasso": lasso}, leads=leads)
        record = tuned.record
        if leads:
            terminal.say(f"{tuned.encoder.name} -> {out}/checkpoints/encoder.safetensors")
    if leads:
        results.show(record, as_json=json, require=require)


def _refuse_unused(given: Mapping[str, Any], *, study: bool) -> None:
    """Refuse options of the other function that were given.

    Raises:
        CycloptsError: naming them.
    """
    defaults = inspect.signature(finetune).parameters
    wrong = [f"--{name.replace('_', '-')}" for name, value in given.items() if value != defaults[name].default]
    if wrong:
        raise CycloptsError(
            msg=f"{', '.join(wrong)}: not with --study" if study else f"{', '.join(wrong)}: needs --study"
        )


def _finetune(encoder: Encoder | str, images: str, asked: dict[str, Any], *, leads: bool) -> finetuning.Finetuned:
    what = "pretraining" if asked["from_scratch"] else "fine-tuning"
    with terminal.progress(what, unit="steps") as progress:

        def show(done: int, total: int, told: Mapping[str, float]) -> None:
            progress(done, total, note=_note(told))

        return finetuning.finetune(encoder, images, **asked, progress=show if leads else None)


def _study(encoder: Encoder | str, images: str, asked: dict[str, Any]) -> Study:
    with terminal.progress("study", unit="steps") as progress:

        def show(name: str, run: int, runs: int, done: int, total: int, told: Mapping[str, float]) -> None:
            progress(run * total + done, runs * total, note=f"{name}, {_note(told)}")

        return finetuning.study(encoder, images, **asked, progress=show)


def _note(told: Mapping[str, float]) -> str:
    """Epoch, loss and both terms of the last step."""
    return (
        f"epoch {told['epoch']:.0f}, loss {told['loss']:.4g} (Q term {told['q_term']:.2g}, norm term "
        f"{told['norm_term']:.2g})"
    )
