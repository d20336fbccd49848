"""Arguments and options that several verbs share, and how embeddings are read from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from ..embeddings import Embeddings
from ..errors import InputError
from ..records import ProbeResult, Scores
from ..runs import Run, load_record
from ..stats.halves import Halves
from ..store import load


def whole(*, at_least: int) -> Callable[[Any, Sequence[Token]], int]:
    """A converter of a whole number."""

    def convert(_: Any, tokens: Sequence[Token]) -> int:
        text = tokens[0].value
        if not text.lstrip("+-").isdecimal() or int(text) < at_least:
            raise ValueError(f"{text} is no whole number of at least {at_least}")
        return int(text)

    return convert


def _epsilon(_: Any, tokens: Sequence[Token]) -> float | Literal["auto"]:
    text = tokens[0].value
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text} is neither a number nor auto") from None


EmbeddingsPath = Annotated[
    Path,
    Parameter(help="One row a sample: .npy, .npz, .safetensors, .pt, .parquet, .arrow, .feather, or an .emb folder."),
]
Reference = Annotated[
    Path | None,
    Parameter(
        metavar="EMB", help="Embeddings that the discriminative features are fitted on; by default those scored."
    ),
]
Key = Annotated[
    str | None,
    Parameter(
        metavar="NAME", help="Array of an .npz, .safetensors or .pt that holds the matrix, where there are several."
    ),
]
Column = Annotated[str | None, Parameter(metavar="NAME", help="The same for a list column of a Parquet or Arrow file.")]
Labels = Annotated[
    str | None, Parameter(metavar="FILE", help="One label a sample: .npy, .txt, .csv[:COLUMN] or .parquet[:COLUMN].")
]
Ids = Annotated[
    str | None,
    Parameter(
        metavar="FILE", help="One id a sample, in the same formats; by default those of the embeddings, or row numbers."
    ),
]
Epsilon = Annotated[
    float | Literal["auto"],
    Parameter(
        metavar="NUMBER|auto",
        converter=_epsilon,
        show_choices=False,
        help="Standard deviations above a sample's mean from which a feature is highly active; auto chooses it.",
    ),
]
Lower = Annotated[
    float,
    Parameter(
        metavar="PERCENT",
        validator=Number(gte=0, lte=100),
        help="Percentile of activation shares from which a feature is discriminative.",
    ),
]
Upper = Annotated[
    float, Parameter(metavar="PERCENT", validator=Number(gte=0, lte=100), help="Percentile up to which it is.")
]
OverChoice = Annotated[Literal["active", "all"], Parameter(help="Features that the percentiles are taken over.")]
Normalize = Annotated[bool, Parameter(show_default=False, help="L2-normalise each sample first.")]
HalvesChoice = Annotated[
    Literal["auto", "true", "false"],
    Parameter(help="Centre features and split them in a positive and a negative half; auto: where they are signed."),
]
Seed = Annotated[
    int, Parameter(metavar="N", converter=whole(at_least=0), help="Seed of everything random; it is recorded.")
]
Resamples = Annotated[
    int, Parameter(metavar="N", converter=whole(at_least=1), help="Bootstrap resamples behind each interval.")
]
AddTo = Annotated[Path | None, Parameter(metavar="RUN", help="Run folder that the result is added to.")]
Threads = Annotated[
    int | None,
    Parameter(
        metavar="N", converter=whole(at_least=1), help="Threads; by default KARAT_NUM_THREADS, else one a processor."
    ),
]
Overwrite = Annotated[bool, Parameter(name="--overwrite", show_default=False, help="Replace outputs that exist.")]


ScoresPath = Annotated[Path, Parameter(help="Parquet file of karat score.")]


def read_scores(path: Path) -> Scores:
    """The scores in a file of karat score.

    Raises:
        InputError: a record of another kind.
        FileFormatError: missing, or no file of karat.
    """
    record = load_record(path)
    if not isinstance(record, Scores):
        raise InputError(f"{path} holds a {record.kind} record, but scores are needed: make them with karat score")
    return record


def read_probe(run: Run) -> ProbeResult:
    """The probe of a run.

    Raises:
        InputError: it has none, or a damaged one.
    """
    record = run.records.get("probe")
    if not isinstance(record, ProbeResult):
        why = run.damaged.get("probe", "karat probe TRAIN VAL -o RUN makes one")
        raise InputError(f"{run.path} holds no probe: {why}")
    return record


def read_reference(path: Path | None, embeddings: Path, key: str | None, column: str | None) -> Embeddings | None:
    """The reference, where there is one; --key and --column are for it too if it is a file of the same kind."""
    if path is None:
        return None
    alike = path.suffix.lower() == embeddings.suffix.lower()
    return load(path, key=key if alike else None, column=column if alike else None)


def halves_of(choice: Literal["auto", "true", "false"]) -> Halves:
    """The option as the functions take it."""
    return "auto" if choice == "auto" else choice == "true"
