"""finetune: make an encoder better, by its own objective and the Q-Score terms."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from .. import runs
from .._files import one_writer, remove_temporaries, writing
from .._optional import require
from .._version import version
from ..encoders import Encoder
from ..errors import InputError, KaratWarning, OutputExistsError
from ..extraction.compute import choose
from ..images import ImageSource, open_images, part_of
from ..records import Finetuning, Provenance
from ..stats.discriminative import Over
from ..stats.halves import Halves
from ..stats.threads import thread_count
from . import checkpoints
from .asked import Asked, Precision
from .building import job_of
from .fresh import save_encoder, weights_digest
from .loop import Job, Keeping, Progress, State, train
from .optimizing import Schedule
from .processes import exact
from .randomness import borrowed_states
from .starting import Start, start_with
from .telling import COLLAPSED_BELOW, LOG
from .terms import Refresh
from .threshold import chosen_epsilon

Images = str | os.PathLike[str] | np.ndarray | ImageSource
_MOST_WORKERS = 8


@dataclass(frozen=True)
class Finetuned:
    """What came of a training.

    Attributes:
        encoder: the trained encoder, in evaluation mode, on the CPU.
        record: how it was trained.
        path: the run's folder; None where nothing was written.
    """

    encoder: Encoder
    record: Finetuning
    path: Path | None


def finetune(
    encoder: Encoder | str | os.PathLike[str],
    images: Images,
    *,
    method: str,
    out: str | os.PathLike[str] | None = None,
    from_scratch: bool = False,
    new_heads: bool = False,
    size: int | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    lambda1: float | None = None,
    lambda2: float | None = None,
    lasso: float = 0.0,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    halves: Halves = "auto",
    refresh: Refresh | None = "counts",
    schedule: Schedule = "cosine",
    settings: Mapping[str, Any] | None = None,
    val: Images | None = None,
    held_out: int | None = None,
    metrics_every: int = 1,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    accumulate: int = 1,
    threads: int | None = None,
    workers: int | None = None,
    checkpoint_steps: int | None = None,
    keep_checkpoints: int = 3,
    tensorboard: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Finetuned:
    """Train an encoder on images without labels, by a self-supervised objective plus the two Q-Score terms:

        L = L_method - lambda1 * (1 / N) * sum_i 1[Q_i < alpha] Q_i + lambda2 * sum_j 1[||H_j||_1 > beta] ||H_j||_1

    averaged over the full-resolution views that carry gradient (see `karat.finetuning.QScoreRegularizer`). The heads
    and, where the method has them, teacher and queue begin anew, as a file of an encoder has none. At the usual rate
    they learn little: a run folder or checkpoint of an earlier `karat.finetune` by the same method, given as the
    encoder, has them, and the training goes on with its newest state (the optimiser begins anew).

    With `out`, everything that the next step depends on is written after each epoch, atomically; with `resume` the same
    call goes on from there, and on a CPU ends with the same weights, bit for bit, as if it had never been interrupted.
    Under torchrun (or accelerate launch) all processes share each batch.

    Args:
        encoder: where to begin; it is not changed. A path is that of a run folder or of a step-N.pt of `finetune`. With
            `from_scratch` the name of an architecture: "small-resnet" (the demo's), "resnet18-cifar", "resnet50",
            "vit_small_patch16" ...; its weights are drawn with `seed`.
        images: see `karat.images.open_images`. Up to 2 GiB of them are kept in memory, as squares of uint8. Labels
            only judge.
        method: "simclr", "swav", "moco", "byol", "dino", "simsiam", "vicreg" or "barlow".
        out: run folder to write: checkpoints/ with the encoder, log.jsonl, and the record; None: nothing is written.
        from_scratch: pretrain: epochs, lr, batch_size and optimiser are the recipe's, lambda1 = lambda2 = 0.
        new_heads: let heads, teacher and queue begin anew, where the encoder's training has them, too.
        size: side of the images of an encoder from scratch (default: the first one's shorter side, at most 224).
        epochs: passes over the images (default: 50).
        lr: highest learning rate (default: 1e-5).
        batch_size: images in a step, over all processes and micro-batches (default: the recipe's, at most 256).
        lambda1, lambda2: weights of the two terms (default: 1e-4 each). Both 0: as if there were no regulariser.
        lasso: weight of an L1 penalty on h in their place, the control.
        epsilon, lower, upper, over, halves: of L_i and D; see `karat.score`. "auto" chooses epsilon, without labels, on
            the encoder that is given.
        refresh: how D, fitted on all training images before the first step, is made anew after each epoch: "counts"
            (of the activations seen in training), "pass" (a full pass in evaluation mode), or None: never.
        schedule: of the learning rate after its warm-up: "cosine" or "constant".
        settings: other values of the recipe: see `karat.finetuning.recipes`.
        val: images to judge the encoder on (2,000 of them at most); None: some of `images` are held out.
        held_out: how many (default: one in 20, at most 2,000).
        metrics_every: epochs from one judgement to the next.
        seed: of everything random.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1" ...
        precision: "float32", "bfloat16" (autocast; weights stay float32), or "auto": bfloat16 where hardware has it.
        accumulate: micro-batches that a step is split in, for larger batches than memory holds.
        threads: on a CPU (default: KARAT_NUM_THREADS, else all).
        workers: processes that decode images; None: 1 on a CPU, 8 for a GPU.
        checkpoint_steps: write a checkpoint after so many steps, too.
        keep_checkpoints: how many stay.
        tensorboard: write events to OUT/tensorboard, too (they hold clock times and the host's name).
        resume: go on with `out` where it was interrupted; begin it where it is not there. Settings must be the same.
        overwrite: replace what an earlier training wrote to `out`.
        progress: called after each step with (steps done, steps in all, {"loss", "objective", "q_term", ...}).

    Returns:
        The encoder, a `karat.records.Finetuning` record, and the folder. `karat.load_encoder` reads
        OUT/checkpoints/encoder.safetensors.

    Raises:
        InputError: fewer images than a batch, a batch of one, an encoder that cannot be trained, settings that cannot
            be, or, with `resume`, other ones than the checkpoint's.
        TrainingError: the loss is no number, or the representation collapsed; the last good checkpoint is kept.
        OutputExistsError: `out` has a training, and neither `resume` nor `overwrite` is set.
        OutputError: `out` cannot be written (full disk ...); the last good checkpoint is kept.
        MissingDependencyError: the extra `train` is not installed.

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    >>> tuned = finetune("small-resnet", noise, method="simclr", from_scratch=True, epochs=1, batch_size=8, held_out=0)
    >>> tuned.encoder.dim, tuned.record.steps
    (512, 4)

    Reference: Kalibhat et al., AAAI 2024, section on Q-Score regularisation. Ours: AdamW, `refresh`, terms of several
    views and of micro-batches.
    """
    require("accelerate", "finetune")
    require("lightly", "finetune")
    asked = Asked(
        method, from_scratch, epochs, lr, batch_size, lambda1, lambda2, lasso, epsilon, lower, upper, over, halves,
        refresh, schedule, settings or {}, held_out, metrics_every, seed, accumulate, precision,
    )  # fmt: skip
    asked.check()
    _check_files(out, checkpoint_steps, keep_checkpoints, workers, resume=resume, overwrite=overwrite)
    source, judged = open_images(images), None if val is None else open_images(val)
    with borrowed_states():
        start = start_with(
            encoder,
            source,
            method=method,
            new_heads=new_heads,
            from_scratch=from_scratch,
            size=size,
            val=judged,
            held_out=held_out,
            seed=seed,
            workers=_workers(device) if workers is None else workers,
        )
        if asked.epsilon == "auto":
            seen = part_of(source, start.rows)
            chosen = chosen_epsilon(start.encoder, seen, asked, device=device, threads=threads, workers=workers)
            asked = replace(asked, epsilon=chosen)
        compute = choose(start.encoder, device=device, precision=precision, threads=threads)
        run = None if out is None else Path(out)
        with exact(compute), _written_by_this(run, overwrite=overwrite):
            job = job_of(asked, start, compute, Keeping(run, keep_checkpoints, checkpoint_steps, tensorboard))
            return _finished(job, start, asked, train(job, progress))


def _workers(device: str) -> int:
    """Processes that decode: a CPU computes itself, a GPU is to be kept busy."""
    return 1 if device == "cpu" or not torch.cuda.is_available() else min(_MOST_WORKERS, thread_count())


def _check_files(
    out: str | os.PathLike[str] | None,
    checkpoint_steps: int | None,
    keep: int,
    workers: int | None,
    *,
    resume: bool,
    overwrite: bool,
) -> None:
    least = {"checkpoint_steps": (checkpoint_steps, 1), "keep_checkpoints": (keep, 1), "workers": (workers, 0)}
    for name, (value, bound) in least.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < bound):
            raise InputError(f"{name} is {value!r}, but a whole number of at least {bound} is needed")
    if resume and overwrite:
        raise InputError("resume goes on with what is there and overwrite replaces it: choose one of them")
    if out is None:
        if resume or overwrite:
            raise InputError("resume and overwrite need out: the run folder that is gone on with, or replaced")
        return
    there = [path for path in (*checkpoints.found(Path(out)), Path(out) / LOG) if path.exists()]
    if there and not resume and not overwrite:
        raise OutputExistsError(
            f"{out} has a training already ({there[-1].name}), which was left alone: go on with it (--resume), replace "
            "it (--overwrite), or choose another output"
        )
    if not resume:
        runs.refuse_record(Path(out), Finetuning.kind, overwrite=overwrite)


@contextmanager
def _written_by_this(run: Path | None, *, overwrite: bool) -> Iterator[None]:
    """Hold the lock of a run's checkpoints, in the process that leads, and clear away what was left or is replaced.

    Raises:
        OutputError: another process trains there, or the folder cannot be written.
    """
    if run is None or int(os.environ.get("RANK", "0")) > 0:
        yield
        return
    folder = checkpoints.folder_of(run)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with one_writer(folder):
        remove_temporaries(folder)
        if overwrite:
            with writing(run):
                for path in checkpoints.found(run):
                    path.unlink()
                (run / LOG).unlink(missing_ok=True)
                shutil.rmtree(run / "tensorboard", ignore_errors=True)
        yield


def _finished(job: Job, start: Start, asked: Asked, state: State) -> Finetuned:
    """The encoder and the record of a training that is done; written where there is a folder."""
    module = job.objective.encoder.cpu().to(memory_format=torch.contiguous_format).eval()
    begun = start.encoder
    recipe = job.recipe.to_dict()
    told = tuple(_warnings(begun, state, job.run))
    for sentence in told:
        warnings.warn(sentence, KaratWarning, stacklevel=3)
    record = Finetuning(
        provenance=Provenance("finetune", dict(job.identity["parameters"]), dict(job.identity["inputs"]), version()),
        method=asked.method,
        encoder=begun.name,
        from_scratch=asked.from_scratch,
        recipe=recipe,
        steps=state.step,
        n_train=len(start.rows),
        n_val=len(start.val_rows),
        history=tuple(state.history),
        weights_digest=weights_digest(module),
        heads="new" if start.heads is None else "kept",
        warnings=told,
    )
    tuned = replace(begun, module=module, name=f"{begun.name}+{asked.method}", weights_sha256=None, layout=None)
    if job.run is not None and job.accelerator.is_main_process:
        path = checkpoints.folder_of(job.run) / "encoder.safetensors"
        settings = {"recipe": recipe, **job.identity["parameters"]}
        tuned = save_encoder(tuned, path, training=settings)
        runs.add_record(job.run, record, overwrite=True)
    return Finetuned(tuned, record, job.run)


def _warnings(begun: Encoder, state: State, run: Path | None) -> Iterator[str]:
    """What not to trust."""
    if state.low:
        yield (
            f"the spread of z was below {COLLAPSED_BELOW:g} in the last {state.low} steps: the representation may be "
            "collapsing, and no checkpoint was written while it was so."
        )
    if run is not None and begun.architecture is None:
        yield (
            f"karat did not build the module of {begun.name!r}, so that checkpoints/encoder.safetensors has its "
            "weights without a description: load them into such a module yourself."
        )
