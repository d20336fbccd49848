"""The kind of record that says what fine-tuning was worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from .kinds import Estimate, Numbers, Printed, Provenance
from .verdicts import PairedTest

# What is measured of each arm: its field -> what tables call it.
MEASURES = {
    "linear_accuracy": "linear accuracy",
    "compressed_accuracy": "accuracy with fewer features",
    "auroc": "AUROC of q_score",
    "mean_q": "mean Q",
    "empty_share": "empty share",
}


@dataclass(frozen=True)
class StudyArm(Numbers):
    """One way of fine-tuning, over all seeds.

    Attributes:
        name: "baseline" (no fine-tuning), "lambda0", "lasso" or "q_score".
        lambda1, lambda2, lasso: the weights of what was added to the objective.
        accuracies: linear accuracy with each seed.
        linear_accuracy: of a linear probe on the validation images, the mean over the seeds.
        compressed_accuracy: the same with a share of the features only (`Study.keep`), chosen without labels.
        auroc: of q_score, for telling the images that the probe gets right from the others.
        mean_q: mean Q-Score of the validation images, in the unit of h.
        empty_share: of those without a discriminative feature, whose Q-Score is 0.
        changes: measure -> this arm minus the baseline, on the same images and seeds; of the baseline none.
    """

    name: str
    lambda1: float
    lambda2: float
    lasso: float
    accuracies: tuple[float, ...]
    linear_accuracy: Estimate
    compressed_accuracy: Estimate
    auroc: Estimate
    mean_q: Estimate
    empty_share: Estimate
    changes: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Study(Printed):
    """Does fine-tuning with the Q-Score make an encoder better than without?

    Every interval is a 95% bootstrap interval over seeds and validation images at once.

    Attributes:
        method: the objective.
        encoder: name of the encoder that is fine-tuned.
        heads: "new" or "kept", as in `Finetuning`.
        seeds: of the runs of each arm.
        recipe: every setting of the objective, its views and its optimiser.
        steps: of the optimiser, in each run.
        n_train, n_val: images that encoders and probes are trained on, and that they are judged on.
        d: features.
        epsilon: of the Q-Score.
        keep: share of the features that compression keeps.
        arms: the baseline first.
        tests: of linear accuracy, each arm against each before it; p is corrected for all of them (Holm).
        verdict: what the tests come to, in a few sentences.
        warnings: sentences: what not to trust.
    """

    kind: ClassVar[str] = "study"
    provenance: Provenance
    method: str
    encoder: str
    heads: str
    seeds: tuple[int, ...]
    recipe: dict[str, Any]
    steps: int
    n_train: int
    n_val: int
    d: int
    epsilon: float
    keep: float
    arms: tuple[StudyArm, ...]
    tests: tuple[PairedTest, ...]
    verdict: str
    warnings: tuple[str, ...] = ()
