"""Heatmaps against networks that are worked out by hand, captum, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation, Occlusion
from torch import Tensor, nn
from torch.nn import functional as F

from karat.attribution import feature_maps, sample_maps
from karat.attribution.spatial import find_spatial_layer
from karat.encoders import Encoder
from karat.encoders.small_resnet import SmallResNet
from karat.errors import InputError
from tests.attribution.networks import IMAGES, Transformer, encoder, flattened, pooled, seeded, to_tensor, transformer

BATCH = torch.stack([to_tensor(image) for image in IMAGES])


def finished(maps: Tensor) -> np.ndarray:
    """Maps [n, h, w] as METHOD 7 ends: upsampled to 8 x 8, negative values removed before, divided by the maximum."""
    large = F.interpolate(maps.relu()[:, None], size=(8, 8), mode="bilinear", align_corners=False)[:, 0]
    return np.stack([(m / m.max() if m.max() > 0 else m).detach().numpy() for m in large])


def h_of(model: Encoder) -> np.ndarray:
    with torch.no_grad():
        return model.module(BATCH).numpy()


def test_the_map_of_a_hand_made_network_is_exact() -> None:
    convolution = nn.Conv2d(3, 2, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([[1.0, 0, 0], [0, -1, 0]])[:, :, None, None])
    model = encoder(nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 2)
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[0, 1, 2, 0], image[0, 3, 0, 0], image[0, 0, 0, 1] = 200, 50, 255
    expected = np.zeros((4, 4))
    expected[1, 2], expected[3, 0] = 1, 0.25
    for method in ("gradcam", "gradient"):
        maps = feature_maps(model, image, [0, 1, 3], method=method)
        np.testing.assert_allclose(maps[0, 0], expected, atol=1e-6)
        assert not maps[0, 1].any()  # h_1 is negative everywhere: nothing adds to it
        np.testing.assert_allclose(maps[0, 2], image[0, :, :, 1] / 255, atol=1e-6)  # the map of -h_1


@pytest.mark.parametrize("rectified", [True, False])
def test_gradcam_and_gradient_agree_where_h_is_the_mean_of_the_map(rectified: bool) -> None:
    model = pooled(rectified=rectified)
    features = list(range(24))
    channels = feature_maps(model, IMAGES, features, batch_size=4)
    assert channels[:, :12].any()
    np.testing.assert_allclose(channels, feature_maps(model, IMAGES, features, method="gradient"), atol=1e-5)


def test_gradcam_and_gradient_agree_on_a_residual_network() -> None:
    model = encoder(seeded(SmallResNet((4, 6), 1, 10)), 10)
    channels = feature_maps(model, IMAGES, list(range(20)))
    np.testing.assert_allclose(channels, feature_maps(model, IMAGES, list(range(20)), method="gradient"), atol=1e-5)
    with torch.no_grad():
        maps = model.module.features(BATCH)
    for j in range(10):
        np.testing.assert_allclose(channels[:, j], finished(maps[:, j]), atol=1e-5)


def test_gradcam_of_a_pooled_network_is_that_of_captum() -> None:
    model = pooled()
    for j in range(12):
        maps = LayerGradCam(model.module, model.module[3]).attribute(BATCH, target=j, relu_attributions=True)
        np.testing.assert_allclose(feature_maps(model, IMAGES, [j])[:, 0], finished(maps[:, 0]), atol=1e-5)


@pytest.mark.parametrize("mean", [False, True])
def test_the_map_of_a_transformer_is_gradient_times_patch_tokens(mean: bool) -> None:
    model = transformer(mean=mean)
    block = model.module.blocks[2 if mean else 1]  # behind the last block, the class token depends on no patch
    for j in range(6):
        products = LayerGradientXActivation(model.module, block).attribute(BATCH, target=j)
        places = products[:, 1:].sum(dim=2).reshape(-1, 4, 4)
        for feature, sign in ((j, 1), (6 + j, -1)):
            found = feature_maps(model, IMAGES, [feature], method="gradient")[:, 0]
            np.testing.assert_allclose(found, finished(sign * places), atol=1e-4)


def test_a_feature_of_a_flattened_map_is_one_place() -> None:
    model = flattened()
    h = h_of(model).reshape(len(IMAGES), 5, 4, 4)
    for channel, y, x in ((0, 0, 0), (3, 2, 1)):
        maps = feature_maps(model, IMAGES, [channel * 16 + y * 4 + x])[:, 0]
        place = np.zeros((len(IMAGES), 4, 4))
        place[:, y, x] = h[:, channel, y, x]
        np.testing.assert_allclose(maps, finished(torch.from_numpy(place).float()), atol=1e-5)


def test_features_of_each_image_go_through_one_backward_pass_unmixed() -> None:
    model = flattened()
    each = np.random.default_rng(0).integers(0, 160, (len(IMAGES), 3))
    together = feature_maps(model, IMAGES, each, method="gradient", batch_size=5)
    for row in range(len(IMAGES)):
        alone = feature_maps(model, IMAGES[row : row + 1], each[row], method="gradient")
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


def test_integrated_gradients_of_a_linear_encoder_are_weight_times_pixel() -> None:
    model = encoder(seeded(nn.Sequential(nn.Flatten(), nn.Linear(192, 5, bias=False))), 5)
    weight = model.module[1].weight.detach().reshape(5, 3, 8, 8)
    maps = feature_maps(model, IMAGES, [2, 5 + 2], method="integrated")
    np.testing.assert_allclose(maps[:, 0], finished((weight[2] * BATCH).sum(dim=1)), atol=1e-4)
    np.testing.assert_allclose(maps[:, 1], finished(-(weight[2] * BATCH).sum(dim=1)), atol=1e-4)


def test_occlusion_is_captums_of_each_feature_alone() -> None:
    model = encoder(seeded(nn.Sequential(nn.Flatten(), nn.Linear(192, 5))), 5)
    maps = feature_maps(model, IMAGES, [4, 1, 5 + 1], method="occlusion")
    for place, (j, sign) in enumerate(((4, 1), (1, 1), (1, -1))):
        drop = Occlusion(model.module).attribute(BATCH, (3, 1, 1), strides=(3, 1, 1), target=j)
        np.testing.assert_allclose(maps[:, place], finished(sign * drop[:, 0]), atol=1e-4)


def test_an_encoder_without_spatial_layer_is_offered_occlusion() -> None:
    model = encoder(seeded(nn.Sequential(nn.Flatten(), nn.Linear(192, 5))), 5, "flat")
    with pytest.raises(InputError, match=r"'flat' has no spatial layer.*occlusion"):
        feature_maps(model, IMAGES, [0])


class Detached(nn.Module):
    """An encoder that no gradient comes out of."""

    def forward(self, images: Tensor) -> Tensor:
        return images.detach().mean(dim=(2, 3))


@pytest.mark.parametrize("method", ["gradcam", "integrated"])
def test_an_encoder_without_gradient_is_offered_occlusion(method: str) -> None:
    model = encoder(Detached(), 3)
    with pytest.raises(InputError, match=r"no gradient.*occlusion"):
        feature_maps(model, IMAGES, [0], method=method)
    assert feature_maps(model, IMAGES, [0], method="occlusion").any()


def test_a_layer_can_be_chosen_by_name() -> None:
    model = pooled()
    assert find_spatial_layer(model, BATCH).name == "3"
    assert find_spatial_layer(model, BATCH, name="1").name == "1"
    assert not find_spatial_layer(model, BATCH, name="1").pooled
    chosen = feature_maps(model, IMAGES, [3], layer="1")
    products = LayerGradientXActivation(model.module, model.module[1]).attribute(BATCH, target=3)
    np.testing.assert_allclose(chosen[:, 0], finished(products.sum(dim=1)), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "why"), [("head", "is none of its modules"), ("5", "returns neither a map"), ("3", None)]
)
def test_a_layer_that_cannot_be_taken_is_refused(layer: str, why: str | None) -> None:
    if why is None:
        assert feature_maps(pooled(), IMAGES, [0], layer=layer).shape == (11, 1, 8, 8)
        return
    with pytest.raises(InputError, match=why):
        feature_maps(pooled(), IMAGES, [0], layer=layer)


def test_a_layer_that_h_does_not_depend_on_is_refused() -> None:
    with pytest.raises(InputError, match=r"h does not depend on the places of 'blocks.2'"):
        feature_maps(transformer(), IMAGES, [0], layer="blocks.2")


def test_layer_is_for_methods_that_have_one() -> None:
    with pytest.raises(InputError, match="layer='3' is for gradcam and gradient"):
        feature_maps(pooled(), IMAGES, [0], method="occlusion", layer="3")


@pytest.mark.parametrize("features", [[24], [-1], [], [0.5], [[0]] * 3])
def test_features_that_there_are_not_are_refused(features: list[int]) -> None:
    with pytest.raises(InputError, match="feature"):
        feature_maps(pooled(), IMAGES, features)


def test_upsampling_is_torchs_bilinear_without_aligned_corners() -> None:
    model = pooled()
    with torch.no_grad():
        small = model.module[:4](BATCH)[:, 5]
    np.testing.assert_allclose(feature_maps(model, IMAGES, [5])[:, 0], finished(small), atol=1e-6)


def test_maps_are_divided_by_their_maximum_and_zero_maps_stay_zero() -> None:
    maps = feature_maps(pooled(), IMAGES, list(range(24)), batch_size=3)
    assert maps.dtype == np.float32
    assert set(maps.max(axis=(2, 3)).reshape(-1).tolist()) == {0.0, 1.0}
    assert maps.min() == 0
    assert not maps[:, 12:].any()  # the negative halves of features that are never negative


def test_a_samples_map_is_the_mean_over_its_discriminative_features() -> None:
    model = pooled(40)
    h = h_of(model).astype(np.float64)
    reference = np.concatenate([h, h[:4] * 1.5])
    in_d = discriminative(reference)
    with torch.no_grad():
        channels = model.module[:4](BATCH)
    maps, counts = sample_maps(model, IMAGES, reference=reference, epsilon=2, batch_size=4), []
    for row in range(len(IMAGES)):
        above = h[row] > h[row].mean() + 2 * h[row].std()
        inside = np.flatnonzero(above & in_d)
        counts.append(len(inside))
        mean = channels[row, inside].mean(dim=0) if len(inside) else torch.zeros(4, 4)
        np.testing.assert_allclose(maps[row], finished(mean[None])[0], atol=1e-5)
    assert min(counts) == 0 and max(counts) > 1


def discriminative(h: np.ndarray) -> np.ndarray:
    """METHOD 2 at epsilon = 2, slowly."""
    share = np.array([sum(row[j] > row.mean() + 2 * row.std() for row in h) for j in range(h.shape[1])]) / len(h)
    low, high = np.percentile(share[share > 0], [50, 95])
    return (share > 0) & (share >= low - 1e-12) & (share <= high + 1e-12)


def test_a_group_of_features_has_the_mean_of_their_maps() -> None:
    model = pooled()
    with torch.no_grad():
        channels = model.module[:4](BATCH)
    maps = sample_maps(model, IMAGES, features=[2, 3, 7])
    np.testing.assert_allclose(maps, finished(channels[:, [2, 3, 7]].mean(dim=1)), atol=1e-5)


def test_each_image_may_have_its_own_features_and_none() -> None:
    model = pooled()
    lists = [[row % 12] if row % 2 else [] for row in range(len(IMAGES))]
    maps = sample_maps(model, IMAGES, features=lists, method="gradient")
    for row, features in enumerate(lists):
        expected = feature_maps(model, IMAGES[row : row + 1], features)[0, 0] if features else np.zeros((8, 8))
        np.testing.assert_allclose(maps[row], expected, atol=1e-5)


def test_reference_and_features_exclude_each_other() -> None:
    for given in ({}, {"reference": h_of(pooled()), "features": [0]}):
        with pytest.raises(InputError, match="give one of them"):
            sample_maps(pooled(), IMAGES, **given)


def test_the_encoder_is_left_as_it_was() -> None:
    model = encoder(seeded(Transformer()), 6)
    model.module.train()
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    feature_maps(model, IMAGES, [0])
    assert model.module.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.module.parameters())
    assert not any(part._forward_hooks for part in model.module.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.module.state_dict().items())


def test_an_activation_in_place_behind_the_layer_changes_nothing() -> None:
    layers = [nn.Conv2d(3, 6, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = encoder(seeded(nn.Sequential(*layers)), 6)
    for layer in ("0", "1"):
        np.testing.assert_allclose(
            feature_maps(model, IMAGES, [0, 1, 2], layer=layer, method="gradient"),
            feature_maps(model, IMAGES, [0, 1, 2]),
            atol=1e-5,
        )
