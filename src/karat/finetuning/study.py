"""study: is fine-tuning with the Q-Score worth anything? Against no fine-tuning, lambda = 0 and Lasso."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import runs
from .._files import write_bytes
from .._optional import require
from .._version import version
from ..encoders import Encoder, Preprocessing
from ..errors import InputError, InputTypeError, KaratWarning
from ..images import ImageSource, open_images, part_of
from ..records import Provenance, Study
from ..stats.discriminative import Over
from ..stats.halves import Halves
from .asked import Asked, Precision, check_batches
from .claiming import claim
from .concluding import arms_of, measured, paired_tests, verdict_of, warnings_of
from .continuing import is_training, read_training
from .finetune import Images
from .fresh import weights_digest
from .optimizing import Schedule
from .study_figure import PURPOSE, study_figure
from .studying import BASELINE, Arm, Judged, Plan, run_of
from .terms import Refresh
from .threshold import chosen_epsilon

# Called after each step: the run's name, runs done, runs in all; steps of it done, steps in all; what was told of it.
StudyProgress = Callable[[str, int, int, int, int, Mapping[str, float]], None]

_HELD_OUT_SHARE, _MOST_HELD_OUT = 5, 10_000  # one image in so many, at most so many
_WEIGHT = 1e-4  # METHOD 6; of the Lasso too, whose penalty is the second term without its condition


def study(
    encoder: Encoder | str | os.PathLike[str],
    images: Images,
    *,
    method: str,
    out: str | os.PathLike[str],
    val: Images | None = None,
    held_out: int | None = None,
    seeds: int = 3,
    keep: float = 0.6,
    resamples: int = 1000,
    new_heads: bool = False,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    lambda1: float | None = None,
    lambda2: float | None = None,
    lasso: float | None = None,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    halves: Halves = "auto",
    refresh: Refresh | None = "counts",
    schedule: Schedule = "cosine",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    accumulate: int = 1,
    threads: int | None = None,
    workers: int | None = None,
    checkpoint_steps: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: StudyProgress | None = None,
) -> Study:
    """Fine-tune an encoder in four ways, each with several seeds, and say which is better on held-out images.

    The arms: "baseline" (not fine-tuned), "lambda0" (its own objective alone), "lasso" (with an L1 penalty on h) and
    "q_score" (with the two Q-Score terms), all else being equal: images, steps, seeds of order, views and new heads.
    Of each: linear accuracy, accuracy with a share of the features, mean Q, the share of images without a
    discriminative feature, and the AUROC of q_score. Intervals are of a bootstrap over seeds and validation images at
    once, with the same draws for all arms; of few seeds it sees less spread than there is, by a factor
    sqrt((s - 1) / s) of that part of it which comes from the seeds.

    Each arm with each seed is a run folder `out`/ARM-SEED with checkpoints, embeddings and records. With `resume`,
    those that are done are read, one that was broken off is gone on with, and `seeds` and `resamples` may be others
    than before. The record "study" and study.svg are written to `out` in the end.

    Args:
        encoder: a karat.Encoder, or the path of a run folder or checkpoint of `karat.finetune`, whose heads are gone on
            with where the method is the same.
        images: labelled; fine-tuning does not see the labels, probes are trained on them.
        method: the encoder's own objective.
        out: folder to write.
        val: labelled images to judge on; None: some of `images` are held out.
        held_out: how many of them (default: one in 5, at most 10,000).
        seeds: how many: `seed`, `seed` + 1, ...
        keep: share of the features that compression keeps.
        resamples: of the bootstrap.
        new_heads: let heads, teacher and queue begin anew in any case.
        epochs, lr, batch_size, schedule, settings, accumulate: see `karat.finetune`, as all that is not named here.
        lambda1, lambda2: of "q_score" (default: 1e-4 each).
        lasso: weight of "lasso" (default: 1e-4).
        epsilon, lower, upper, over, halves, refresh: of the Q-Score, in the terms and where it is measured; "auto":
            chosen once, without labels, on the encoder as it is before fine-tuning.
        seed: the first seed; it also decides which images are held out, and the bootstrap.
        progress: called after each step of each fine-tuning.

    Returns:
        A `Study`: `.arms`, `.tests`, `.verdict`. It prints as tables.

    Raises:
        InputError: images without labels, weights of 0, settings that do not go together, or a study in `out` with
            other settings.
        OutputExistsError: `out` has a study, and neither `resume` nor `overwrite` is set.
        TrainingError: a fine-tuning went wrong; the runs that are done stay.
        MissingDependencyError: the extras `train` or `report` are not installed.

    Reference: Kalibhat et al., AAAI 2024, tables 2 and 3. The controls at equal steps, seeds and intervals are ours.
    """
    for name in ("altair", "vl_convert"):
        require(name, PURPOSE)
    asked = Asked(
        method, False, epochs, lr, batch_size, _weight(lambda1), _weight(lambda2), 0.0, epsilon, lower, upper, over,
        halves, refresh, schedule, settings or {}, 0, 1, seed, accumulate, precision,
    )  # fmt: skip
    _check(asked, seeds, keep, resamples, held_out)
    arms = _arms(asked, _weight(lasso))
    train, judged_on = _labelled_parts(images, val, held_out, seed)
    begun, given = _begun(encoder)
    tuning = {
        "device": device, "threads": threads, "workers": workers, "checkpoint_steps": checkpoint_steps,
        "keep_checkpoints": 1,
    }  # fmt: skip
    if asked.epsilon == "auto":
        chosen = chosen_epsilon(begun, train, asked, device=device, threads=threads, workers=workers)
        asked = replace(asked, epsilon=chosen)
    plan = Plan(Path(out), given, begun, train, judged_on, asked, new_heads, keep, tuning, device, threads, workers)
    identity = _identity(plan, _weight(lasso))
    claim(plan.out, identity, resume=resume, overwrite=overwrite)
    judged = _all_runs(plan, arms, range(seed, seed + seeds), progress)
    record = _concluded(plan, arms, judged, identity, resamples=resamples)
    for sentence in record.warnings:
        warnings.warn(sentence, KaratWarning, stacklevel=2)
    runs.add_record(plan.out, record, overwrite=True)
    write_bytes(plan.out / "study.svg", study_figure(record).encode())
    return record


def _weight(given: float | None) -> float:
    return _WEIGHT if given is None else given


def _arms(asked: Asked, lasso: float) -> tuple[Arm, ...]:
    """The four arms; those of the regularisers add something."""
    replace(asked, lambda1=0.0, lambda2=0.0, lasso=lasso).check()
    lambda1, lambda2 = asked.lambdas()
    if not lasso or not lambda1 + lambda2:
        raise InputError("lambda1 and lambda2, or lasso, are 0: that arm would be the one with lambda = 0")
    q_score = Arm("q_score", lambda1=lambda1, lambda2=lambda2)
    return (Arm(BASELINE), Arm("lambda0"), Arm("lasso", lasso=lasso), q_score)


def _check(asked: Asked, seeds: int, keep: float, resamples: int, held_out: int | None) -> None:
    """Refuse what cannot be before any work is done."""
    asked.check()
    least = {"seeds": (seeds, 1), "resamples": (resamples, 1), "held_out": (held_out, 1)}
    for name, (value, bound) in least.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < bound):
            raise InputError(f"{name} is {value!r}, but a whole number of at least {bound} is needed")
    if not 0 < keep <= 1:
        raise InputError(f"keep is {keep}, but a share of the features above 0 and at most 1 is needed")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("a study runs in one process: start it without torchrun")


def _labelled_parts(
    images: Images, val: Images | None, held_out: int | None, seed: int
) -> tuple[ImageSource, ImageSource]:
    """The images to train on, and those to judge on."""
    source = open_images(images)
    others = source if val is None else open_images(val)
    for name, part in (("images", source), ("val", others)):
        if part.labels is None:
            raise InputError(f"{name} has no labels, but a study judges by linear accuracy: give labelled images")
    if val is not None:
        if held_out is not None:
            raise InputError("held_out is of images, but val says which images are judged on: give one of both")
        return source, others
    count = min(_MOST_HELD_OUT, len(source) // _HELD_OUT_SHARE) if held_out is None else held_out
    if not 0 < count < len(source):
        raise InputError(f"held_out is {count:,}, but there are {len(source):,} images: leave some to train on")
    order = np.random.default_rng([seed, len(source)]).permutation(len(source))
    return part_of(source, np.sort(order[count:])), part_of(source, np.sort(order[:count]))


def _begun(encoder: Encoder | str | os.PathLike[str]) -> tuple[Encoder, Any]:
    """The encoder as it is before fine-tuning, and what is given to `finetune`."""
    if isinstance(encoder, Encoder):
        return encoder, encoder
    if not isinstance(encoder, str | os.PathLike):
        raise InputTypeError(f"encoder is a {type(encoder).__name__}, but a karat.Encoder or a path is needed")
    if not is_training(encoder):
        raise InputError(
            f"encoder is {os.fspath(encoder)!r}, but a karat.Encoder (karat.load_encoder makes one), or a run folder "
            "or checkpoint of karat.finetune is needed"
        )
    return read_training(encoder).encoder, encoder


def _identity(plan: Plan, lasso: float) -> dict[str, Any]:
    """What decides the numbers of a run besides its arm and seed, plain JSON."""
    transform = plan.begun.transform
    if not isinstance(transform, Preprocessing):
        raise InputError(f"encoder {plan.begun.name!r} needs a karat.encoders.Preprocessing as its transform")
    recipe = plan.asked.recipe(transform.size)
    check_batches(recipe, images=len(plan.train), accumulate=plan.asked.accumulate, processes=1)
    own = {"precision": plan.asked.precision, "new_heads": plan.new_heads, "keep": plan.keep, "lasso": lasso}
    inputs = {
        "encoder": weights_digest(plan.begun.module),
        "images": plan.train.digest,
        "val": plan.val.digest,
    }
    whole = {"settings": {**recipe.to_dict(), **plan.asked.to_dict(), **own}, "inputs": inputs}
    plain: dict[str, Any] = json.loads(json.dumps(whole))
    return plain


def _all_runs(
    plan: Plan, arms: tuple[Arm, ...], seeds: range, progress: StudyProgress | None
) -> dict[str, list[Judged]]:
    """Every arm with every seed; all arms of a seed before the next one."""
    judged: dict[str, list[Judged]] = {arm.name: [] for arm in arms}
    order = [(seed, arm) for seed in seeds for arm in arms]
    for index, (seed, arm) in enumerate(order):

        def tell(done: int, total: int, told: Mapping[str, float], name: str = arm.name, index: int = index) -> None:
            if progress is not None:
                progress(name, index, len(order), done, total, told)

        judged[arm.name].append(run_of(plan, arm, seed, first=seeds[0], progress=tell))
    return judged


def _concluded(
    plan: Plan,
    arms: tuple[Arm, ...],
    judged: Mapping[str, list[Judged]],
    identity: Mapping[str, Any],
    *,
    resamples: int,
) -> Study:
    """The record of runs that are done."""
    asked = plan.asked
    found = measured(judged, resamples=resamples, seed=asked.seed)
    shown, tests = arms_of(arms, judged, found), paired_tests(found)
    tuned = judged["q_score"][0].tuned
    assert tuned is not None  # as every arm but the baseline is fine-tuned
    seeds = tuple(range(asked.seed, asked.seed + len(judged[BASELINE])))
    parameters = {**identity["settings"], "seeds": list(seeds), "resamples": resamples}
    return Study(
        provenance=Provenance("study", parameters, dict(identity["inputs"]), version()),
        method=asked.method,
        encoder=plan.begun.name,
        heads=tuned.heads,
        seeds=seeds,
        recipe=tuned.recipe,
        steps=tuned.steps,
        n_train=len(plan.train),
        n_val=len(judged[BASELINE][0].ids),
        d=judged[BASELINE][0].d,
        epsilon=asked.threshold,
        keep=plan.keep,
        arms=shown,
        tests=tests,
        verdict=verdict_of(tests),
        warnings=tuple(warnings_of(shown, judged, asked.threshold)),
    )
