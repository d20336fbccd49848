"""Options that several verbs share, and how embeddings are read from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..embeddings import Embeddings
from ..stats.reference import Halves
from ..store import load

Key = Annotated[str | None, Parameter(help="Array of an .npz, .safetensors or .pt file.")]
Column = Annotated[str | None, Parameter(help="Column of a Parquet or Arrow file that holds the vectors.")]
Labels = Annotated[str | None, Parameter(help="Labels: .npy, .txt, .csv, or FILE.parquet:COLUMN.")]
Ids = Annotated[str | None, Parameter(help="Ids: .npy, .txt, .csv, or FILE.parquet:COLUMN.")]
Reference = Annotated[
    Path | None,
    Parameter(
        help="Embeddings that the discriminative features are fitted on; the scored ones themselves if left out."
    ),
]
Epsilon = Annotated[float | Literal["auto"], Parameter(help="Threshold in standard deviations, or auto.")]
Lower = Annotated[float, Parameter(help="Lower percentile of the activation shares that are discriminative.")]
Upper = Annotated[float, Parameter(help="Upper percentile of the activation shares that are discriminative.")]
OverChoice = Annotated[Literal["active", "all"], Parameter(help="Features that the percentiles are taken over.")]
Normalize = Annotated[bool, Parameter(negative="", help="L2-normalise each row first.")]
HalvesChoice = Annotated[
    Literal["auto", "true", "false"], Parameter(help="Centre signed features and split them in two halves.")
]
Seed = Annotated[int, Parameter(help="Seed of everything random; recorded.")]
Threads = Annotated[int | None, Parameter(help="Threads; KARAT_NUM_THREADS, else all processors, if left out.")]


def read(
    path: Path, key: str | None, column: str | None, labels: str | None = None, ids: str | None = None
) -> Embeddings:
    """Embeddings from a file or folder."""
    return load(path, key=key, column=column, labels=labels, ids=ids)


def halves_of(choice: Literal["auto", "true", "false"]) -> Halves:
    """The option as the functions take it."""
    return "auto" if choice == "auto" else choice == "true"
