"""karat measure"""

from __future__ import annotations

from pathlib import Path

from .. import measuring
from . import inputs, terminal


def measure(
    embeddings: Path,
    *,
    reference: inputs.Reference = None,
    epsilon: inputs.Epsilon = 4.0,
    lower: inputs.Lower = 50,
    upper: inputs.Upper = 95,
    over: inputs.OverChoice = "active",
    normalize: inputs.Normalize = False,
    halves: inputs.HalvesChoice = "auto",
    seed: inputs.Seed = 0,
    threads: inputs.Threads = None,
    key: inputs.Key = None,
    column: inputs.Column = None,
    json: terminal.Json = False,
    require: terminal.Require = None,
) -> None:
    """Measure a whole representation: mean Q-Score, share of empty samples, effective rank."""
    with terminal.progress("measuring"):
        result = measuring.measure(
            inputs.read(embeddings, key, column),
            reference=None if reference is None else inputs.read(reference, key, column),
            epsilon=epsilon,
            lower=lower,
            upper=upper,
            over=over,
            normalize=normalize,
            halves=inputs.halves_of(halves),
            seed=seed,
            threads=threads,
        )
    terminal.show(result, as_json=json, require=require)
