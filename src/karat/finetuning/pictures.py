"""The images of a training as uint8 squares: in memory where they fit, else read by other processes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..encoders import Preprocessing
from ..errors import InputError, KaratError
from ..images import ImageSource

_KEPT_BYTES = 2 << 30
# Room that a view has around what the encoder sees, as 256 pixels have around 224.
_ROOM = 8 / 7
_AT_ONCE = 256


@dataclass(frozen=True)
class Pictures:
    """Images as squares of one side, uint8.

    Attributes:
        source: where they come from.
        side: in pixels.
        kept: all of them in memory, uint8 [n, 3, side, side]; None: they are read when they are needed.
        workers: processes that read them then.
    """

    source: ImageSource
    side: int
    kept: Tensor | None
    workers: int

    def batches(self, rows: Sequence[np.ndarray]) -> Iterator[Tensor]:
        """Some batches, in order: the images of these rows, uint8 [m, 3, side, side] each.

        Raises:
            InputError: an image that cannot be decoded.
        """
        if self.kept is not None:
            return (self.kept[torch.from_numpy(part)] for part in rows)
        return _read(_Squares(self.source, self.side), rows, self.workers)


def open_pictures(source: ImageSource, *, size: int, workers: int) -> Pictures:
    """Prepare images for views of `size` pixels.

    Each is resized so that its shorter side is 8/7 of `size` (or that of the first image, where that is smaller), and
    the middle square is taken. Up to 2 GiB of squares are decoded once and kept.

    Args:
        source: the images.
        size: side of a full view.
        workers: processes that decode.

    Raises:
        InputError: an image that cannot be decoded.
    """
    side = min(round(size * _ROOM), min(source.read(0).shape[:2]))
    kept = None
    if 3 * side * side * len(source) <= _KEPT_BYTES:
        rows = [part for part in np.array_split(np.arange(len(source)), -(-len(source) // _AT_ONCE))]
        processes = workers if len(rows) > 1 else 0
        kept = torch.cat(list(_read(_Squares(source, side), rows, processes)))
    return Pictures(source, side, kept, workers)


def shuffled(n: int, batch_size: int, *, seed: int, epoch: int) -> np.ndarray:
    """The rows of each batch of an epoch, int64 [steps, batch_size], the same for the same seed and epoch.

    What is left of the images, fewer than a batch, is left out; in each epoch they are others.
    """
    order = np.random.default_rng([seed, epoch]).permutation(n)
    return order[: n // batch_size * batch_size].reshape(-1, batch_size)


@dataclass(frozen=True)
class _Squares:
    """Reads the images of some rows; it works in any process."""

    source: ImageSource
    side: int

    def __getitem__(self, rows: np.ndarray) -> Tensor | KaratError:
        """uint8 [m, 3, side, side], or what is wrong: an error raised in another process would lose its kind."""
        square = Preprocessing(self.side, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)).square
        try:
            images = np.stack([square(self.source.read(int(row))) for row in rows])
        except KaratError as error:
            return error
        return torch.from_numpy(images).permute(0, 3, 1, 2)  # [m, s, s, 3] -> [m, 3, s, s]


def _read(squares: _Squares, rows: Sequence[np.ndarray], workers: int) -> Iterator[Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on more processes than processors, and on forking beside threads
        loader: torch.utils.data.DataLoader[Tensor | KaratError] = torch.utils.data.DataLoader(
            squares,  # type: ignore[arg-type] # all that is asked of it is __getitem__
            batch_size=None,
            sampler=rows,
            num_workers=workers,
            generator=torch.Generator(),  # else a seed is drawn from the generator that is being kept
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        )
        batches = iter(loader)
    while (batch := next(batches, None)) is not None:
        if isinstance(batch, KaratError):
            raise InputError(f"{batch}: leave it out, or replace it") from batch
        yield batch.contiguous()
