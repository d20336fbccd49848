"""BYOL and SimSiam: a predictor meets a target without gradient; there are no negatives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    SimSiamPredictionHead,
    SimSiamProjectionHead,
)
from torch import Tensor, nn

from ..recipes.kinds import BYOL, SimSiam
from .objective import Objective, Outcome, in_float32
from .teachers import follow, half_cosine, teacher_of


class BYOLObjective(Objective):
    """The squared distance of the normalised prediction to the teacher's normalised projection of the other view:

        (2 - 2 cos(p_1, t_2)) + (2 - 2 cos(p_2, t_1)),  mean over the batch

    Reference: Grill et al., NeurIPS 2020, equation 2 and its symmetrised sum.
    """

    recipe: BYOL

    def __init__(self, encoder: nn.Module, *, dim: int, recipe: BYOL) -> None:
        super().__init__(encoder, dim=dim, recipe=recipe)
        self.projector = BYOLProjectionHead(dim, recipe.hidden, recipe.output)
        self.predictor = BYOLPredictionHead(recipe.output, recipe.predictor_hidden, recipe.output)
        self.teacher = teacher_of(encoder, self.projector)
        self.distance = NegativeCosineSimilarity()

    def forward(self, views: Sequence[Tensor], *, progress: float) -> Outcome:
        self._check(views)
        h = [self._features(view) for view in views]
        z = [self.projector(features) for features in h]
        predictions = [self.predictor(projection) for projection in z]
        targets = [self._target(view) for view in views]
        similar = in_float32(self.distance, predictions[0], targets[1])
        similar = similar + in_float32(self.distance, predictions[1], targets[0])
        return Outcome(4 + 2 * similar, h, z[0].detach())

    def after_step(self, *, progress: float) -> None:
        momentum = half_cosine(*self.recipe.teacher_momentum, progress=progress)
        follow(self.teacher, self.encoder, self.projector, momentum=momentum)

    @torch.no_grad()
    def _target(self, view: Tensor) -> Tensor:
        encoder, projector = self.teacher
        target: Tensor = projector(encoder(view))
        return target


class SimSiamObjective(Objective):
    """The negative cosine of a prediction and the other view's projection, which is a constant:

        -cos(p_1, stop(z_2)) / 2 - cos(p_2, stop(z_1)) / 2,  mean over the batch

    Reference: Chen, He, CVPR 2021, equation 4. The predictor's learning rate is constant (section 4.4, fixed).
    """

    recipe: SimSiam

    def __init__(self, encoder: nn.Module, *, dim: int, recipe: SimSiam) -> None:
        super().__init__(encoder, dim=dim, recipe=recipe)
        self.projector = SimSiamProjectionHead(dim, recipe.hidden, recipe.output)
        self.predictor = SimSiamPredictionHead(recipe.output, recipe.predictor_hidden, recipe.output)
        self.distance = NegativeCosineSimilarity()

    def forward(self, views: Sequence[Tensor], *, progress: float) -> Outcome:
        self._check(views)
        h = [self._features(view) for view in views]
        z = [self.projector(features) for features in h]
        predictions = [self.predictor(projection) for projection in z]
        similar = in_float32(self.distance, predictions[0], z[1].detach())
        similar = similar + in_float32(self.distance, predictions[1], z[0].detach())
        return Outcome(similar / 2, h, z[0].detach())

    def _constant_lr(self) -> list[nn.Parameter]:
        return list(self.predictor.parameters())
