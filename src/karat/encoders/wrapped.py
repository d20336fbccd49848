"""Models of other libraries as torch modules from images to h."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class TransformersFeatures(nn.Module):
    """A vision model of transformers: images [n, 3, s, s] -> h [n, d].

    Args:
        model: the model without its heads.
        pooled: h is its pooler's output; else the class token of its last hidden state.
    """

    def __init__(self, model: nn.Module, *, pooled: bool) -> None:
        super().__init__()
        self.model, self.pooled = model, pooled

    def forward(self, images: Tensor) -> Tensor:
        output = self.model(pixel_values=images)
        h: Tensor = output.pooler_output if self.pooled else output.last_hidden_state[:, 0]
        return h.flatten(1)


class OnnxFeatures(nn.Module):
    """A graph that onnxruntime runs: images [n, 3, s, s] -> h [n, d], in float32 on the CPU, wherever the images are.

    Args:
        session: an onnxruntime.InferenceSession.
        source, target: the names of its input and output.
        batch: how many images it takes at once; None: any number.
    """

    def __init__(self, session: Any, *, source: str, target: str, batch: int | None) -> None:
        super().__init__()
        self.session, self.source, self.target, self.batch = session, source, target, batch

    def forward(self, images: Tensor) -> Tensor:
        values = np.ascontiguousarray(images.detach().float().cpu().numpy())
        step = self.batch or max(1, len(values))
        h = [self._run(values[start : start + step]) for start in range(0, max(1, len(values)), step)]
        return torch.from_numpy(np.concatenate(h)).to(images.device)

    def _run(self, values: np.ndarray) -> np.ndarray:
        """A batch; one that is too small for a fixed size is filled with zeros, and cut again."""
        n = len(values)
        if self.batch is not None and n < self.batch:
            values = np.concatenate([values, np.zeros((self.batch - n, *values.shape[1:]), values.dtype)])
        (h,) = self.session.run([self.target], {self.source: values})
        first: np.ndarray = h[:n]
        return first
