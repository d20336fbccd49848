"""The kind of record that tells of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from .kinds import Numbers, Printed, Provenance


@dataclass(frozen=True)
class Epoch(Numbers):
    """One pass over the images, and what the encoder was like after it.

    Attributes:
        epoch: counted from 1; 0 is before the first step, where there are no means.
        loss: mean over the steps of what was minimised: objective + q_term + norm_term.
        objective: the method's own loss.
        q_term, norm_term: the two terms of the regulariser (of a Lasso, the second).
        spread: sqrt(p) times the mean column deviation of L2-normalised z: 1 = spread evenly, 0 = collapsed.
        lr: the learning rate of the last step.
        metrics: of the held-out images: mean_q, empty_share, effective_rank, and where they have labels knn_accuracy
            and linear_accuracy; discriminative_features: |D| that the regulariser had in this epoch.
    """

    epoch: int
    loss: float
    objective: float
    q_term: float
    norm_term: float
    spread: float
    lr: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Finetuning(Printed):
    """How an encoder was trained, and what came of it.

    Attributes:
        method: the objective.
        encoder: name of the encoder that it began with.
        from_scratch: whether its weights were random then.
        recipe: every setting of the objective, its views and its optimiser.
        steps: of the optimiser.
        n_train, n_val: images that were trained on, and that the metrics are of.
        history: one entry an epoch, after that of epoch 0.
        weights_digest: of the encoder's final weights.
        heads: "new", or "kept": whether heads, teacher and queue began with random weights or with those of a training.
        warnings: sentences: what not to trust.
    """

    kind: ClassVar[str] = "finetuning"
    provenance: Provenance
    method: str
    encoder: str
    from_scratch: bool
    recipe: dict[str, Any]
    steps: int
    n_train: int
    n_val: int
    history: tuple[Epoch, ...]
    weights_digest: str
    heads: str = "new"
    warnings: tuple[str, ...] = ()
