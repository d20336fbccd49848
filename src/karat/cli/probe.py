"""karat probe"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import probing, runs
from ..store import load
from . import inputs, requirements, results, terminal


def probe(
    train: Annotated[Path, Parameter(help="Embeddings with labels, to train on.")],
    val: Annotated[Path, Parameter(help="Embeddings with labels, of the same encoder, to judge the probe on.")],
    /,
    *,
    out: Annotated[
        Path, Parameter(name=("-o", "--out"), metavar="RUN", help="Run folder that the result is added to.")
    ],
    seed: inputs.Seed = 0,
    key: inputs.Key = None,
    column: inputs.Column = None,
    labels: inputs.Labels = None,
    val_labels: Annotated[
        str | None, Parameter(metavar="FILE", help="The same for VAL; --labels is for TRAIN.")
    ] = None,
    ids: Annotated[str | None, Parameter(metavar="FILE", help="One id a sample of VAL, by which scores join.")] = None,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    runs.refuse_record(out, "probe", overwrite=overwrite)
    with terminal.progress("training the probe"):
        result = probing.probe(
            load(train, key=key, column=column, labels=labels),
            load(val, key=key, column=column, labels=val_labels, ids=ids),
            seed=seed,
        )
    runs.add_record(out, result, overwrite=overwrite)
    terminal.say(f"-> {out}")
    results.show(result, as_json=json, require=require)
