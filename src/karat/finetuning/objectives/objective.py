"""What an objective is, whatever the method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError
from ..recipes import Recipe


@dataclass(frozen=True)
class Outcome:
    """What one forward pass gives.

    Attributes:
        loss: a scalar, to be minimised.
        h: encoder output of each full-resolution view that carries gradient, [n, d] each; no local crops, no teachers.
        z: projector output of the first view, without gradient, [n, p].
    """

    loss: Tensor
    h: list[Tensor]
    z: Tensor


class Objective(nn.Module):
    """An encoder with the heads, teachers and queues of one method. All of its state is in its state_dict.

    A step: forward, backward, `after_backward`, the optimiser's step, `after_step`. `progress` is step / steps, in
    [0, 1), and the only clock that the schedules know.

    Attributes:
        encoder: the student: what is tuned and saved.
        recipe: the settings.
    """

    encoder: nn.Module

    def __init__(self, encoder: nn.Module, *, dim: int, recipe: Recipe) -> None:
        super().__init__()
        self.encoder = encoder
        self.recipe = recipe
        self._dim = dim

    def forward(self, views: Sequence[Tensor], *, progress: float) -> Outcome:
        """The loss of one batch.

        Args:
            views: normalised images, [n, 3, s, s] each: the full-resolution ones first, then the local crops.
            progress: step / steps.

        Raises:
            InputError: one image only, another number of views than the method takes, values that are not finite.
        """
        raise NotImplementedError

    def after_backward(self, *, progress: float) -> None:
        """Before the optimiser's step: what must not move has no gradient."""

    def after_step(self, *, progress: float) -> None:
        """After the optimiser's step: teachers follow, prototypes are normalised."""

    def parameter_groups(self, *, weight_decay: float) -> list[dict[str, Any]]:
        """What the optimiser trains: matrices with weight decay, vectors (biases, normalisation) without.

        Returns:
            Groups with `params`, `weight_decay` and `constant_lr`: True where the learning rate follows no schedule.
        """
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        constant = {id(parameter) for parameter in self._constant_lr()}
        for parameter in self.parameters():
            if parameter.requires_grad:
                groups.setdefault((id(parameter) in constant, parameter.ndim > 1), []).append(parameter)
        return [
            {"params": params, "weight_decay": weight_decay if matrices else 0.0, "constant_lr": fixed}
            for (fixed, matrices), params in groups.items()
        ]

    def _constant_lr(self) -> list[nn.Parameter]:
        return []

    def _features(self, images: Tensor) -> Tensor:
        """h of images, [n, 3, s, s] -> [n, d]."""
        h: Tensor = self.encoder(images)
        if h.ndim != 2 or h.shape[1] != self._dim:
            raise InputError(f"encoder gives h of shape {list(h.shape)}, but [n, {self._dim}] was promised (dim)")
        return h

    def _check(self, views: Sequence[Tensor]) -> None:
        """Refuse views that the method can make nothing of."""
        method, crops = self.recipe.method, self.recipe.views.local_crops
        if len(views) != 2 + crops:
            raise InputError(
                f"{len(views)} views were given, but {method} needs 2 of full resolution and {crops} local crops"
            )
        if any(len(view) != len(views[0]) for view in views):
            raise InputError(f"views have {[len(view) for view in views]} images, but all need the same")
        if len(views[0]) < 2:
            raise InputError(
                f"a batch of {len(views[0])} was given, but {method} needs 2 images or more: each is compared with, or "
                "normalised by, the others of its batch"
            )
        if not torch.stack([view.isfinite().all() for view in views]).all():
            raise InputError("views hold values that are not finite: are the images, or the mean and std, damaged?")


def in_float32(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """function(*tensors) in float32 (float64 stays), under autocast too."""
    with torch.autocast(tensors[0].device.type, enabled=False):
        return function(*map(widened, tensors))


def widened(tensor: Tensor) -> Tensor:
    """Half precision as float32; float64 stays."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
