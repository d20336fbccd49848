"""SwAV and DINO: views of an image fall into the same clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from lightly.loss import DINOLoss, SwaVLoss
from lightly.models.modules import SwaVProjectionHead
from lightly.models.modules.heads import ProjectionHead
from lightly.models.utils import normalize_weight
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrizations import weight_norm

from ..recipes.kinds import DINO, SwAV
from .objective import Objective, Outcome, widened
from .queue import Queue
from .teachers import follow, half_cosine, teacher_of


class SwAVObjective(Objective):
    """Predict the cluster assignment of each full view from each other view:

        mean over full views s of the mean over views t != s of  -sum_k q_s(k) log softmax(z_t . C / tau)_k

    q_s: the assignments of the batch of all processes (and of the queue) spread evenly over the prototypes C by
    Sinkhorn and Knopp; a constant. z and the prototypes have length 1.

    Reference: Caron et al., NeurIPS 2020, equations 1 to 5. The queue is filled from the first step on.
    """

    recipe: SwAV

    def __init__(self, encoder: nn.Module, *, dim: int, recipe: SwAV) -> None:
        super().__init__(encoder, dim=dim, recipe=recipe)
        self.projector = SwaVProjectionHead(dim, recipe.hidden, recipe.output)
        self.prototypes = nn.Linear(recipe.output, recipe.prototypes, bias=False)
        normalize_weight(self.prototypes.weight)
        self.queues = nn.ModuleList(Queue(recipe.queue, recipe.output) for _ in range(2 if recipe.queue else 0))
        self.swap = SwaVLoss(
            recipe.temperature,
            recipe.sinkhorn_iterations,
            recipe.sinkhorn_epsilon,
            sinkhorn_gather_distributed=torch.distributed.is_available(),
        )

    def forward(self, views: Sequence[Tensor], *, progress: float) -> Outcome:
        self._check(views)
        h = self._features(torch.cat(list(views[:2])))  # [2n, d]
        full = self.projector(h)
        local = [self.projector(self._features(torch.cat(list(views[2:]))))] if len(views) > 2 else []
        with torch.autocast(h.device.type, enabled=False):
            z, *crops = (normalize(widened(projected)) for projected in (full, *local))
            first, second = z.chunk(2)
            scores = [torch.split(self.prototypes(part), len(first)) for part in (z, *crops)]
            loss = self.swap(scores[0], scores[1] if local else (), self._queue_scores(progress)).squeeze()
        if self.training:
            for queue, rows in zip(cast(list[Queue], list(self.queues)), (first, second), strict=False):
                queue.push(rows)
        return Outcome(loss, list(h.chunk(2)), first.detach())

    def after_backward(self, *, progress: float) -> None:
        if progress < self.recipe.frozen_prototypes:
            self.prototypes.weight.grad = None

    def after_step(self, *, progress: float) -> None:
        normalize_weight(self.prototypes.weight)

    @torch.no_grad()
    def _queue_scores(self, progress: float) -> list[Tensor] | None:
        """The older projections' scores that take part in the assignment, once there are enough of them."""
        queues = cast(list[Queue], list(self.queues))
        if not queues or progress < self.recipe.queue_start or not queues[0].full():
            return None
        return [self.prototypes(queue.share()) for queue in queues]


class DINOHead(nn.Module):
    """The projector, normalised, and a last layer whose rows have length 1.

    h [n, d] -> z [n, output] and scores [n, prototypes]. lightly's is built on a weight normalisation that
    torch has given up and that cannot be copied.
    """

    def __init__(self, dim: int, recipe: DINO) -> None:
        super().__init__()

        def normalisation() -> nn.Module | None:
            return nn.BatchNorm1d(recipe.hidden) if recipe.batch_norm else None

        self.layers = ProjectionHead(
            [
                (dim, recipe.hidden, normalisation(), nn.GELU()),
                (recipe.hidden, recipe.hidden, normalisation(), nn.GELU()),
                (recipe.hidden, recipe.output, None, None),
            ]
        )
        for layer in self.layers.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        self.prototypes = weight_norm(nn.Linear(recipe.output, recipe.prototypes, bias=False))
        length = self.prototypes.parametrizations.weight.original0
        nn.init.ones_(length)
        length.requires_grad_(False)

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        z = normalize(self.layers(h))
        return z, self.prototypes(z)


class DINOObjective(Objective):
    """The student's probabilities of each view follow the teacher's of each other full view:

        mean over full views s and views t != s of  -sum_k softmax((T(s) - c) / tau_t)_k log softmax(S(t) / tau_s)_k

    c: a running mean of the teacher's outputs over the batches of all processes.

    Reference: Caron et al., ICCV 2021, equations 1 to 4.
    """

    recipe: DINO

    def __init__(self, encoder: nn.Module, *, dim: int, recipe: DINO) -> None:
        super().__init__(encoder, dim=dim, recipe=recipe)
        self.head = DINOHead(dim, recipe)
        self.teacher = teacher_of(encoder, self.head)
        self.agreement = DINOLoss(
            recipe.prototypes, student_temp=recipe.student_temperature, center_momentum=recipe.centre_momentum
        )

    def forward(self, views: Sequence[Tensor], *, progress: float) -> Outcome:
        self._check(views)
        full = torch.cat(list(views[:2]))
        h = self._features(full)  # [2n, d]
        z, scores = self.head(h)
        student = list(widened(scores).chunk(2))
        if len(views) > 2:
            crops = self.head(self._features(torch.cat(list(views[2:]))))[1]
            student += torch.split(widened(crops), len(views[0]))
        with torch.autocast(h.device.type, enabled=False):
            loss = self._loss(self._teacher_scores(full), student, progress)
        return Outcome(loss, list(h.chunk(2)), z[: len(views[0])].detach())

    def after_backward(self, *, progress: float) -> None:
        if progress < self.recipe.frozen_prototypes:
            for parameter in self.head.prototypes.parameters():
                parameter.grad = None

    def after_step(self, *, progress: float) -> None:
        momentum = half_cosine(*self.recipe.teacher_momentum, progress=progress)
        follow(self.teacher, self.encoder, self.head, momentum=momentum)

    @torch.no_grad()
    def _teacher_scores(self, full: Tensor) -> list[Tensor]:
        encoder, head = self.teacher
        return list(widened(head(encoder(full))[1]).chunk(2))

    def _loss(self, teacher: list[Tensor], student: list[Tensor], progress: float) -> Tensor:
        first, last = self.recipe.teacher_temperature
        warm = min(1.0, progress / self.recipe.teacher_warmup) if self.recipe.teacher_warmup else 1.0
        centre = self.agreement.center.data
        loss: Tensor = self.agreement(teacher, student, teacher_temp=first + warm * (last - first))
        if not self.training:
            self.agreement.center.data = centre  # lightly's moves in eval mode too
        return loss
