"""karat measure"""

from __future__ import annotations

from .. import measuring
from ..store import load
from . import inputs, requirements, results, terminal


def measure(
    embeddings: inputs.EmbeddingsPath,
    /,
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
    ids: inputs.Ids = None,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    emb = load(embeddings, key=key, column=column, ids=ids)
    ref = inputs.read_reference(reference, embeddings, key, column)
    with terminal.progress("measuring"):
        result = measuring.measure(
            emb,
            reference=ref,
            epsilon=epsilon,
            lower=lower,
            upper=upper,
            over=over,
            normalize=normalize,
            halves=inputs.halves_of(halves),
            seed=seed,
            threads=threads,
        )
    for warning in result.warnings:
        terminal.warn(warning)
    results.show(result, as_json=json, require=require)
