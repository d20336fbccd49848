"""Many linear heads at once by stochastic gradient descent: one product of matrices a step for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .devices import Device
from .protocols import Sgd
from .samples import Batches
from .softmax import softmax_error

_START = 0.01  # standard deviation of the first weights, as published linear evaluations have it
_BATCH = 256  # that learning rates are given for


def train_heads(
    batches: Batches,
    rows: np.ndarray,
    y: np.ndarray,
    k: int,
    heads: list[tuple[float, float]],
    settings: Sgd,
    device: Device,
    *,
    seed: int,
    tick: Callable[[], None],
) -> tuple[Any, Any]:
    """Train heads on the same batches, from the same start W ~ N(0, 0.01^2), b = 0.

    In step t of T, with the gradients g of the mean loss of a batch:

        v <- momentum * v + g + decay * W (without the decay for b),    W <- W - rate * (1 + cos(pi t / T)) / 2 * v

    Args:
        batches: rows of the matrix -> float32 [m, d].
        rows: those to train on, [n].
        y: their classes, int64 [n].
        k: classes.
        heads: (learning rate, weight decay) of each.
        seed: of the start and of the batches.
        tick: called after each epoch.

    Returns:
        Weights [d, heads * k] and biases [heads * k] on the device; not finite where a head diverged.
    """
    generator = np.random.default_rng(seed)
    shape = len(heads), k
    start = _START * generator.standard_normal((batches.d, k), np.float32)
    weight, bias = device.put(np.tile(start, shape[0])), device.zeros(math.prod(shape))
    moving, moving_bias = device.xp.zeros_like(weight), device.xp.zeros_like(bias)
    rates, decays = (device.put(np.repeat(np.array(column, np.float32), k)) for column in zip(*heads, strict=True))
    rates *= settings.batch_size / _BATCH
    room, decayed = device.xp.zeros_like(weight), bool(np.any([decay for _, decay in heads]))
    steps = settings.epochs * _steps(len(rows), settings.batch_size)
    for step, part in enumerate(_drawn(len(rows), settings, generator, tick)):
        x = batches(rows[part])
        error = x @ weight  # [m, d] @ [d, heads * k] -> [m, heads * k]
        error += bias
        softmax_error(device.xp, error.reshape(len(part), *shape), device.put(y[part]))
        error /= len(part)
        gradient = device.xp.matmul(x.T, error, out=room)
        if decayed:
            gradient += decays * weight
        rate = rates * ((1 + math.cos(math.pi * step / steps)) / 2)
        moving *= settings.momentum
        moving += gradient
        weight -= device.xp.multiply(moving, rate, out=room)
        moving_bias *= settings.momentum
        moving_bias += device.xp.sum(error, axis=0)
        bias -= moving_bias * rate
    return weight, bias


def _steps(n: int, batch_size: int) -> int:
    """Batches in an epoch."""
    return -(-n // batch_size)


def _drawn(n: int, settings: Sgd, generator: np.random.Generator, tick: Callable[[], None]) -> Iterator[np.ndarray]:
    """Batches of numbers below n: each epoch's are a new order of all."""
    for _ in range(settings.epochs):
        yield from np.array_split(generator.permutation(n), _steps(n, settings.batch_size))
        tick()
