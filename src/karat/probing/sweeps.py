"""Heads of a protocol trained on most of the training set, the best on the held-out rest, trained again on all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from typing import Any

import numpy as np

from ..errors import InputError
from .devices import Device
from .labelled import Labelled, held_out
from .lbfgs import Solution, gram_of, solve
from .protocols import Lbfgs, Sgd
from .samples import Batches, Blocks, Transform, as_float32, block_rows, refuse_bad, standard_of
from .sgd import train_heads
from .softmax import softmax_error

# Weights of all heads that SGD trains at once: 1 GiB, and as much again for their gradients and for their momentum.
WEIGHTS = 1 << 28
Progress = Callable[[int, int], None]
Head = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What a head is trained on.

    Attributes:
        samples: the training set.
        y: the class of each, int64 [n].
        k: classes.
        tolerance: of L-BFGS.
        seed: of the held-out slice, and of SGD.
        progress: called with (heads or epochs done, heads or epochs in all).
    """

    samples: Labelled
    y: np.ndarray
    k: int
    tolerance: float
    device: Device
    seed: int
    progress: Progress | None

    def blocks(self, chosen: np.ndarray, transform: Transform, *, kept: bool) -> Blocks:
        """The samples of a mask [n], block by block."""
        h, rows = self.samples.h, self.samples.rows[chosen]
        size = block_rows(max(h.shape[1], self.k))
        return Blocks(h, rows, self.y[chosen], transform, self.device, size=size, kept=kept)


@dataclass(frozen=True)
class Trained:
    """A head.

    Attributes:
        weight: on the device, float32 [d, k].
        bias: on the device, float32 [k].
        transform: what rows go through first.
        head: its settings, and what it reached on the held-out slice.
        heads: the same of every head.
    """

    weight: Any
    bias: Any
    transform: Transform
    head: Head
    heads: list[Head]


def train(task: Task, settings: Lbfgs | Sgd) -> Trained:
    """Train the heads of a protocol and choose one.

    Raises:
        InputError: NaN or infinity, no class with two samples, or a head that diverged.
    """
    return _by_lbfgs(task, settings) if isinstance(settings, Lbfgs) else _by_sgd(task, settings)


def _by_lbfgs(task: Task, settings: Lbfgs) -> Trained:
    """C from strong to weak penalties until the held-out log-loss rises, each from where the one before ended.

    The log-loss makes the logits honest, but it can prefer a head that is right less often: so the accuracy goes first.
    """
    standard = standard_of(task.samples)
    out = _slice(task, len(settings.strengths))
    kept = 4 * len(task.y) * task.samples.h.shape[1] <= task.device.room()
    parts = [task.blocks(mask, standard, kept=kept) for mask in (~out, out) if mask.any()]
    total = len(settings.strengths) + 1
    search = partial(solve, k=task.k, gram=gram_of(parts[0]), tolerance=task.tolerance)
    heads: list[Head] = []
    ends: list[Solution] = []
    for done, strength in enumerate(settings.strengths if out.any() else (), 1):
        ends.append(search(parts[:1], strength=strength, start=ends[-1] if ends else None))
        heads.append({"C": strength, **_reached(parts[1], *_placed(task, ends[-1]), 1)[0], **_end(ends[-1])})
        _tell(task, done, total)
        if done > 1 and _loss(heads[-1]) > _loss(heads[-2]):
            break  # the loss has one minimum in C, and weaker penalties take ever longer
    best = _chosen(heads, len(parts[1])) if heads else 0
    head = heads[best] if heads else Head(C=settings.strengths[0])
    found = search(parts, strength=head["C"], start=ends[best] if heads else None)
    _tell(task, total, total)
    head = {**head, **_end(found)}
    return Trained(*_placed(task, found), standard, head, heads or [head])


def _by_sgd(task: Task, settings: Sgd) -> Trained:
    """As many heads at once as memory takes; the best by held-out accuracy (of equal ones, by log-loss)."""
    if settings.standardize:
        transform: Transform = standard_of(task.samples)
    else:
        refuse_bad(task.samples)
        transform = as_float32
    pairs = [(rate, decay) for rate in settings.learning_rates for decay in settings.weight_decays]
    at_once = max(1, WEIGHTS // (task.samples.h.shape[1] * task.k))
    groups = [pairs[first : first + at_once] for first in range(0, len(pairs), at_once)]
    out = _slice(task, len(pairs))
    done, total = count(1), settings.epochs * (len(groups) + 1 if len(pairs) > 1 else 1)
    search = partial(
        train_heads,
        Batches(task.samples.h, transform, task.device),
        k=task.k,
        settings=settings,
        device=task.device,
        seed=task.seed,
        tick=lambda: _tell(task, next(done), total),
    )
    rows, heads = task.samples.rows, [Head(learning_rate=rate, weight_decay=decay) for rate, decay in pairs]
    if len(pairs) > 1:
        held = task.blocks(out, transform, kept=False)
        found = (_reached(held, *search(rows[~out], task.y[~out], heads=group), len(group)) for group in groups)
        heads = [head | reached for head, reached in zip(heads, chain.from_iterable(found), strict=True)]
    best = min(heads, key=lambda head: (-head.get("held_out_accuracy", 0), _loss(head)))
    weight, bias = search(rows, task.y, heads=[(best["learning_rate"], best["weight_decay"])])
    if not np.isfinite(task.device.fetch(weight)).all():
        raise InputError(
            f"training diverged at a learning rate of {best['learning_rate']:g}: give lower learning_rates"
        )
    return Trained(weight, bias, transform, best, heads)


def _slice(task: Task, heads: int) -> np.ndarray:
    """The held-out samples as a mask [n]; none where there is nothing to choose."""
    return held_out(task.y, task.seed) if heads > 1 else np.zeros(len(task.y), bool)


def _reached(blocks: Blocks, weight: Any, bias: Any, heads: int) -> list[Head]:
    """Log-loss and accuracy of each head; None and 0 of one that diverged."""
    xp = blocks.device.xp
    loss, right = np.zeros(heads), np.zeros(heads)
    for x, y in blocks:
        logits = (x @ weight + bias).reshape(len(y), heads, -1)
        right += blocks.device.fetch(xp.sum(xp.argmax(logits, -1) == y[:, None], axis=0))
        loss += blocks.device.fetch(softmax_error(xp, logits, y)).sum(axis=0, dtype=np.float64)
    return [
        {"held_out_log_loss": a / len(blocks), "held_out_accuracy": b / len(blocks)}
        if np.isfinite(a)
        else {"held_out_log_loss": None, "held_out_accuracy": 0.0}
        for a, b in zip(loss.tolist(), right.tolist(), strict=True)
    ]


def _loss(head: Head) -> float:
    """On the held-out slice; infinity where the head diverged, or nothing was held out."""
    loss: float | None = head.get("held_out_log_loss")
    return np.inf if loss is None else loss


def _chosen(heads: list[Head], n: int) -> int:
    """The lowest log-loss among the heads whose accuracy on n samples is within a standard error of the best one's."""
    accuracy, loss = np.array([(head["held_out_accuracy"], _loss(head)) for head in heads]).T
    best = accuracy.max()
    near = accuracy >= best - np.sqrt(best * (1 - best) / n)
    return int(np.where(near, loss, np.inf).argmin())


def _placed(task: Task, found: Solution) -> tuple[Any, Any]:
    return task.device.put(found.weight.astype(np.float32)), task.device.put(found.bias.astype(np.float32))


def _end(found: Solution) -> Head:
    return {"converged": found.converged, "evaluations": found.evaluations}


def _tell(task: Task, done: int, total: int) -> None:
    if task.progress is not None:
        task.progress(done, total)
