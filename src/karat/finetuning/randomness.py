"""The random states that a training draws from: begun by a seed, kept in checkpoints, and given back afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def borrowed_states() -> Iterator[None]:
    """Whatever is drawn inside, the global generators of torch, NumPy and Python are afterwards as they were."""
    before = global_states()
    try:
        yield
    finally:
        restore_states(before)


def seed_states(seed: int, rank: int) -> None:
    """Begin the global generators of one process."""
    own = np.random.SeedSequence(seed, spawn_key=(rank,)).generate_state(2)
    torch.manual_seed(int(own[0]))
    np.random.seed(int(own[0]))
    random.seed(int(own[1]))


def global_states() -> dict[str, Any]:
    """The states of the global generators, as plain containers and tensors."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, numbers, following = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "python": [version, list(numbers), following],
    }


def restore_states(states: dict[str, Any]) -> None:
    """Give the global generators the states that `global_states` found."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, numbers, following = states["python"]
    random.setstate((version, tuple(numbers), following))
