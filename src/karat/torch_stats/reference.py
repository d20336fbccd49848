"""Fit the discriminative features on a tensor: counts on its device, the choice of D on the CPU, by `karat.stats`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from .._array import as_rows
from ..stats.discriminative import Over, check_band, discriminative_features
from ..stats.epsilon import choose_epsilon, warn_if_unreachable
from ..stats.halves import Halves, checked_halves, is_signed
from ..stats.reference import Counts, Reference
from .activations import checked, features_of, highly_activating

# Rows of which float64 copies are held at a time: so many entries.
_BLOCK_ENTRIES = 1 << 24


def blocks_of(h: Tensor) -> Iterator[Tensor]:
    """The rows in order, in blocks whose copies fit beside them."""
    yield from torch.split(h, max(1, _BLOCK_ENTRIES // h.shape[1]))


def count_activations(
    h: Tensor, *, epsilon: float = 4.0, means: Tensor | None = None, normalize: bool = False
) -> Counts:
    """How many rows activate each feature highly; counts of disjoint rows add up.

    Args:
        h: [n, d], finite.
        epsilon: threshold in standard deviations.
        means: [d], split the features in halves around these.
        normalize: L2-normalise the rows first.
    """
    d = h.shape[1] * (1 if means is None else 2)
    total = torch.zeros(d, dtype=torch.int64, device=h.device)
    for block in blocks_of(h):
        features = features_of(block.double(), means=means, normalize=normalize)
        total += highly_activating(features, epsilon=epsilon).sum(dim=0)
    return Counts(len(h), total.cpu().numpy(), int((h == 0).sum()), int((h < 0).sum()))


def fit_reference(
    h: Tensor,
    *,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
) -> Reference:
    """The twin of `karat.stats.fit_reference`; the result scores arrays and tensors alike.

    Raises:
        InputError: a parameter out of range, a wrong shape, NaN or infinity.
    """
    rows = checked(h).detach()
    n, d = rows.shape
    check_band(lower, upper, over)
    halves = checked_halves(halves)
    if chosen := epsilon == "auto":
        epsilon = choose_epsilon(
            as_rows(rows), lower=lower, upper=upper, over=over, normalize=normalize, halves=halves, seed=seed
        )
    split = is_signed(int((rows < 0).sum()), n, d) if halves == "auto" else halves
    means = _column_means(rows, normalize=normalize) if split else None
    counts = count_activations(rows, epsilon=float(epsilon), means=means, normalize=normalize)
    warn_if_unreachable(len(counts.activations), float(epsilon), chosen=chosen)
    mask = discriminative_features(counts.activations, lower=lower, upper=upper, over=over)
    stored = None if means is None else means.cpu().numpy()
    return Reference(counts, d, mask, stored, float(epsilon), lower, upper, over, normalize, "", chosen)


def _column_means(h: Tensor, *, normalize: bool) -> Tensor:
    """Means of the columns, float64 [d], summed from the first row on."""
    first = features_of(h[:1].double(), normalize=normalize)[0]
    total = torch.zeros_like(first)
    for block in blocks_of(h):
        total += (features_of(block.double(), normalize=normalize) - first).sum(dim=0)
    return first + total / len(h)
