"""The optimiser of a recipe, and its learning rate at each step."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

from .recipes import Recipe

Schedule = Literal["cosine", "constant"]


def optimizer_of(recipe: Recipe, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW, SGD or LARS, as the recipe says.

    LARS is lightly's: You, Gitman, Ginsburg, 2017; vectors, which have no weight decay, are not scaled.
    """
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    from lightly.utils.lars import LARS

    lars: torch.optim.Optimizer = LARS(groups, lr=recipe.lr, momentum=recipe.momentum)
    return lars


def lr_factor(step: int, steps: int, *, warmup: float, schedule: Schedule) -> float:
    """What the learning rate is multiplied with at a step, counted from 0:

        (step + 1) / w                                       in the warm-up, the first w = round(warmup * steps) steps
        (1 + cos(pi * (step - w) / (steps - w))) / 2         after it ("cosine"), or 1 ("constant")

    >>> [round(lr_factor(step, 8, warmup=0.25, schedule="cosine"), 3) for step in range(8)]
    [0.5, 1.0, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067]
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def set_lr(optimizer: torch.optim.Optimizer, recipe: Recipe, factor: float) -> float:
    """Set the learning rate of every group (of those with `constant_lr` the recipe's own), and return it."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr if group.get("constant_lr") else recipe.lr * factor
    return recipe.lr * factor
