"""What each objective can be set to, with the defaults of its paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Pair = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """How an image becomes views: two of full resolution, then local crops. Each step but the crop has a probability.

    Attributes:
        full_scale: share of the image's area that a full view shows, from and to.
        local_crops: number of local crops, 0 or more.
        local_size: side of the local crops in pixels.
        local_scale: share of the image's area that a local crop shows, from and to.
        flip: probability of the horizontal flip.
        jitter: largest change of brightness, contrast and saturation (as factors, 1 - x to 1 + x) and of hue (as a
            share of the colour circle).
        jitter_probability: of the jitter.
        grey: probability of grey.
        blur: probability of the blur in the first and the second full view.
        local_blur: in the local crops.
        blur_sigma: standard deviation of the blur in the view's pixels, from and to.
        solarise: probability of the solarisation in the first and the second full view.
    """

    full_scale: Pair = (0.08, 1.0)
    local_crops: int = 0
    local_size: int = 96
    local_scale: Pair = (0.05, 0.14)
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    jitter_probability: float = 0.8
    grey: float = 0.2
    blur: Pair = (0.5, 0.5)
    local_blur: float = 0.5
    blur_sigma: Pair = (0.1, 2.0)
    solarise: Pair = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What all objectives have: views and the optimisation for pretraining.

    Attributes:
        method: one of `METHODS`.
        views: how an image becomes views.
        optimizer: "adamw", "sgd" or "lars".
        lr: the highest learning rate, at this batch size.
        weight_decay: of matrices; vectors have none.
        momentum: of SGD and LARS.
        warmup: share of the steps over which the learning rate rises.
        clip: largest norm of the gradient; 0 clips nothing.
        batch_size: images in a batch, over all processes.
        epochs: passes over the images.
    """

    method: str = ""
    views: ViewSettings = ViewSettings()
    optimizer: Literal["adamw", "sgd", "lars"] = "lars"
    lr: float
    weight_decay: float = 1e-6
    momentum: float = 0.9
    warmup: float = 0.01
    clip: float = 0.0
    batch_size: int
    epochs: int

    def to_dict(self) -> dict[str, Any]:
        """All settings as flat plain JSON; what `recipe_of` takes as changes."""
        flat = {**vars(self), **vars(self.views)}
        del flat["views"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in flat.items()}


@dataclass(frozen=True, kw_only=True)
class SimCLR(Recipe):
    """Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020.

    Attributes:
        hidden, output: sides of the projector, with batch normalisation.
        temperature: of the similarities.
    """

    method: str = "simclr"
    hidden: int = 2048
    output: int = 128
    temperature: float = 0.1


@dataclass(frozen=True, kw_only=True)
class MoCo(Recipe):
    """Chen et al., Improved Baselines with Momentum Contrastive Learning (MoCo v2), 2020.

    Attributes:
        hidden, output: sides of the projector, without batch normalisation.
        temperature: of the similarities.
        queue: number of keys kept as negatives.
        teacher_momentum: of the key encoder, at the first and the last step (a half cosine between).
        symmetric: whether each view is query once and key once; the paper's first is the query.
    """

    method: str = "moco"
    hidden: int = 2048
    output: int = 128
    temperature: float = 0.2
    queue: int = 65536
    teacher_momentum: Pair = (0.999, 0.999)
    symmetric: bool = False


@dataclass(frozen=True, kw_only=True)
class BYOL(Recipe):
    """Grill et al., Bootstrap Your Own Latent, NeurIPS 2020.

    Attributes:
        hidden, output: sides of the projector, with batch normalisation between them.
        predictor_hidden: of the predictor, output -> predictor_hidden -> output.
        teacher_momentum: of the target network, at the first and the last step (a half cosine between).
    """

    method: str = "byol"
    hidden: int = 4096
    output: int = 256
    predictor_hidden: int = 4096
    teacher_momentum: Pair = (0.996, 1.0)


@dataclass(frozen=True, kw_only=True)
class SimSiam(Recipe):
    """Chen, He, Exploring Simple Siamese Representation Learning, CVPR 2021.

    Attributes:
        hidden, output: sides of the projector, three layers with batch normalisation (the last without affine).
        predictor_hidden: of the predictor, output -> predictor_hidden -> output; its learning rate stays constant.
    """

    method: str = "simsiam"
    hidden: int = 2048
    output: int = 2048
    predictor_hidden: int = 512


@dataclass(frozen=True, kw_only=True)
class SwAV(Recipe):
    """Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, NeurIPS 2020.

    Attributes:
        hidden, output: sides of the projector, with batch normalisation between them.
        prototypes: number of clusters.
        temperature: of the predicted assignments.
        sinkhorn_epsilon: of the codes; smaller is sharper.
        sinkhorn_iterations: of Sinkhorn and Knopp.
        frozen_prototypes: share of the steps before the prototypes move.
        queue: projections of each full view kept to compute the codes with; 0 for none.
        queue_start: share of the steps before the queue is used.
    """

    method: str = "swav"
    hidden: int = 2048
    output: int = 128
    prototypes: int = 3000
    temperature: float = 0.1
    sinkhorn_epsilon: float = 0.05
    sinkhorn_iterations: int = 3
    frozen_prototypes: float = 0.005
    queue: int = 3840
    queue_start: float = 0.075


@dataclass(frozen=True, kw_only=True)
class DINO(Recipe):
    """Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021.

    Attributes:
        hidden, output: sides of the projector, three layers with GELU; its output is normalised.
        batch_norm: whether the projector has batch normalisation.
        prototypes: number of outputs of the last layer, with rows of length 1.
        student_temperature: of the student's probabilities.
        teacher_temperature: of the teacher's, at first and after its warm-up.
        teacher_warmup: share of the steps over which the teacher's temperature goes from the first to the second.
        centre_momentum: of the mean that is subtracted from the teacher's outputs.
        teacher_momentum: of the teacher, at the first and the last step (a half cosine between).
        frozen_prototypes: share of the steps before the last layer moves.
    """

    method: str = "dino"
    hidden: int = 2048
    output: int = 256
    batch_norm: bool = False
    prototypes: int = 65536
    student_temperature: float = 0.1
    teacher_temperature: Pair = (0.04, 0.04)
    teacher_warmup: float = 0.0
    centre_momentum: float = 0.9
    teacher_momentum: Pair = (0.996, 1.0)
    frozen_prototypes: float = 0.01


@dataclass(frozen=True, kw_only=True)
class VICReg(Recipe):
    """Bardes, Ponce, LeCun, VICReg: Variance-Invariance-Covariance Regularization, ICLR 2022.

    Attributes:
        hidden, output: sides of the expander, three layers with batch normalisation between them.
        invariance, variance, covariance: weights of the three terms.
    """

    method: str = "vicreg"
    hidden: int = 8192
    output: int = 8192
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0


@dataclass(frozen=True, kw_only=True)
class BarlowTwins(Recipe):
    """Zbontar et al., Barlow Twins: Self-Supervised Learning via Redundancy Reduction, ICML 2021.

    Attributes:
        hidden, output: sides of the projector, three layers with batch normalisation between them.
        redundancy: weight of the squared correlations off the diagonal.
        scale: factor of the whole loss.
    """

    method: str = "barlow"
    hidden: int = 8192
    output: int = 8192
    redundancy: float = 5e-3
    scale: float = 1.0
