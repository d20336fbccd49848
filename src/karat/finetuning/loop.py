"""The loop: from the first step, or from a checkpoint, to the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from ..errors import FileFormatError, KaratError, TrainingError
from ..records import Epoch
from . import checkpoints
from .judging import Judge
from .objectives import Objective
from .optimizing import Schedule, lr_factor, set_lr
from .pictures import Pictures, shuffled
from .randomness import global_states, restore_states
from .recipes import Recipe
from .telling import COLLAPSED_BELOW, Log, refuse_bad_weights, refuse_collapse, refuse_nan, spread_of
from .terms import Terms
from .views import Views

# Called after each step: steps done, steps in all, and what was told of it: epoch, loss, q_term, ...
Progress = Callable[[int, int, Mapping[str, float]], None]

_TOLD = ("objective", "q_term", "norm_term", "spread")
_LOGGED_EVERY = 20  # steps


@dataclass
class State:
    """How far a training is. All of it is in a checkpoint.

    Attributes:
        epoch, position: epochs that are done, and steps of the one that is not.
        step: steps done in all.
        sums: of what was told of the steps of this epoch.
        low: steps in a row, up to the last, in which z was nearly the same for all images.
        history: of the epochs that are done; first, what was known before the first step.
    """

    epoch: int = 0
    position: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * len(_TOLD))
    low: int = 0
    history: list[Epoch] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As plain containers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> State:
        """What `to_dict` made."""
        return cls(**{**content, "history": [Epoch(**entry) for entry in content["history"]]})


@dataclass(frozen=True)
class Keeping:
    """What is written, and where.

    Attributes:
        run: the folder; None: nothing is written.
        keep: how many checkpoints stay in it.
        every: steps after which one is written, besides those at the end of an epoch.
        tensorboard: whether events are written.
    """

    run: Path | None
    keep: int
    every: int | None
    tensorboard: bool


@dataclass(frozen=True)
class Job:
    """Everything that a training is made of.

    Attributes:
        accelerator: device, precision, processes and accumulation.
        objective, optimizer, terms, views: what is minimised, how, and on what views.
        generator: of the views, one a process.
        pictures, rows: the images, and those of them that are trained on.
        recipe, schedule, seed: the settings.
        judge, judged_every: what is measured between the epochs, and after how many.
        keeping: what is written.
        description: what the encoder is built from; None where karat did not build it.
        identity: what a checkpoint must agree with; see `checkpoints.refuse_other`.
    """

    accelerator: Accelerator
    objective: Objective
    optimizer: torch.optim.Optimizer
    terms: Terms
    views: Views
    generator: torch.Generator
    pictures: Pictures
    rows: np.ndarray
    recipe: Recipe
    schedule: Schedule
    seed: int
    judge: Judge | None
    judged_every: int
    keeping: Keeping
    description: Mapping[str, Any] | None
    identity: Mapping[str, Any]

    @property
    def run(self) -> Path | None:
        """The folder that is written to."""
        return self.keeping.run

    @property
    def steps_per_epoch(self) -> int:
        """What is left over of the images, less than a batch, is another part of them in each epoch."""
        return len(self.rows) // self.recipe.batch_size

    @property
    def steps(self) -> int:
        """In all epochs."""
        return self.recipe.epochs * self.steps_per_epoch


def train(job: Job, progress: Progress | None = None) -> State:
    """Train to the end of the last epoch, from the newest checkpoint where there is one.

    Raises:
        TrainingError: the loss is no number, or the representation has collapsed. The last good checkpoint is kept.
        OutputError: a checkpoint or the log could not be written; the checkpoint before is kept.
    """
    accelerator, objective, terms, recipe = job.accelerator, job.objective, job.terms, job.recipe
    state = _begun(job)
    model, optimizer = accelerator.prepare(objective, job.optimizer)
    log = Log(job.run if accelerator.is_main_process else None, step=state.step, tensorboard=job.keeping.tensorboard)
    if not state.history:
        state.history.append(_epoch(0, [math.nan] * len(_TOLD), math.nan, _metrics(job)))
        _log_epoch(log, state)
    try:
        while state.epoch < recipe.epochs:
            objective.train()
            terms.train()
            for batches in _steps(job, state):
                share = state.step / job.steps
                lr = set_lr(
                    job.optimizer, recipe, lr_factor(state.step, job.steps, warmup=recipe.warmup, schedule=job.schedule)
                )
                told = np.zeros(len(_TOLD))
                for images in batches:
                    with accelerator.accumulate(model):
                        views = [
                            view.to(memory_format=torch.channels_last) for view in job.views(images, job.generator)
                        ]
                        outcome = model(views, progress=share)
                        added = terms(outcome.h)
                        loss = outcome.loss + added.sum()
                        told += _of_all(accelerator, outcome.loss, added, spread_of(outcome.z)) / len(batches)
                        numbers = dict(zip(_TOLD[:3], told.tolist(), strict=False))
                        refuse_nan(numbers, epoch=state.epoch + 1, step=state.step + 1, lr=lr)
                        accelerator.backward(loss)
                        if accelerator.sync_gradients:
                            objective.after_backward(progress=share)
                            if recipe.clip:
                                accelerator.clip_grad_norm_(objective.parameters(), recipe.clip)
                        optimizer.step()
                        optimizer.zero_grad()
                objective.after_step(progress=share)
                _advance(state, told)
                _tell_step(job, state, told, lr, log, progress)
                refuse_collapse(state.low, float(told[3]), epoch=state.epoch + 1, step=state.step)
                if job.keeping.every and state.step % job.keeping.every == 0:
                    _save(job, state)
            _close_epoch(job, state, lr)
            _log_epoch(log, state)
            _save(job, state)
    except TrainingError as error:
        raise TrainingError(f"{error}. {_kept(job)}") from error
    finally:
        log.close()
    return state


def _steps(job: Job, state: State) -> Iterator[list[Tensor]]:
    """The steps that are left of an epoch: each the micro-batches of this process, uint8 [m, 3, side, side]."""
    accelerator, accumulate = job.accelerator, job.accelerator.gradient_accumulation_steps
    order = job.rows[shuffled(len(job.rows), job.recipe.batch_size, seed=job.seed, epoch=state.epoch)]
    shares = order.reshape(len(order), accumulate, accelerator.num_processes, -1)[:, :, accelerator.process_index]
    left = shares[state.position :]  # [steps, micro-batches, m]
    batches = job.pictures.batches(list(left.reshape(-1, left.shape[-1])))
    for _ in range(len(left)):
        yield [next(batches).to(accelerator.device, non_blocking=True) for _ in range(accumulate)]


def _of_all(accelerator: Accelerator, loss: Tensor, added: Tensor, spread: Tensor) -> np.ndarray:
    """What is told of a micro-batch, float64 [4]: the mean over all processes."""
    told = torch.stack([loss.detach().float(), *added.detach().float(), spread])
    return np.asarray(accelerator.reduce(told, "mean").cpu().numpy(), np.float64)


def _advance(state: State, told: np.ndarray) -> None:
    state.step += 1
    state.position += 1
    state.sums = (np.array(state.sums) + told).tolist()
    state.low = state.low + 1 if told[3] < COLLAPSED_BELOW else 0


def _tell_step(job: Job, state: State, told: np.ndarray, lr: float, log: Log, progress: Progress | None) -> None:
    numbers = dict(zip(_TOLD, told.tolist(), strict=True))
    entry = {"epoch": state.epoch + 1, "loss": sum(told[:3].tolist()), **numbers, "lr": lr}
    if state.step % _LOGGED_EVERY == 0:
        log.add({"of": "step", "step": state.step, **entry})
    if progress is not None:
        progress(state.step, job.steps, entry)


def _close_epoch(job: Job, state: State, lr: float) -> None:
    """The epoch goes into the history, with what the encoder is like after it; D is made anew for the next."""
    means = [total / state.position for total in state.sums]
    state.epoch += 1
    due = state.epoch % job.judged_every == 0 or state.epoch == job.recipe.epochs
    metrics = _metrics(job) if due else {}
    state.history.append(_epoch(state.epoch, means, lr, metrics))
    if state.epoch < job.recipe.epochs:
        job.terms.refresh()
    state.position, state.sums = 0, [0.0] * len(_TOLD)


def _epoch(number: int, means: list[float], lr: float, metrics: dict[str, float]) -> Epoch:
    objective, q_term, norm_term, spread = means
    loss = objective + q_term + norm_term
    return Epoch(number, loss, objective, q_term, norm_term, spread, lr, metrics)


def _metrics(job: Job) -> dict[str, float]:
    """Of the main process; the others wait for it at their next step."""
    found = {} if job.terms.discriminative is None else {"discriminative_features": float(job.terms.discriminative)}
    if job.judge is not None and job.accelerator.is_main_process:
        found |= job.judge(job.objective.encoder)
    return found


def _log_epoch(log: Log, state: State) -> None:
    entry = asdict(state.history[-1])
    log.add({"of": "epoch", "step": state.step, **entry.pop("metrics"), **entry})


def _save(job: Job, state: State) -> None:
    """Write a checkpoint, but not while a collapse is suspected: the last good one stays."""
    if job.run is None or state.low:
        return
    refuse_bad_weights(job.objective, epoch=state.epoch, step=state.step)
    states = gather_object([{**global_states(), "views": job.generator.get_state()}])
    if not job.accelerator.is_main_process:
        return
    content = {
        **job.identity,
        "encoder": job.description,
        "state": state.to_dict(),
        "model": job.objective.state_dict(),
        "terms": job.terms.state_dict(),
        "optimizer": job.optimizer.state_dict(),
        "random": states,
    }
    checkpoints.save(job.run, content, step=state.step, keep=job.keeping.keep)


def _begun(job: Job) -> State:
    """The state to go on from, with everything else put back to where it was then."""
    found = [] if job.run is None else checkpoints.found(job.run)
    if not found:
        return State()
    content = checkpoints.load(found[-1])
    checkpoints.refuse_other(found[-1], content, job.identity)
    try:
        job.objective.load_state_dict(content["model"])
        job.terms.load_state_dict(content["terms"])
        job.optimizer.load_state_dict(content["optimizer"])
        own = content["random"][job.accelerator.process_index]
        restore_states(own)
        job.generator.set_state(own["views"])
        return State.from_dict(content["state"])
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(found[-1], error) from error


def _damaged(path: Path, error: Exception) -> KaratError:
    line = (str(error).splitlines() or [""])[0]
    return FileFormatError(f"{path} is damaged ({type(error).__name__}: {line}): remove it")


def _kept(job: Job) -> str:
    """Which checkpoint is left after a training has gone wrong."""
    found = [] if job.run is None else checkpoints.found(job.run)
    return f"The last good checkpoint is {found[-1]}" if found else "There is no checkpoint yet"
