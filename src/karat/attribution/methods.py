"""Methods: from a batch of images and some features to one map a feature."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from .._optional import require
from ..encoders import Encoder
from ..errors import InputError
from .spatial import SpatialLayer, cut, find_spatial_layer, frozen

Name = Literal["gradcam", "gradient", "integrated", "occlusion"]
# (transformed images [n, 3, H, W], features int64 [n, k]; -1: none) -> float32 [n, k, h, w], at least 0.
Method = Callable[[Tensor, Tensor], Tensor]

# Steps of the path of integrated gradients, and images that are on it at once.
_STEPS, _ON_PATH = 32, 64
# Occlusion: the grey square's side is this part of the image's, and it moves by half of that.
_WINDOWS = 7
# Numbers that the gradients, or maps, of one call may hold.
_MOST_NUMBERS = 1 << 26


def method_named(name: Name, encoder: Encoder, images: Tensor, layer: str | None) -> tuple[Method, SpatialLayer | None]:
    """The method of that name for an encoder, and the layer that it looks at.

    Args:
        name: "gradcam" takes the map's channels where h is their mean, and is "gradient" elsewhere.
        encoder: in evaluation mode.
        images: a transformed batch, from which the layer is found.
        layer: the name of a layer; None: the last spatial one.

    Raises:
        InputError: an unknown name, or an encoder that the method cannot be used on.
    """
    if name in ("gradcam", "gradient"):
        found = find_spatial_layer(encoder, images, name=layer)
        kind = ChannelMaps if name == "gradcam" and found.pooled else GradientMaps
        return kind(encoder, found), found
    if layer is not None:
        raise InputError(f"layer={layer!r} is for gradcam and gradient, but method={name!r} looks at the whole encoder")
    return (IntegratedMaps if name == "integrated" else OcclusionMaps)(encoder), None


class ChannelMaps:
    """ReLU of the feature's channel of a map whose mean h is: exact, all features of a batch in one forward pass."""

    def __init__(self, encoder: Encoder, layer: SpatialLayer) -> None:
        self._module, self._layer = encoder.module, layer

    def __call__(self, images: Tensor, wanted: Tensor) -> Tensor:
        with cut(self._module, self._layer) as outputs, torch.no_grad():
            h = self._module(images)
        channels = self._layer.channels(outputs[-1].detach())  # [n, d, h, w]
        column, sign = _columns(wanted, h.shape[1])
        index = column[:, :, None, None].expand(-1, -1, *channels.shape[2:])
        return (channels.gather(1, index) * sign[:, :, None, None]).relu().float()


class GradientMaps:
    """ReLU of gradient times value, summed over channels, at every place of the last spatial layer.

    map_j(y, x) = ReLU(sum_c dh_j/dA_c(y, x) * A_c(y, x)): Grad-CAM's map wherever the gradient is the same at all
    places, as behind average pooling; elsewhere it keeps the places that Grad-CAM's mean over them mixes (of a
    flattened map, for example, a feature is one place). Draelos & Carin 2020 call it HiResCAM.

    Images do not see each other in evaluation mode: the k-th feature of every image is one row of one backward pass,
    and all k rows run in one vectorised pass.
    """

    def __init__(self, encoder: Encoder, layer: SpatialLayer) -> None:
        self._module, self._layer = encoder.module, layer

    def __call__(self, images: Tensor, wanted: Tensor) -> Tensor:
        with cut(self._module, self._layer) as outputs:
            h = self._module(images)  # [n, d]
            column, sign = _columns(wanted, h.shape[1])
            step = max(1, _MOST_NUMBERS // outputs[-1].numel())
            maps = [
                self._maps(h, outputs[-1], column[:, start : start + step], sign[:, start : start + step])
                for start in range(0, wanted.shape[1], step)
            ]
        return torch.cat(maps, dim=1)

    def _maps(self, h: Tensor, values: Tensor, column: Tensor, sign: Tensor) -> Tensor:
        n, k = column.shape
        rows = torch.zeros(k, *h.shape, dtype=h.dtype, device=h.device)
        rows[torch.arange(k)[:, None], torch.arange(n)[None], column.T.cpu()] = sign.T.to(h)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on operations that are repeated, not vectorised: slower, the same numbers
            (gradients,) = torch.autograd.grad(h, values, rows, retain_graph=True, is_grads_batched=True)
        products = self._layer.products(gradients, values.detach())  # [k, n, h, w]
        return products.relu().transpose(0, 1).float()


class IntegratedMaps:
    """Integrated gradients of h_j from a mean-coloured image, summed over colours: ReLU, at every pixel (captum).

    Reference: Sundararajan et al., ICML 2017, equation 1, with 32 steps of Gauss-Legendre.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._captum = require("captum.attr", "method='integrated'")

    def __call__(self, images: Tensor, wanted: Tensor) -> Tensor:
        module, given = self._encoder.module, images.detach()
        with frozen(module), torch.enable_grad():
            h = module(given[:1].clone().requires_grad_())
            if not h.requires_grad:
                raise InputError(
                    f"encoder {self._encoder.name!r} gives no gradient, which method='integrated' needs: "
                    "use method='occlusion'"
                )
            column, sign = _columns(wanted, h.shape[1])
            integrated = self._captum.IntegratedGradients(module)
            maps = [
                integrated.attribute(
                    given, target=column[:, k], n_steps=_STEPS, internal_batch_size=max(_ON_PATH, len(given))
                ).sum(dim=1)
                for k in range(wanted.shape[1])
            ]
        return (torch.stack(maps, dim=1).detach() * sign[:, :, None, None]).relu().float()


class OcclusionMaps:
    """How far h_j falls when a square of the image is set to the mean colour: ReLU, at every pixel (captum).

    Of an encoder nothing but its output is used. Where squares overlap, their mean is taken.

    Reference: Zeiler & Fergus, ECCV 2014.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._module = encoder.module
        self._captum = require("captum.attr", "method='occlusion'")

    def __call__(self, images: Tensor, wanted: Tensor) -> Tensor:
        step = max(1, _MOST_NUMBERS // images.numel() // 2)
        parts = [self._maps(images, wanted[:, start : start + step]) for start in range(0, wanted.shape[1], step)]
        return torch.cat(parts, dim=1)

    def _maps(self, images: Tensor, wanted: Tensor) -> Tensor:
        def chosen(given: Tensor) -> Tensor:
            h = self._module(given)
            column, sign = _columns(wanted, h.shape[1])
            return (h.gather(1, column) * sign).reshape(-1)  # [n * k]: captum keeps a map for each

        colours, *sides = images.shape[1:]
        window = tuple(max(1, side // _WINDOWS) for side in sides)
        strides = (colours, *(max(1, side // 2) for side in window))
        with torch.no_grad():
            drop: Any = self._captum.Occlusion(chosen).attribute(images, (colours, *window), strides=strides)
        maps: Tensor = drop[:, 0].reshape(*wanted.shape, *sides)  # alike in all colours
        return maps.relu().float()


def _columns(wanted: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """The column of h of each feature, and its sign: -1 for the negative half, d + j; 0 where there is none."""
    sign = torch.where(wanted < d, 1.0, -1.0)
    return wanted.clamp(min=0) % d, torch.where(wanted < 0, 0.0, sign)
