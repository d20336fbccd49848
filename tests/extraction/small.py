"""Small encoders and images that the tests of extraction share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from karat.encoders import Encoder, Preprocessing
from karat.encoders.small_resnet import SmallResNet

PIXELS = np.random.default_rng(0).integers(0, 256, (23, 8, 8, 3), np.uint8)


def tiny(seed: int = 0) -> Encoder:
    """A residual network of random weights, in training mode."""
    generator = torch.random.get_rng_state()
    torch.manual_seed(seed)
    module = SmallResNet((4, 6), 1, 10)
    module(torch.randn(64, 3, 8, 8))  # batch statistics that are not 0 and 1
    torch.random.set_rng_state(generator)
    transform = Preprocessing(8, (0.5, 0.4, 0.3), (0.25, 0.2, 0.1))
    return Encoder(module, dim=10, transform=transform, name="tiny", weights_sha256="ab" * 32, h="pooled, 10 features")


def to_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).float()


def flat(**change: Any) -> Encoder:
    """An encoder whose h are the pixels of PIXELS."""
    return replace(Encoder(nn.Flatten(), dim=8 * 8 * 3, transform=to_tensor, name="flat"), **change)


def write_images(folder: Path, count: int, *, bad: tuple[int, ...] = ()) -> Path:
    """A folder of PNG files with the pixels of PIXELS, those in `bad` damaged."""
    folder.mkdir()
    for row in range(count):
        path = folder / f"{row:03d}.png"
        Image.fromarray(PIXELS[row % len(PIXELS)]).save(path)
        if row in bad:
            path.write_bytes(b"no image")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
