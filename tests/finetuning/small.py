"""Small encoders, images and objectives for the tests of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from karat.encoders import Encoder, Preprocessing
from karat.encoders.architectures import Architecture
from karat.finetuning import Finetuned, finetune
from karat.finetuning.objectives import Objective, Outcome
from karat.finetuning.recipes import Recipe

DIM = 24
PREPROCESSING = Preprocessing(32, (0.5, 0.4, 0.3), (0.25, 0.25, 0.2))
# Small heads, so that a step takes milliseconds.
HEADS: dict[str, dict[str, Any]] = {
    "simclr": {"hidden": 16, "output": 8},
    "swav": {"hidden": 16, "output": 8, "prototypes": 6, "queue": 16, "queue_start": 0.0, "local_crops": 1},
    "moco": {"hidden": 16, "output": 8, "queue": 24},
    "byol": {"hidden": 16, "output": 8, "predictor_hidden": 16},
    "dino": {"hidden": 16, "output": 8, "prototypes": 12, "local_crops": 1},
    "simsiam": {"hidden": 16, "output": 16, "predictor_hidden": 8},
    "vicreg": {"hidden": 16, "output": 16},
    "barlow": {"hidden": 16, "output": 16},
}


def encoder(seed: int = 0) -> Encoder:
    """A residual network of 24 features with random weights."""
    arguments = (("widths", (4, 4, 8)), ("blocks", 1), ("dim", DIM))
    architecture = Architecture("small", "small_resnet", arguments)
    torch.manual_seed(seed)
    module = architecture.build("cpu")
    return Encoder(module, dim=DIM, transform=PREPROCESSING, name="small", architecture=architecture)


def images(n: int = 40, seed: int = 0, side: int = 32) -> np.ndarray:
    """uint8 [n, side, side, 3]: noise over a colour of its own."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 180, (n, 1, 1, 3))
    return (colour + rng.integers(0, 70, (n, side, side, 3))).astype(np.uint8)


def labelled(path: Path, n: int = 80) -> Path:
    """An .npz of images of two classes."""
    y = np.arange(n) % 2
    pixels = images(n)
    pixels[y == 1, :, :16] //= 3
    np.savez(path, images=pixels, y=y, classes=np.array(["cat", "dog"]))
    return path


def tune(given: Any = None, pixels: Any = None, **changes: Any) -> Finetuned:
    """A training of a few steps on the CPU."""
    method = changes.get("method", "simclr")
    asked = {
        "method": method,
        "epochs": 2,
        "batch_size": 8,
        "lr": 1e-2,
        "held_out": 0,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "workers": 0,
        "settings": HEADS.get(method, {}),
    } | changes
    return finetune(encoder() if given is None else given, images() if pixels is None else pixels, **asked)


def weights_of(tuned: Finetuned) -> dict[str, Tensor]:
    return tuned.encoder.module.state_dict()


def assert_same_weights(first: Finetuned, second: Finetuned) -> None:
    """Bit for bit."""
    for (name, one), (other_name, other) in zip(weights_of(first).items(), weights_of(second).items(), strict=True):
        assert name == other_name
        assert torch.equal(one, other), name


class Plain:
    """In the place of views: the images themselves, in [0, 1], once."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        return [images.float() / 255]


class Linear(nn.Module):
    """An encoder of the mean colours: h = relu(W c), without batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, DIM)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.layer(images.mean(dim=(2, 3))))


class PerImage(Objective):
    """A loss that is a mean over images, of which none depends on another: mean_i |h_i - 1|^2."""

    def forward(self, views: Any, *, progress: float) -> Outcome:
        h = self.encoder(views[0])
        return Outcome((h - 1).square().sum(dim=1).mean(), [h], h.detach() + torch.eye(len(h), DIM))


def per_image(method: str, encoder: nn.Module, *, dim: int, recipe: Recipe, seed: int) -> Objective:
    """What `objective_of` is replaced by."""
    return PerImage(encoder, dim=dim, recipe=recipe)


def linear_encoder() -> Encoder:
    torch.manual_seed(3)
    return Encoder(Linear(), dim=DIM, transform=PREPROCESSING, name="linear")
