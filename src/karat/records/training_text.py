"""The record of a training, as terminal tables and sentences."""

from __future__ import annotations

import math

from rich.markup import escape
from rich.table import Table

from .layout import numbers_table, pairs
from .training import Epoch, Finetuning

# Epochs shown: the first and the last few; the record has them all.
_SHOWN = 6
_LOSSES = {"loss": "loss", "objective": "objective", "Q term": "q_term", "norm term": "norm_term", "spread": "spread"}


def training_blocks(record: Finetuning) -> list[Table | str]:
    """A training as tables, and a sentence on what it did."""
    return [_summary(record), _history(record), *_change(record)]


def _summary(record: Finetuning) -> Table:
    asked, recipe = record.provenance.parameters, record.recipe
    rows = {
        "method": record.method,
        "encoder": record.encoder + (" (from scratch)" if record.from_scratch else ""),
        "heads": record.heads,
        "images": f"{record.n_train:,}" + (f", and {record.n_val:,} held out" if record.n_val else ""),
        "epochs, steps": f"{recipe['epochs']:,}, {record.steps:,}",
        "learning rate": f"{recipe['lr']:g} ({recipe['optimizer']}, {asked['schedule']})",
        "batch": f"{recipe['batch_size']:,}",
        "lambda1, lambda2": f"{asked['lambda1']:g}, {asked['lambda2']:g}",
        **({"Lasso": f"{asked['lasso']:g}"} if asked["lasso"] else {}),
        "seed": str(asked["seed"]),
    }
    return pairs("fine-tuning" if not record.from_scratch else "pretraining", rows)


def _history(record: Finetuning) -> Table:
    metrics = list(dict.fromkeys(name for entry in record.history for name in entry.metrics))
    listed = numbers_table("epochs", "epoch", *_LOSSES, *(escape(name.replace("_", " ")) for name in metrics))
    many = len(record.history) > 2 * _SHOWN
    for entry in record.history[:_SHOWN] if many else record.history:
        _add(listed, entry, metrics)
    if many:
        listed.add_row("...")
        for entry in record.history[-_SHOWN:]:
            _add(listed, entry, metrics)
    return listed


def _add(listed: Table, entry: Epoch, metrics: list[str]) -> None:
    numbers = [getattr(entry, name) for name in _LOSSES.values()]
    numbers += [entry.metrics.get(name, math.nan) for name in metrics]
    listed.add_row(str(entry.epoch), *("-" if math.isnan(value) else f"{value:.4g}" for value in numbers))


def _change(record: Finetuning) -> list[str]:
    """What became of the accuracy, where it is known."""
    first, last = record.history[0].metrics, record.history[-1].metrics
    name = "linear_accuracy"
    if name not in first or name not in last or len(record.history) < 2:
        return []
    return [
        f"Linear accuracy on the {record.n_val:,} held-out images: {first[name]:.1%} before, {last[name]:.1%} after. "
        "One run says little: compare with the same run at lambda1 = lambda2 = 0, over several seeds."
    ]
