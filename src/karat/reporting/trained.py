"""Trainings as plain values: what was minimised, and what became of the encoder, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..records import Epoch, Finetuning
from .gallery import shortened
from .tables import defined, meaning, pairs

# Of more epochs, this many at both ends are listed; the curves have at most so many points.
LISTED, POINTS = 20, 300
# What can be said of every epoch: the field, what it is called, and what it means.
_LOSSES = {
    "loss": "what was minimised: objective and terms together",
    "objective": "the method's own loss",
    "q_term": "the term that raises low Q-Scores",
    "norm_term": "the term that lowers large column norms",
    "spread": "of the directions of z: 1 is spread evenly, 0 is collapsed",
    "lr": "the learning rate of the last step",
}
_METRICS = {
    "linear_accuracy": "of a linear probe",
    "knn_accuracy": "of the nearest neighbours' vote",
    "discriminative_features": "|D|, in this epoch",
}
_SHARES = ("linear_accuracy", "knn_accuracy", "empty_share")
_ASKED = ("lambda1", "lambda2", "lasso", "epsilon", "refresh", "schedule", "precision", "seed", "held_out")

Json = dict[str, Any]


def finetuning_section(training: Finetuning) -> Json:
    """How an encoder was trained, and what came of it.

    Returns:
        "method", "encoder", "from_scratch", "heads", "steps", "epochs", "n_train", "n_val", "weights_digest",
        "warnings"; "settings" and "recipe": name and value as text; "losses" and "metrics": curves, each "name",
        "meaning", "unit" (share, number), "epoch", "values", and "before" (the value of epoch 0, or None);
        "table": "names", "rows" (the epoch and its values) and "left_out" (epochs between the first and the last
        listed); "changes" of `changes`.
    """
    history = training.history
    metrics = dict.fromkeys(name for entry in history for name in entry.metrics)
    asked = training.provenance.parameters
    lasso = {"norm_term": "Lasso: the sum of |h|"} if asked.get("lasso") else {}
    losses = [_curve(name, words, history, _field(name)) for name, words in (_LOSSES | lasso).items()]
    found = [_curve(name, _METRICS.get(name) or meaning(name), history, _metric(name)) for name in metrics]
    return {
        "method": training.method,
        "encoder": shortened(training.encoder),
        "from_scratch": training.from_scratch,
        "heads": training.heads,
        "steps": training.steps,
        "epochs": max((entry.epoch for entry in history), default=0),
        "n_train": training.n_train,
        "n_val": training.n_val,
        "weights_digest": training.weights_digest,
        "warnings": list(training.warnings),
        "settings": pairs({name: asked[name] for name in _ASKED if name in asked}),
        "recipe": pairs(training.recipe),
        "losses": [curve for curve in losses if curve["epoch"] and any(curve["values"])],
        "metrics": [curve for curve in found if curve["epoch"]],
        "table": _table(history, [*_LOSSES, *metrics]),
        "changes": changes(training),
    }


def changes(training: Finetuning) -> list[Json]:
    """Each metric of the held-out images before the first and after the last step: "name", "before", "after"."""
    if len(training.history) < 2:
        return []
    first, last = training.history[0].metrics, training.history[-1].metrics
    return [
        {"name": name, "unit": _unit(name), "before": first[name], "after": last[name]}
        for name in first
        if name in last and math.isfinite(first[name]) and math.isfinite(last[name])
    ]


def training_headline(training: Finetuning) -> str:
    """What the training came to, in a sentence."""
    done = "trained from scratch" if training.from_scratch else "fine-tuned"
    who = f"{shortened(training.encoder)} was {done} with {training.method}"
    accuracy = next((change for change in changes(training) if change["name"] == "linear_accuracy"), None)
    if accuracy is None:
        return f"{who}; whether it is better for it has not been tested."
    return f"{who}: linear accuracy {accuracy['before']:.1%} before, {accuracy['after']:.1%} after."


def _field(name: str) -> Callable[[Epoch], float]:
    return lambda entry: float(getattr(entry, name))


def _metric(name: str) -> Callable[[Epoch], float]:
    return lambda entry: entry.metrics.get(name, math.nan)


def _unit(name: str) -> str:
    return "share" if name in _SHARES else "number"


def _curve(name: str, words: str, history: tuple[Epoch, ...], value_of: Callable[[Epoch], float]) -> Json:
    """A quantity over the epochs where it is known, thinned where there are many."""
    points = [(entry.epoch, value_of(entry)) for entry in history]
    points = [(epoch, value) for epoch, value in points if math.isfinite(value)]
    step = max(1, math.ceil(len(points) / POINTS))
    kept = points[::step] + (points[-1:] if points and (len(points) - 1) % step else [])
    return {
        "name": name,
        "meaning": words,
        "unit": _unit(name),
        "epoch": [epoch for epoch, _ in kept],
        "values": [value for _, value in kept],
        "before": points[0][1] if points and points[0][0] == 0 else None,
    }


def _table(history: tuple[Epoch, ...], names: list[str]) -> Json:
    many = len(history) > 2 * LISTED
    listed = [*history[:LISTED], *history[-LISTED:]] if many else history
    return {
        "names": names,
        "left_out": len(history) - len(listed),
        "rows": [
            {"epoch": entry.epoch, "values": [defined(_value(entry, name)) for name in names]} for entry in listed
        ],
    }


def _value(entry: Epoch, name: str) -> float:
    return float(getattr(entry, name)) if name in _LOSSES else entry.metrics.get(name, math.nan)
