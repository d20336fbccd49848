"""Q-Score of a tensor, on its device."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..stats.discriminative import Over
from ..stats.halves import Halves
from ..stats.qscore import check_features
from ..stats.reference import warn_if_all_zero
from .activations import checked, features_of, highly_activating
from .reference import blocks_of, fit_reference


def q_of(features: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Q_i = (1 / |L_i ∩ D|) * sum over L_i ∩ D of (h_ij - mu_i), and |L_i ∩ D|. Differentiable in the features.

    The selection is a constant; the gradient flows through h_ij - mu_i only.

    Args:
        features: [n, d], float32 or float64.
        inside: L_i ∩ D as a mask, bool [n, d].

    Returns:
        Q [n], 0 where the mask is empty; the number of features it was taken over, int64 [n].
    """
    deviation = features - features[:, :1].detach()  # which cancels, but for the digits that an offset would cost
    above = deviation - deviation.mean(dim=1, keepdim=True)  # [n, d]
    number = inside.sum(dim=1)
    return torch.where(inside, above, 0).sum(dim=1) / number.clamp(min=1), number


def q_score(
    h: Tensor,
    *,
    reference: Tensor | None = None,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
) -> Tensor:
    """Q-Score of each row, computed where the tensor lies: the twin of `karat.stats.q_score`, equal to 1e-6.

    Args:
        h: [n, d].
        reference: [m, d], the set that D is fitted on; None: h itself.
        epsilon, lower, upper, over, normalize, halves, seed: see `karat.stats.fit_reference`.

    Returns:
        float64 [n] on the device of h, at least 0; higher = better represented.

    Raises:
        InputError: wrong shapes, NaN or infinity, another d than the reference's.
        InputTypeError: no tensor.

    >>> h = torch.zeros(2, 20); h[0, 3] = h[1, 5] = 2
    >>> q_score(h).tolist()
    [1.9, 1.9]

    Reference: Kalibhat et al., AAAI 2024, definition of Q-Score.
    """
    rows = checked(h)
    fitted = fit_reference(
        rows if reference is None else checked(reference, "reference"),
        epsilon=epsilon,
        lower=lower,
        upper=upper,
        over=over,
        normalize=normalize,
        halves=halves,
        seed=seed,
    )
    check_features(rows.shape[1], fitted)
    warn_if_all_zero(fitted)
    means = None if fitted.means is None else torch.from_numpy(fitted.means).to(rows.device)
    discriminative = torch.from_numpy(fitted.discriminative).to(rows.device)
    parts = []
    for block in blocks_of(rows):
        features = features_of(block.double(), means=means, normalize=normalize)
        inside = highly_activating(features, epsilon=fitted.epsilon) & discriminative
        parts.append(q_of(features, inside)[0])
    return torch.cat(parts)
