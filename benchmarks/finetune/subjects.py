"""The images, the encoders, and what may be spent on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

import karat
from karat.images import ImageSource, open_images, part_of
from karat.records import Finetuning

ARCHITECTURE = "small-resnet"
_DRAWN_WITH = 0  # the seed of which images


@dataclass(frozen=True)
class Budget:
    """How much is trained, and on how much; the defaults are for two cores.

    Attributes:
        pretrain_epochs, pretrain_images: of each encoder, from scratch.
        epochs, images: of each fine-tuning.
        test_images: that everything is judged on.
        seeds: of each arm.
        epsilon: of the Q-Score; the paper's is 4, at which most images have no discriminative feature here.
        batch_size: of pretraining and of fine-tuning.
    """

    pretrain_epochs: int = 8
    pretrain_images: int = 50_000
    epochs: int = 5
    images: int = 10_000
    test_images: int = 10_000
    seeds: int = 3
    epsilon: float | Literal["auto"] = "auto"
    batch_size: int = 256


def images_of(data: Path, budget: Budget) -> dict[str, ImageSource]:
    """The images to pretrain on, those of them to fine-tune on, and those to judge on."""
    pretrained = _some(open_images(data / "cifar10" / "train_jpeg.npz"), budget.pretrain_images)
    return {
        "pretrain": pretrained,
        "train": _some(pretrained, budget.images),
        "test": _some(open_images(data / "cifar10" / "test_jpeg.npz"), budget.test_images),
    }


def pretrain(
    method: str,
    images: ImageSource,
    out: Path,
    budget: Budget,
    *,
    progress: Callable[[int, int, Mapping[str, float]], None],
) -> Finetuning:
    """Train an encoder from scratch, or go on with that; one that is done is read."""
    trained = karat.finetune(
        ARCHITECTURE,
        images,
        method=method,
        out=out,
        from_scratch=True,
        epochs=budget.pretrain_epochs,
        batch_size=budget.batch_size,
        metrics_every=budget.pretrain_epochs,
        keep_checkpoints=1,
        resume=True,
        progress=progress,
    )
    return trained.record


def _some(source: ImageSource, n: int) -> ImageSource:
    """So many of the images, drawn without replacement; all of them where there are no more."""
    if n >= len(source):
        return source
    return part_of(source, np.sort(np.random.default_rng(_DRAWN_WITH).choice(len(source), n, replace=False)))
