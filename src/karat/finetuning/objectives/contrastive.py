"""SimCLR and MoCo v2: tell the other view of an image from other images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead, SimCLRProjectionHead
from lightly.models.utils import batch_shuffle, batch_unshuffle
from lightly.utils import dist
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..recipes.kinds import MoCo, SimCLR
from .objective import Objective, Outcome, in_float32, widened
from .queue import Queue
from .teachers import follow, half_cosine, teacher_of


class SimCLRObjective(Objective):
    """The normalised temperature-scaled cross entropy over both views of the batch of all processes:

        -log( exp(sim(z_i, z_j) / tau) / sum_{k != i} exp(sim(z_i, z_k) / tau) ),  mean over the 2n rows i

    j: the other view of i; sim: the cosine.

    Reference: Chen et al., ICML 2020, equation 1.
    """

    recipe: SimCLR

    def __init__(self, encoder: nn.Module, *, dim: int, recipe: SimCLR) -> None:
        super().__init__(encoder, dim=dim, recipe=recipe)
        self.projector = SimCLRProjectionHead(dim, recipe.hidden, recipe.output)
        self.contrast = NTXentLoss(recipe.temperature, gather_distributed=torch.distributed.is_available())

    def forward(self, views: Sequence[Tensor], *, progress: float) -> Outcome:
        self._check(views)
        h = self._features(torch.cat(list(views)))  # [2n, d]
        first, second = self.projector(h).chunk(2)
        return Outcome(in_float32(self.contrast, first, second), list(h.chunk(2)), first.detach())


class MoCoObjective(Objective):
    """A query against the teacher's key of the other view and a queue of older keys:

        -log( exp(q . k / tau) / (exp(q . k / tau) + sum_{m in queue} exp(q . m / tau)) ),  all of length 1

    Symmetric, the mean of both directions; the keys of a batch are its negatives in neither. With several processes
    the images of a batch are shuffled over them for the teacher, so that its batch normalisation gives nothing away.

    Reference: He et al., Momentum Contrast, CVPR 2020, equation 1; Chen et al., 2020.
    """

    recipe: MoCo

    def __init__(self, encoder: nn.Module, *, dim: int, recipe: MoCo) -> None:
        super().__init__(encoder, dim=dim, recipe=recipe)
        self.projector = MoCoProjectionHead(dim, recipe.hidden, recipe.output)
        self.teacher = teacher_of(encoder, self.projector)
        self.contrast = NTXentLoss(recipe.temperature)
        self.contrast.memory_bank = self.queue = Queue(recipe.queue, recipe.output)

    def forward(self, views: Sequence[Tensor], *, progress: float) -> Outcome:
        self._check(views)
        directions = [(0, 1), (1, 0)] if self.recipe.symmetric else [(0, 1)]
        h = [self._features(views[query]) for query, _ in directions]
        queries = [self.projector(features) for features in h]
        keys = [self._keys(views[key]) for _, key in directions]
        losses = [in_float32(self.contrast, q, k) for q, k in zip(queries, keys, strict=True)]
        if self.training:
            self.queue.push(torch.cat(keys))
        return Outcome(torch.stack(losses).mean(), h, queries[0].detach())

    def after_step(self, *, progress: float) -> None:
        momentum = half_cosine(*self.recipe.teacher_momentum, progress=progress)
        follow(self.teacher, self.encoder, self.projector, momentum=momentum)

    @torch.no_grad()
    def _keys(self, view: Tensor) -> Tensor:
        """The teacher's projections of length 1, [n, p]."""
        encoder, projector = self.teacher
        if dist.world_size() == 1:
            return normalize(widened(projector(encoder(view))))
        shuffled, order = batch_shuffle(view, distributed=True)
        return batch_unshuffle(normalize(widened(projector(encoder(shuffled)))), order, distributed=True)
