"""The controls: a centre prior of equal area, random maps, an encoder with random weights, other features."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from karat.attribution.controls import centre_prior, random_maps, reinitialised
from karat.attribution.feature_groups import feature_groups
from karat.encoders import Encoder, Preprocessing
from karat.errors import InputError
from karat.stats import fit_reference

TRANSFORM = Preprocessing(8, (0, 0, 0), (1, 1, 1))


@settings(max_examples=40)
@given(st.integers(2, 40), st.integers(2, 40), st.floats(0.001, 1))
def test_the_area_of_the_centre_prior_at_one_half_is_that_asked_for(height: int, width: int, area: float) -> None:
    prior = centre_prior((height, width), area)
    distance = (np.arange(height)[:, None] - (height - 1) / 2) ** 2 + (np.arange(width) - (width - 1) / 2) ** 2
    possible = [(distance <= level).mean() for level in np.unique(distance)]  # whole rings of equal distance
    assert abs((prior >= 0.5).mean() - area) == pytest.approx(min(abs(share - area) for share in possible))
    assert prior.max() == 1 and prior.min() >= 0 and prior.dtype == np.float32


def test_the_centre_prior_is_a_gaussian() -> None:
    prior = centre_prior((101, 101), 0.2)
    radius = math.sqrt(0.2 * 101 * 101 / math.pi)
    sigma = radius / math.sqrt(2 * math.log(2))
    y, x = np.mgrid[-50:51, -50:51]
    np.testing.assert_allclose(prior, np.exp(-(y**2 + x**2) / (2 * sigma**2)), atol=0.01)


@pytest.mark.parametrize("area", [0, -0.1, 1.01, math.nan])
def test_an_area_out_of_range_is_refused(area: float) -> None:
    with pytest.raises(InputError, match="area is"):
        centre_prior((4, 4), area)


def test_random_maps_are_maps_and_a_grid_makes_them_coarse() -> None:
    maps = random_maps(5, (28, 28), grid=7, seed=1)
    assert maps.shape == (5, 28, 28) and maps.dtype == np.float32
    assert (maps.max(axis=(1, 2)) == 1).all() and maps.min() >= 0
    np.testing.assert_array_equal(maps, random_maps(5, (28, 28), grid=7, seed=1))
    assert not np.array_equal(maps, random_maps(5, (28, 28), grid=7, seed=2))
    coarse, fine = (np.abs(np.diff(random_maps(20, (28, 28), grid=grid), axis=2)).mean() for grid in (4, 28))
    assert coarse < fine / 2
    with pytest.raises(InputError, match="grid is 0"):
        random_maps(1, (4, 4), grid=0)


class Tokens(nn.Module):
    """A layer with weights of its own and no reset_parameters, as a vision transformer has."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.arange(6.0).reshape(2, 3))
        self.attention = nn.MultiheadAttention(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def trained(module: nn.Module, dim: int = 4) -> Encoder:
    """An encoder with weights and running means that no initialisation gives."""
    with torch.no_grad():
        for number, tensor in enumerate((*module.parameters(), *module.buffers())):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(number)) + 0.5)
    return Encoder(module, dim=dim, transform=TRANSFORM, name="trained", weights_sha256="0" * 64)


def small_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.BatchNorm2d(4, affine=False),
        nn.LayerNorm([4, 6, 6]),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 4),
        Tokens(),
    )


def test_every_layer_with_weights_is_drawn_again_and_the_encoder_is_left_alone() -> None:
    encoder = trained(small_network())
    before = {name: tensor.clone() for name, tensor in encoder.module.state_dict().items()}
    state = torch.random.get_rng_state()
    control = reinitialised(encoder, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, tensor in encoder.module.state_dict().items():
        assert torch.equal(tensor, before[name])
        changed = not torch.equal(control.module.state_dict()[name], tensor)
        assert changed or name.endswith("num_batches_tracked"), name
    assert not control.module.training
    assert (control.weights_sha256, control.dim) == (None, 4)
    assert "random weights (seed 3)" in control.name


def test_weights_without_an_initialisation_of_their_own_are_shuffled() -> None:
    encoder = trained(small_network())
    old, new = (e.module.state_dict()["7.positions"].flatten() for e in (encoder, reinitialised(encoder)))
    assert sorted(old.tolist()) == sorted(new.tolist())


def test_the_seed_decides_the_weights() -> None:
    encoder = trained(small_network())
    weights = [reinitialised(encoder, seed=seed).module[0].weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_an_encoder_without_weights_is_refused() -> None:
    with pytest.raises(InputError, match="no weights that could be drawn again"):
        reinitialised(Encoder(nn.Flatten(), dim=192, transform=TRANSFORM, name="pixels"))


def test_a_layer_that_keeps_its_weights_is_refused_by_name() -> None:
    class Stubborn(nn.Linear):
        def reset_parameters(self) -> None:
            pass

    module = nn.Sequential(nn.Linear(2, 2), Stubborn(2, 2))
    with torch.no_grad():
        module[1].weight.copy_(torch.arange(4.0).reshape(2, 2))
        module[1].bias.copy_(torch.arange(2.0))
    with pytest.raises(InputError, match="the layers 1 kept their weights"):
        reinitialised(Encoder(module, dim=2, transform=TRANSFORM, name="stubborn"))


@pytest.mark.parametrize("signed", [False, True])
def test_the_groups_of_features_are_d_the_others_and_as_many_random_ones(signed: bool) -> None:
    rng = np.random.default_rng(0)
    h = rng.exponential(size=(60, 40)) ** 2 - (1 if signed else 0)
    reference = fit_reference(h, epsilon=1.5)
    groups = feature_groups(h, reference, seed=1)
    centred = h - h.mean(axis=0)
    halves = np.hstack([centred, -centred]).clip(min=0) if signed else h
    for i, row in enumerate(halves):
        active = np.flatnonzero(row > row.mean() + 1.5 * row.std())
        inside = reference.discriminative[active]
        assert groups["D"][i].tolist() == active[inside].tolist()
        assert groups["not D"][i].tolist() == active[~inside].tolist()
        drawn = groups["random features"][i]
        assert len(drawn) == len(set(drawn.tolist())) == inside.sum()
        assert (row[drawn] > 0).all()
    assert any(len(features) for features in groups["D"])
    assert any(not reference.discriminative[features].all() for features in groups["random features"])
