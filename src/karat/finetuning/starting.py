"""What a training begins with: the encoder, and which images are trained on and which are held out."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from ..encoders import Encoder, Preprocessing
from ..errors import InputError, InputTypeError
from ..images import ImageSource
from .continuing import Training, is_training, read_training
from .fresh import fresh_encoder
from .pictures import Pictures, open_pictures

_HELD_OUT_SHARE, _MOST_HELD_OUT = 20, 2000  # one image in so many, at most so many
_LARGEST_FRESH = 224
_SEEN = 2000  # images that mean and std are taken from


@dataclass(frozen=True)
class Start:
    """What a training begins with.

    Attributes:
        encoder: as it is before the first step; it is not changed.
        preprocessing: of its images.
        pictures: the images.
        rows: numbers of those that are trained on.
        probed: some of these, for probes and the reference of the Q-Score.
        val, val_rows: where the held-out images are; of `pictures`, unless there are others.
        heads: the training whose heads, teacher and queue it goes on with; None: they are new.
    """

    encoder: Encoder
    preprocessing: Preprocessing
    pictures: Pictures
    rows: np.ndarray
    probed: np.ndarray
    val: Pictures
    val_rows: np.ndarray
    heads: Training | None


def start_with(
    encoder: Encoder | str | os.PathLike[str],
    source: ImageSource,
    *,
    method: str,
    new_heads: bool,
    from_scratch: bool,
    size: int | None,
    val: ImageSource | None,
    held_out: int | None,
    seed: int,
    workers: int,
) -> Start:
    """Load or build what a training begins with.

    Raises:
        InputError: an encoder that cannot be trained, or an image that cannot be decoded.
        InputTypeError: no encoder.
    """
    heads = None
    if isinstance(encoder, str | os.PathLike) and not from_scratch and is_training(encoder):
        training = read_training(encoder)
        encoder = training.encoder
        heads = training if training.method == method and not new_heads else None
    if isinstance(encoder, Encoder):
        if size is not None:
            raise InputError("size is of an encoder from scratch: a karat.Encoder has its own")
        preprocessing = _trainable(encoder)
        pictures = open_pictures(source, size=preprocessing.size, workers=workers)
    else:
        if not isinstance(encoder, str):
            raise InputTypeError(f"encoder is a {type(encoder).__name__}, but a karat.Encoder is needed")
        if not from_scratch:
            raise InputError(
                f"encoder is {encoder!r}, but a karat.Encoder is needed: karat.load_encoder({encoder!r}) makes one, "
                "a run folder or checkpoint of karat.finetune does too, and the name of an architecture is for "
                "from_scratch=True"
            )
        side = min(_LARGEST_FRESH, *source.read(0).shape[:2]) if size is None else size
        pictures = open_pictures(source, size=side, workers=workers)
        preprocessing = _measured(pictures, side, seed)
        encoder = fresh_encoder(encoder, preprocessing=preprocessing, seed=seed)
    order = np.random.default_rng([seed, len(source)]).permutation(len(source))
    if val is None:
        count = min(_MOST_HELD_OUT, len(source) // _HELD_OUT_SHARE) if held_out is None else held_out
        if count >= len(source):
            raise InputError(f"held_out is {count:,}, but there are {len(source):,} images: leave some to train on")
        others, val_rows = pictures, np.sort(order[:count])
    else:
        count = 0
        others = open_pictures(val, size=preprocessing.size, workers=workers)
        val_rows = np.sort(np.random.default_rng([seed, len(val)]).permutation(len(val))[:_MOST_HELD_OUT])
    rows = order[count:]
    return Start(
        encoder, preprocessing, pictures, np.sort(rows), np.sort(rows[:_MOST_HELD_OUT]), others, val_rows, heads
    )


def _trainable(encoder: Encoder) -> Preprocessing:
    """The preprocessing of an encoder that can be trained."""
    if not any(parameter.requires_grad for parameter in encoder.module.parameters()):
        raise InputError(
            f"encoder {encoder.name!r} has no parameter that gradient flows to (as one in an ONNX file has none), so "
            "that it cannot be trained: give a checkpoint, or call module.requires_grad_(True)"
        )
    if not isinstance(encoder.transform, Preprocessing):
        raise InputError(
            f"encoder {encoder.name!r} has the transform {encoder.preprocessing[:80]}, but views need its size, mean "
            "and std: give karat.Encoder(module, transform=karat.encoders.Preprocessing(size, mean, std), ...)"
        )
    return encoder.transform


def _measured(pictures: Pictures, size: int, seed: int) -> Preprocessing:
    """Mean and std of the channels, of up to 2,000 of the images."""
    n = len(pictures.source)
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:_SEEN])
    sums, squares, count = np.zeros(3), np.zeros(3), 0
    for images in pictures.batches(np.array_split(rows, -(-len(rows) // 256))):
        pixels = images.double().div(255)
        sums += pixels.sum(dim=(0, 2, 3)).numpy()
        squares += pixels.square().sum(dim=(0, 2, 3)).numpy()
        count += pixels[:, 0].numel()
    mean = sums / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    if (std == 0).any():
        raise InputError(f"a channel of the images is the same everywhere (std {std.tolist()}): nothing can be learned")
    first, second = (tuple(round(float(value), 6) for value in values) for values in (mean, std))
    return Preprocessing(size, (first[0], first[1], first[2]), (second[0], second[1], second[2]))
