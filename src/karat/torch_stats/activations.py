"""Highly activating features of a tensor: the twin of `karat.stats.activations` for what fits a device's memory."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError, InputTypeError
from ..stats.activations import check_epsilon, reachable, refuse_bad


def features_of(h: Tensor, *, means: Tensor | None = None, normalize: bool = False) -> Tensor:
    """The features that are scored: h itself, or what METHOD's options make of it. Differentiable.

    Args:
        h: [n, d], of any float type; half precision becomes float32.
        means: [d], split the columns around these into positive and negative halves: [n, 2d].
        normalize: L2-normalise the rows first (all-zero rows stay zero).

    Returns:
        [n, d] or [n, 2d], float32 or float64.
    """
    features = h if h.dtype in (torch.float32, torch.float64) else h.float()
    if normalize:
        norm = features.norm(dim=1, keepdim=True)
        features = features / torch.where(norm > 0, norm, 1)
    if means is not None:
        centred = features - means.to(features)
        features = torch.cat([centred.clamp(min=0), (-centred).clamp(min=0)], dim=1)  # [n, d] -> [n, 2d]
    return features


def row_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (ddof = 0) of each row, float64 [n], taken from the row's first entry on.

    So a large offset costs no digits and a row of equal entries has a deviation of exactly 0.
    """
    start, deviation, scale = _deviations(features)
    mean = deviation.mean(dim=1)
    std = (deviation - mean[:, None]).square().mean(dim=1).sqrt()
    return start + mean * scale, std * scale


def highly_activating(features: Tensor, *, epsilon: float = 4.0) -> Tensor:
    """L_i = { j : h_ij > mu_i + epsilon * sigma_i } as a mask, bool of the shape of `features`; decided in float64.

    No gradient flows through the decision. `karat.stats.highly_activating` has the same entries as sparse rows.

    Args:
        features: [n, d], finite.
        epsilon: threshold in standard deviations, at least 0.

    Raises:
        InputError: a negative epsilon.

    Reference: Kalibhat et al., AAAI 2024, section "Highly activating features".
    """
    epsilon = check_epsilon(epsilon)
    if not reachable(features.shape[1], epsilon):
        return torch.zeros_like(features, dtype=torch.bool)  # else rounding could select the largest deviation
    _, deviation, _ = _deviations(features.detach())
    mean = deviation.mean(dim=1, keepdim=True)
    std = (deviation - mean).square().mean(dim=1, keepdim=True).sqrt()
    return deviation > mean + epsilon * std


def checked(h: Tensor, name: str = "h") -> Tensor:
    """A matrix [n, d] of finite real numbers, n >= 1 and d >= 1; integers become float64.

    Raises:
        InputTypeError: no tensor, or no real numbers.
        InputError: another shape, NaN or infinity.
    """
    if not isinstance(h, Tensor) or h.is_complex():
        given = h.dtype if isinstance(h, Tensor) else type(h).__name__
        raise InputTypeError(f"{name} is a {given}, but a torch tensor of real numbers is needed")
    if h.ndim != 2 or 0 in h.shape:
        raise InputError(f"{name} has shape {list(h.shape)}, but a matrix [n samples, d features] is needed")
    bad = ~torch.isfinite(h).all(dim=1)
    refuse_bad(bad.cpu().numpy(), name=name)
    return h if h.is_floating_point() else h.double()


def _deviations(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First entry of each row, (row - first entry) / scale, and the scale: a power of two, so that squares are finite.

    float64: [n], [n, d], [n].
    """
    wide = features.double()
    start = wide[:, 0]
    deviation = wide - start[:, None]
    exponent = torch.frexp(deviation.abs().amax(dim=1)).exponent
    scale = torch.ldexp(torch.ones_like(start), exponent)
    return start, deviation / scale[:, None], scale
