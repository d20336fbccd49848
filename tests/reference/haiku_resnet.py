"""BYOL's network in float64, from deepmind-research/byol/utils/networks.py and haiku/_src/nets/resnet.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def same_pad(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """TensorFlow's "SAME": ceil(side / stride) outputs; an odd pixel goes to the bottom and the right."""
    side = x.shape[-1]
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    low = total // 2
    return functional.pad(x, (low, total - low, low, total - low), value=value)


def haiku_resnet_forward(params: Mapping[str, Any], state: Mapping[str, Any], images: np.ndarray) -> np.ndarray:
    """ResNetTorso.__call__ and BlockV1.__call__ at is_training=False; images [n, h, w, 3] -> h [n, d].

    Args:
        params, state: module -> name -> array, under Haiku's names.
    """

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        w = torch.from_numpy(params[name]["w"]).double()
        return functional.conv2d(same_pad(x, w.shape[0], stride), w.permute(3, 2, 0, 1), stride=stride)

    def norm(x: Tensor, name: str) -> Tensor:
        values = [params[name]["scale"], params[name]["offset"]]
        values += [state[f"{name}/~/{kind}_ema"]["average"] for kind in ("mean", "var")]
        scale, offset, mean, var = (torch.from_numpy(value).double().permute(0, 3, 1, 2) for value in values)
        return (x - mean) * scale * torch.rsqrt(var + 1e-5) + offset

    root = "res_net50/~/"
    out = conv(torch.from_numpy(images).double().permute(0, 3, 1, 2), f"{root}initial_conv", 2)
    out = torch.relu(norm(out, f"{root}initial_batchnorm"))
    out = functional.max_pool2d(same_pad(out, 3, 2, -np.inf), 3, 2)
    for group in range(4):
        block = 0
        while f"{root}block_group_{group}/~/block_{block}/~/conv_0" in params:
            name = f"{root}block_group_{group}/~/block_{block}/~/"
            stride = 2 if group and not block else 1
            numbers = [number for number in range(3) if f"{name}conv_{number}" in params]
            shortcut = out
            if f"{name}shortcut_conv" in params:
                shortcut = norm(conv(out, f"{name}shortcut_conv", stride), f"{name}shortcut_batchnorm")
            for number in numbers:
                strided = number == (1 if len(numbers) == 3 else 0)
                out = norm(conv(out, f"{name}conv_{number}", stride if strided else 1), f"{name}batchnorm_{number}")
                out = torch.relu(out) if number < numbers[-1] else out
            out = torch.relu(out + shortcut)
            block += 1
    return out.mean(dim=(2, 3)).numpy()
