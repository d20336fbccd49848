"""VICReg and Barlow Twins: views agree, features do not repeat each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss import BarlowTwinsLoss, VICRegLoss
from lightly.models.modules import BarlowTwinsProjectionHead
from lightly.utils import dist
from torch import Tensor, nn

from ..recipes.kinds import BarlowTwins, VICReg
from .objective import Objective, Outcome, in_float32


class VICRegObjective(Objective):
    """Invariance, variance and covariance, over the batch of all processes:

        25 s(Z, Z') + 25 (v(Z) + v(Z')) / 2 + c(Z) + c(Z')
        s: mean of (z - z')^2 over samples and features;  v: mean_j max(0, 1 - sqrt(Var(z_j) + 1e-4));
        c: sum_{i != j} Cov(Z)_ij^2 / p

    Reference: Bardes, Ponce, LeCun, ICLR 2022, equations 1 to 6, with the authors' code where it differs: s is a mean
    over features too, and v is halved. The expander is Barlow Twins' projector, which it was taken from.
    """

    recipe: VICReg

    def __init__(self, encoder: nn.Module, *, dim: int, recipe: VICReg) -> None:
        super().__init__(encoder, dim=dim, recipe=recipe)
        self.projector = BarlowTwinsProjectionHead(dim, recipe.hidden, recipe.output)
        self.terms = VICRegLoss(
            recipe.invariance,
            recipe.variance,
            recipe.covariance,
            gather_distributed=torch.distributed.is_available(),
        )

    def forward(self, views: Sequence[Tensor], *, progress: float) -> Outcome:
        self._check(views)
        h = [self._features(view) for view in views]
        z = [self.projector(features) for features in h]
        return Outcome(in_float32(self.terms, *z), h, z[0].detach())


class BarlowTwinsObjective(Objective):
    """The cross-correlation of both views' features, over the batch of all processes, is to be the identity:

        scale * ( sum_i (1 - C_ii)^2 + lambda * sum_{i != j} C_ij^2 )

    Reference: Zbontar et al., ICML 2021, equation 1. The scale is that of the authors' code.
    """

    recipe: BarlowTwins

    def __init__(self, encoder: nn.Module, *, dim: int, recipe: BarlowTwins) -> None:
        super().__init__(encoder, dim=dim, recipe=recipe)
        self.projector = BarlowTwinsProjectionHead(dim, recipe.hidden, recipe.output)
        self.terms = BarlowTwinsLoss(recipe.redundancy)

    def forward(self, views: Sequence[Tensor], *, progress: float) -> Outcome:
        self._check(views)
        h = [self._features(view) for view in views]
        z = [self.projector(features) for features in h]
        return Outcome(self.recipe.scale * in_float32(self._whole_terms, *z), h, z[0].detach())

    def _whole_terms(self, first: Tensor, second: Tensor) -> Tensor:
        # lightly's own gathering standardises each process's rows by themselves.
        if dist.world_size() > 1:
            first, second = (torch.cat(dist.gather(z)) for z in (first, second))
        terms: Tensor = self.terms(first, second)
        return terms
