"""Calling the command line in this process, and the data that it is called with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from karat.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit status and what it printed."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Command:
    """The command line, with what it prints captured."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Done:
        self.capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:  # what rich does where the reader has gone
            status = int(str(end.code))
        printed = self.capsys.readouterr()
        return Done(status, printed.out, printed.err)


def features(n: int = 60, d: int = 40, seed: int = 0) -> np.ndarray:
    """Non-negative and heavy-tailed, float32 on a grid (so that exact fractions are short)."""
    h = np.random.default_rng(seed).exponential(size=(n, d)) ** 2
    return (np.round(h * 64) / 64).astype(np.float32)


def column(path: Path, name: str) -> np.ndarray:
    """A column of a Parquet file; null is NaN."""
    return pq.read_table(path, columns=[name]).column(0).to_numpy()


def contents(folder: Path) -> dict[str, str]:
    """Every file and folder in it, hidden ones too, with a digest of what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }
