"""The last spatial layer of an encoder: the last place where its features still have a place in the image."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..encoders import Encoder
from ..errors import InputError

Form = Literal["channels first", "channels last", "tokens"]
# Images that a layer is looked for with; tokens before the patches, at most (class token, distillation, registers).
_PROBED, _MOST_PREFIX = 2, 16
_BLOCK_LISTS = (nn.Sequential, nn.ModuleList)


@dataclass(frozen=True)
class SpatialLayer:
    """A module whose output has a place in the image.

    Attributes:
        name: of the module, as `named_modules` calls it.
        form: how its output lies: [n, c, h, w], [n, h, w, c] or [n, prefix + h * w, c].
        height, width: of its map.
        prefix: tokens before the patches.
        pooled: h is the mean of the map over space, one channel a feature.
    """

    name: str
    form: Form
    height: int
    width: int
    prefix: int = 0
    pooled: bool = False

    def channels(self, values: Tensor) -> Tensor:
        """The output as a map, [n, c, height, width]."""
        if self.form == "channels first":
            return values
        if self.form == "channels last":
            return values.movedim(-1, 1)
        patches = values[:, self.prefix :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], self.height, self.width)

    def products(self, gradients: Tensor, values: Tensor) -> Tensor:
        """Gradients times values, summed over the channels: [k, n, ...] and [n, ...] -> [k, n, height, width]."""
        if self.form == "channels first":
            return torch.einsum("knchw,nchw->knhw", gradients, values)
        if self.form == "channels last":
            return torch.einsum("knhwc,nhwc->knhw", gradients, values)
        summed = torch.einsum("kntc,ntc->knt", gradients[:, :, self.prefix :], values[:, self.prefix :])
        return summed.reshape(*summed.shape[:2], self.height, self.width)


def find_spatial_layer(encoder: Encoder, images: Tensor, *, name: str | None = None) -> SpatialLayer:
    """The last module whose output is a map, or patch tokens of a transformer's block, on which h depends.

    A map is an output of four dimensions and more than one place; of what happens inside a block of tokens (attention
    over heads, for example) nothing counts. A block is a member of an nn.Sequential or nn.ModuleList that returns
    tokens [n, t, c]; its patches are the last t - prefix tokens, as many as the map before them had places, or else the
    largest square. Whether h depends on an output is seen by a gradient: a class token, for example, does not depend on
    the patch tokens that the last block returns, but on those of the block before.

    Args:
        encoder: in evaluation mode.
        images: a transformed batch, on the encoder's device; two of them are looked at.
        name: take this module, as `named_modules` calls it.

    Raises:
        InputError: there is no such module or layer; the message offers occlusion, which needs none.
    """
    module, given = encoder.module, images[:_PROBED].detach()
    with frozen(module), torch.enable_grad(), _recorded(module) as outputs:
        given = given.clone().requires_grad_()
        h = module(given)
    layers = _layers(module, outputs, len(given))
    if name is not None:
        layers = {name: _named(encoder, name, layers)}
    if not h.requires_grad:
        raise _none(encoder, "no gradient comes out of it")
    used = _used(h, {key: outputs[key] for key in layers}, layers)
    if used is None:
        raise _none(encoder, f"h does not depend on the places of {name!r}" if name else "no module returns a map")
    layer = layers[used]
    return SpatialLayer(
        layer.name, layer.form, layer.height, layer.width, layer.prefix, _pooled(layer, outputs[used], h)
    )


@contextmanager
def cut(module: nn.Module, layer: SpatialLayer) -> Iterator[list[Tensor]]:
    """Forward passes inside record what the layer returns, the last call last; gradients go back to it and no further.

    Up to the layer nothing is kept for a backward pass.
    """
    leaves: list[Tensor] = []

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        leaf = _tensor_of(output).detach().requires_grad_()
        leaves.append(leaf)
        copy = leaf.clone()  # what follows may change it in place
        return (copy, *output[1:]) if isinstance(output, tuple) else copy

    handle = module.get_submodule(layer.name).register_forward_hook(hook)
    try:
        with frozen(module), torch.enable_grad():
            yield leaves
    finally:
        handle.remove()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient inside; afterwards those do that did before."""
    asking = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in asking:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


@contextmanager
def _recorded(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Forward passes inside record the last output of every module, in the order in which they return."""
    outputs: dict[str, Tensor] = {}

    def recorder(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            outputs.pop(name, None)
            if isinstance(value := _tensor_of(output), Tensor):
                outputs[name] = value

        return hook

    with ExitStack() as stack:
        for name, part in module.named_modules():
            if name:
                stack.callback(part.register_forward_hook(recorder(name)).remove)
        yield outputs


def _tensor_of(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) and output else output


def _layers(module: nn.Module, outputs: dict[str, Tensor], n: int) -> dict[str, SpatialLayer]:
    """Every module whose output has a place in the image, in the order in which they return."""
    blocks = _token_blocks(module, outputs, n)
    layers: dict[str, SpatialLayer] = {}
    grid = (0, 0)
    for name, value in outputs.items():
        if len(value) != n or any(name.startswith(f"{block}.") for block in blocks):
            continue
        layer = _map_layer(name, value) if value.ndim == 4 else None
        if layer is not None:
            grid = (layer.height, layer.width)
        elif name in blocks:
            layer = _token_layer(name, value, grid)
        if layer is not None and layer.height * layer.width > 1:
            layers[name] = layer
    return layers


def _token_blocks(module: nn.Module, outputs: dict[str, Tensor], n: int) -> list[str]:
    """Members of a Sequential or ModuleList that return tokens; those inside others are left out."""
    blocks: list[str] = []
    for name in sorted(outputs, key=lambda name: name.count(".")):
        listed = isinstance(module.get_submodule(name.rpartition(".")[0]), _BLOCK_LISTS)
        tokens = outputs[name].ndim == 3 and len(outputs[name]) == n
        if listed and tokens and not any(name.startswith(f"{block}.") for block in blocks):
            blocks.append(name)
    return blocks


def _map_layer(name: str, value: Tensor) -> SpatialLayer:
    _, a, b, c = value.shape
    if a == b != c:
        return SpatialLayer(name, "channels last", a, b)
    return SpatialLayer(name, "channels first", b, c)


def _token_layer(name: str, value: Tensor, grid: tuple[int, int]) -> SpatialLayer | None:
    tokens = value.shape[1]
    side = math.isqrt(tokens)
    for height, width in (grid, (side, side)):
        prefix = tokens - height * width
        if height * width > 0 and 0 <= prefix <= _MOST_PREFIX:
            return SpatialLayer(name, "tokens", height, width, prefix)
    return None


def _used(h: Tensor, outputs: dict[str, Tensor], layers: dict[str, SpatialLayer]) -> str | None:
    """The last layer at whose places h has a gradient that is not zero."""
    names = [name for name, value in outputs.items() if value.requires_grad]
    if not names:
        return None
    weights = torch.randn(h.shape, generator=torch.Generator().manual_seed(0)).to(h)  # a plain sum may be constant
    gradients = torch.autograd.grad((h * weights).sum(), [outputs[name] for name in names], allow_unused=True)
    for name, gradient in reversed(list(zip(names, gradients, strict=True))):
        if gradient is not None and bool(layers[name].channels(gradient).any()):
            return name
    return None


def _pooled(layer: SpatialLayer, values: Tensor, h: Tensor) -> bool:
    """Whether h is the mean of the map over space."""
    mean, h = layer.channels(values).detach().mean(dim=(2, 3)), h.detach()
    largest = float(h.abs().max())
    return mean.shape == h.shape and largest > 0 and torch.allclose(mean, h, rtol=1e-4, atol=1e-5 * largest)


def _named(encoder: Encoder, name: str, layers: dict[str, SpatialLayer]) -> SpatialLayer:
    if name in layers:
        return layers[name]
    if name in dict(encoder.module.named_modules()):
        problem = "returns neither a map [n, c, h, w] nor the patch tokens of a block"
    else:
        problem = "is none of its modules"
    near = difflib.get_close_matches(name, layers, n=3, cutoff=0) if layers else []
    raise InputError(
        f"layer={name!r} {problem} (encoder {encoder.name!r}): "
        + (f"{', '.join(near)} would do" if near else "use method='occlusion', which needs no layer")
    )


def _none(encoder: Encoder, why: str) -> InputError:
    return InputError(
        f"encoder {encoder.name!r} has no spatial layer that a heatmap could be taken from ({why}): "
        "use method='occlusion', which needs none, or name a layer (layer=)"
    )
