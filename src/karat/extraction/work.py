"""What an extraction computes, and what determines its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._files import digest_bytes
from .._optional import require
from .._version import version
from ..encoders import Encoder
from ..images import ImageSource
from .compute import Compute
from .plan import Plan

_LIBRARIES = {"torch": "torch", "compile": "torch", "openvino": "openvino", "onnx": "onnxruntime"}


@dataclass(frozen=True)
class Work:
    """Encoder, images and how h is computed.

    Attributes:
        encoder, source: what runs over what.
        plan: which images go into which batch and shard.
        compute: device, engine, precision, threads.
        workers: processes that decode; None: as many as suit the device.
        views, seed: augmented rows an image; None: one row, of the image itself.
    """

    encoder: Encoder
    source: ImageSource
    plan: Plan
    compute: Compute
    workers: int | None
    views: int | None
    seed: int

    def columns(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of the rows of some images: row (its number in the source, so that none depends on others) ...

        Args:
            images: int64 [m], numbers of images.

        Returns:
            name -> [m * rows an image].
        """
        count = self.plan.rows_per_image
        of_image = np.repeat(images, count)
        view = np.tile(np.arange(count), len(images))
        columns = {
            "row": of_image * count + view,
            "id": self.source.ids[of_image],
            "path": self.source.paths[of_image],
        }
        if self.source.labels is not None:
            columns["label"] = self.source.labels[of_image]
        return columns if self.views is None else {**columns, "view": view}

    def provenance(self) -> dict[str, Any]:
        """What determines the bytes, as plain JSON; the same for the same work on another day, machine or path."""
        encoder, compute = self.encoder, self.compute
        libraries = ("torch", _LIBRARIES[compute.engine], "PIL", "numpy")
        return {
            "encoder": encoder.name,
            "h": encoder.h,
            "layout": encoder.layout,
            "weights_sha256": encoder.weights_sha256,
            "weights_digest": _weights_digest(encoder),
            "preprocessing": encoder.preprocessing,
            "source": self.source.name,
            "source_digest": self.source.digest,
            "images": len(self.source),
            "views": self.views,
            "seed": None if self.views is None else self.seed,
            "batch_size": self.plan.batch_size,
            "device": compute.device.type,
            "engine": compute.engine,
            "precision": compute.precision,
            "threads": compute.threads,
            "versions": {"karat": version()} | {name: str(require(name, "extract").__version__) for name in libraries},
        }


def _weights_digest(encoder: Encoder) -> str:
    """xxh3-128 of names, types and values of all weights and buffers: they may have changed since they were read."""
    torch = require("torch", "extract")
    parts: list[bytes | memoryview] = []
    for name, value in encoder.module.state_dict().items():
        if isinstance(value, torch.Tensor):
            flat = value.detach().cpu().contiguous().reshape(-1)
            parts += [f"{name} {value.dtype} {list(value.shape)}".encode(), memoryview(flat.view(torch.uint8).numpy())]
    return digest_bytes(*parts)
