"""What the encoder is like, between the epochs: metrics of held-out images, and probes where they have labels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..embeddings import Embeddings
from ..encoders import Preprocessing
from ..errors import KaratWarning
from ..measuring import measure
from ..probing import knn_probe, probe
from .pictures import Pictures

_NEIGHBOURS = 20
_METRICS = ("mean_q", "empty_share", "effective_rank")
_ROWS = 256


@dataclass(frozen=True)
class Judge:
    """Judges an encoder on images that it is not trained on.

    Attributes:
        pictures, rows: the training images, and those of them that probes are trained on and D is fitted on.
        val, val_rows: the held-out ones.
        preprocessing: of the encoder.
        epsilon: of the Q-Score.
        device: where h is computed.
        threads: of the metrics and probes.
    """

    pictures: Pictures
    rows: np.ndarray
    val: Pictures
    val_rows: np.ndarray
    preprocessing: Preprocessing
    epsilon: float
    device: torch.device
    threads: int | None

    def __call__(self, encoder: nn.Module) -> dict[str, float]:
        """Metric -> value; see `karat.records.Epoch`. Draws nothing from the global generators."""
        known = self._embedded(encoder, self.pictures, self.rows)
        judged = self._embedded(encoder, self.val, self.val_rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KaratWarning)  # of small sets, again each epoch; the numbers show it
            metrics = _METRICS if len(self.val_rows) > 1 else _METRICS[:2]
            found = measure(judged, reference=known, metrics=metrics, epsilon=self.epsilon, threads=self.threads).values
            return dict(found) | self._probed(known, judged)

    def _probed(self, known: Embeddings, judged: Embeddings) -> dict[str, float]:
        """Accuracies of two probes, where there are labels of two classes or more."""
        if known.labels is None or judged.labels is None or len(set(known.labels.tolist())) < 2:
            return {}
        k = min(_NEIGHBOURS, known.n)
        return {
            "knn_accuracy": knn_probe(known, judged, k=k, device="cpu", threads=self.threads).accuracy,
            "linear_accuracy": probe(known, judged, device="cpu", threads=self.threads).accuracy,
        }

    def _embedded(self, encoder: nn.Module, pictures: Pictures, rows: np.ndarray) -> Embeddings:
        parts = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
        h = torch.cat([h.cpu() for h in features(encoder, pictures, parts, self.preprocessing, self.device)])
        labels = pictures.source.labels
        return Embeddings(h.numpy(), labels=None if labels is None else labels[rows])


@torch.no_grad()
def features(
    encoder: nn.Module,
    pictures: Pictures,
    rows: list[np.ndarray],
    preprocessing: Preprocessing,
    device: torch.device,
) -> Iterator[Tensor]:
    """h [m, d] in float32 of batches of images, in evaluation mode; afterwards the module's modes are as before."""
    modes = {part: part.training for part in encoder.modules()}
    mean, std = (
        torch.tensor(values, device=device)[:, None, None] for values in (preprocessing.mean, preprocessing.std)
    )
    try:
        encoder.eval()
        for images in pictures.batches(rows):
            pixels = _seen(images.to(device).float() / 255, preprocessing.size)
            yield encoder((pixels - mean) / std)
    finally:
        for part, training in modes.items():
            part.training = training


def _seen(images: Tensor, size: int) -> Tensor:
    """What the encoder sees of squares in [0, 1]: the middle of larger ones, smaller ones resized."""
    side = images.shape[-1]
    if side > size:
        start = (side - size) // 2
        return images[..., start : start + size, start : start + size]
    if side < size:
        return nn.functional.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp(0, 1)
    return images
