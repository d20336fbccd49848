"""epsilon="auto": the threshold of a training, from the encoder that it begins with."""

from __future__ import annotations

import numpy as np

from ..encoders import Encoder
from ..extraction import extract
from ..images import ImageSource, part_of
from ..stats.epsilon import AUTO_ROWS, choose_epsilon
from .asked import Asked


def chosen_epsilon(
    encoder: Encoder, images: ImageSource, asked: Asked, *, device: str, threads: int | None, workers: int | None
) -> float:
    """What `karat.score` would choose for this encoder on these images, of which it looks at 20,000 at most."""
    n = len(images)
    rows = np.sort(np.random.default_rng(asked.seed).permutation(n)[:AUTO_ROWS])
    sample = extract(
        encoder, part_of(images, rows), device=device, precision="float32", threads=threads, workers=workers
    )
    return choose_epsilon(
        sample.h,
        lower=asked.lower,
        upper=asked.upper,
        over=asked.over,
        halves=asked.halves,
        seed=asked.seed,
        threads=threads,
    )
