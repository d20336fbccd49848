"""karat compress"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from .. import compression, runs, store
from .._files import refuse_existing
from ..errors import OutputError
from . import inputs, requirements, results, terminal


def _shares(_: Any, tokens: Sequence[Token]) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in tokens[0].value.split(","))
    except ValueError:
        raise ValueError(f"{tokens[0].value} is no list of shares, such as 0.2,0.4,0.6") from None


def compress(
    embeddings: inputs.EmbeddingsPath,
    /,
    *,
    keep: Annotated[
        float, Parameter(metavar="SHARE", validator=Number(gt=0, lte=1), help="Share of the features to keep.")
    ] = 0.6,
    probe_with: Annotated[
        Path | None,
        Parameter(metavar="EMB", help="Labelled validation embeddings: adds what it costs, and the controls."),
    ] = None,
    keeps: Annotated[
        tuple[float, ...],
        Parameter(
            metavar="SHARES",
            converter=_shares,
            n_tokens=1,
            show_default=lambda shares: ",".join(map(str, shares)),
            help="Shares of the curve, separated by commas.",
        ),
    ] = compression.KEEPS,
    seeds: Annotated[
        int, Parameter(metavar="N", converter=inputs.whole(at_least=1), help="Random subsets at each share.")
    ] = 10,
    epsilon: inputs.Epsilon = 4.0,
    upper: Annotated[
        float,
        Parameter(
            metavar="PERCENT",
            validator=Number(gte=0, lte=100),
            help="Percentile of activation shares above which a feature is generic: kept after the others.",
        ),
    ] = 95,
    normalize: inputs.Normalize = False,
    halves: inputs.HalvesChoice = "auto",
    seed: inputs.Seed = 0,
    resamples: inputs.Resamples = 1000,
    threads: inputs.Threads = None,
    out: Annotated[
        Path | None, Parameter(name=("-o", "--out"), metavar="EMB", help="Embeddings folder to write, reduced.")
    ] = None,
    run: inputs.AddTo = None,
    key: inputs.Key = None,
    column: inputs.Column = None,
    labels: inputs.Labels = None,
    val_labels: Annotated[str | None, Parameter(metavar="FILE", help="The same for the validation embeddings.")] = None,
    ids: inputs.Ids = None,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    _refuse(out, run, overwrite=overwrite)
    emb = store.load(embeddings, key=key, column=column, labels=labels, ids=ids)
    val = None if probe_with is None else store.load(probe_with, key=key, column=column, labels=val_labels)
    with terminal.progress("probing") as progress:
        result = compression.compress(
            emb,
            keep=keep,
            probe_with=val,
            keeps=keeps,
            seeds=seeds,
            epsilon=epsilon,
            upper=upper,
            normalize=normalize,
            halves=inputs.halves_of(halves),
            seed=seed,
            resamples=resamples,
            threads=threads,
            progress=progress,
        )
    for warning in result.warnings:
        terminal.warn(warning)
    if out is not None:
        store.save(compression.reduced(emb, result), out, overwrite=overwrite)
        terminal.say(f"{emb.n:,} samples x {result.k:,} features -> {out}")
    if run is not None:
        runs.add_record(run, result, overwrite=overwrite)
        terminal.say(f"-> {run}")
    results.show(result, as_json=json, require=require)


def _refuse(out: Path | None, run: Path | None, *, overwrite: bool) -> None:
    """Refuse outputs that exist, or cannot be, before the work begins."""
    if out is not None:
        refuse_existing(out, overwrite=overwrite)
        if not out.parent.is_dir():
            raise OutputError(f"{out} could not be written: there is no folder {out.parent}")
    if run is not None:
        runs.refuse_record(run, "compression", overwrite=overwrite)
