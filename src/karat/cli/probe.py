"""karat probe"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import probing, runs
from . import inputs, terminal


def probe(
    train: Path,
    val: Path,
    *,
    out: Annotated[Path, Parameter(name=("-o", "--out"), help="Run folder that the result is added to.")],
    seed: inputs.Seed = 0,
    key: inputs.Key = None,
    column: inputs.Column = None,
    labels: Annotated[str | None, Parameter(help="Labels of TRAIN: .npy, .txt, .csv, or FILE.parquet:COLUMN.")] = None,
    val_labels: Annotated[str | None, Parameter(help="Labels of VAL.")] = None,
    ids: Annotated[str | None, Parameter(help="Ids of VAL.")] = None,
    overwrite: terminal.Overwrite = False,
    json: terminal.Json = False,
    require: terminal.Require = None,
) -> None:
    """Train a linear probe on the embeddings TRAIN and judge it, sample by sample, on VAL."""
    runs.refuse_record(out, "probe", overwrite=overwrite)
    result = probing.probe(
        inputs.read(train, key, column, labels), inputs.read(val, key, column, val_labels, ids), seed=seed
    )
    runs.add_record(out, result, overwrite=overwrite)
    terminal.say(f"-> {out}")
    terminal.show(result, as_json=json, require=require)
