"""What is asked of a training, and what is refused of it before any work is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import InputError
from ..stats.activations import check_epsilon
from ..stats.discriminative import Over, check_band
from ..stats.halves import Halves, checked_halves
from .optimizing import Schedule
from .recipes import Recipe, recipe_of
from .terms import Refresh, Weights

Precision = Literal["auto", "float32", "bfloat16"]

# METHOD 6: what a pretrained encoder is tuned with. AdamW and the batch are ours: at this rate LARS does not move.
_TUNING: dict[str, Any] = {"optimizer": "adamw", "lr": 1e-5, "epochs": 50}
_TUNING_BATCH, _TUNING_WEIGHT = 256, 1e-4


@dataclass(frozen=True)
class Asked:
    """The parameters of `karat.finetune` that settle the numbers; see there."""

    method: str
    from_scratch: bool
    epochs: int | None
    lr: float | None
    batch_size: int | None
    lambda1: float | None
    lambda2: float | None
    lasso: float
    epsilon: float | Literal["auto"]
    lower: float
    upper: float
    over: Over
    halves: Halves
    refresh: Refresh | None
    schedule: Schedule
    settings: Mapping[str, Any]
    held_out: int | None
    metrics_every: int
    seed: int
    accumulate: int
    precision: Precision

    def recipe(self, size: int) -> Recipe:
        """The recipe for full views of this size, with what was asked in the place of its defaults."""
        changes: dict[str, Any] = {}
        if not self.from_scratch:
            whole = recipe_of(self.method, size=size)
            changes = {**_TUNING, "batch_size": min(_TUNING_BATCH, whole.batch_size)}
        given = {"epochs": self.epochs, "lr": self.lr, "batch_size": self.batch_size}
        changes |= {**self.settings, **{name: value for name, value in given.items() if value is not None}}
        return recipe_of(self.method, size=size, changes=changes)

    def lambdas(self) -> tuple[float, float]:
        """Weights of the two terms: 1e-4 each for a pretrained encoder, unless something else was asked."""
        usual = 0.0 if self.from_scratch or self.lasso else _TUNING_WEIGHT
        first, second = (usual if it is None else float(it) for it in (self.lambda1, self.lambda2))
        return first, second

    @property
    def threshold(self) -> float:
        """epsilon, which has been chosen where it was "auto"."""
        assert self.epsilon != "auto"
        return float(self.epsilon)

    def weights(self) -> Weights:
        """What is added to the objective."""
        lambda1, lambda2 = self.lambdas()
        band = (self.lower, self.upper, self.over, self.halves)
        return Weights(lambda1, lambda2, float(self.lasso), self.threshold, *band, self.refresh)

    def to_dict(self) -> dict[str, Any]:
        """What determines the numbers besides the recipe, plain JSON."""
        weights = self.weights()
        return {
            "method": self.method,
            "from_scratch": self.from_scratch,
            **vars(weights),
            "schedule": self.schedule,
            "held_out": self.held_out,
            "metrics_every": self.metrics_every,
            "seed": self.seed,
            "accumulate": self.accumulate,
        }

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            InputError: with the parameter's name.
        """
        least = {"epochs": 1, "batch_size": 2, "held_out": 0, "metrics_every": 1, "seed": 0, "accumulate": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < bound):
                why = ": each image is compared with others of its batch" if name == "batch_size" else ""
                raise InputError(f"{name} is {value!r}, but a whole number of at least {bound} is needed{why}")
        for name in ("lambda1", "lambda2", "lasso"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise InputError(f"{name} is {value!r}, but a number of at least 0 is needed")
        if self.lasso and (self.lambda1 or self.lambda2):
            raise InputError("lasso is the control for lambda1 and lambda2 and stands in their place: give one of both")
        if self.epsilon != "auto":
            check_epsilon(self.epsilon)
        elif self.from_scratch:
            raise InputError("epsilon is 'auto', but it is chosen on a trained encoder: from scratch give a number")
        check_band(self.lower, self.upper, self.over)
        checked_halves(self.halves)
        choices: dict[str, tuple[Any, ...]] = {
            "refresh": (None, *get_args(Refresh)),
            "schedule": get_args(Schedule),
            "precision": get_args(Precision),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}, but one of {', '.join(map(str, known))} is needed"
                )


def check_batches(recipe: Recipe, *, images: int, accumulate: int, processes: int) -> None:
    """Refuse batches that the images do not fill, or that cannot be shared.

    Raises:
        InputError: with the numbers.
    """
    size = recipe.batch_size
    if images < size:
        raise InputError(
            f"there are {images:,} images to train on, but batch_size is {size:,}: give more images, or a smaller batch"
        )
    parts = accumulate * processes
    if size % parts:
        raise InputError(
            f"batch_size is {size}, which {accumulate} micro-batches of {processes} processes cannot share evenly: "
            f"take a multiple of {parts}"
        )
    if size // parts < 2:
        raise InputError(
            f"batch_size is {size}, which is {size // parts} image in each of {parts} parts, but each is compared with "
            "others of its part: use a larger batch, a smaller accumulate, or fewer processes"
        )
