"""The kinds of records: frozen, with everything that is needed to make them again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import FileFormatError

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Provenance:
    """How a record was made.

    Attributes:
        function: the verb, for example "score".
        parameters: every parameter with the value used, seeds among them.
        inputs: name of each input -> its digest (xxh3-128 of dtype, shape and blocks of rows).
        karat: version of karat.
    """

    function: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    karat: str


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Health:
    """What makes the scores of a set trustworthy or not.

    Attributes:
        n, d: samples and features scored.
        zero_share, negative_share: of all entries of h.
        halves: whether signed features were centred and split in two halves (then there are 2d of them).
        dead_features: features that no reference sample activates highly.
        discriminative_features: |D|.
        mean_active: mean |L_i|.
        mean_discriminative: mean |L_i ∩ D|.
        empty_share: share of samples with an empty L_i ∩ D, whose Q-Score is 0 by rule.
        constant_rows, zero_rows: samples whose features are all equal, all zero.
        duplicate_rows: samples that repeat an earlier one, byte for byte, among the first `duplicates_checked`.
        spread: sqrt(d) times the mean column deviation of L2-normalised rows; 0 = collapsed (Chen & He 2021).
        bad_rows: samples with NaN or Inf that were left out (null scores).
        warnings: sentences: what is wrong and what to do.
    """

    n: int
    d: int
    zero_share: float
    negative_share: float
    halves: bool
    dead_features: int
    discriminative_features: int
    mean_active: float
    mean_discriminative: float
    empty_share: float
    constant_rows: int
    zero_rows: int
    duplicate_rows: int
    duplicates_checked: int
    spread: float
    bad_rows: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """The distribution of one score over the samples (quantiles from at most 100,000 of them, evenly spaced)."""

    mean: float
    std: float
    minimum: float
    p05: float
    median: float
    p95: float
    maximum: float


class _Printed:
    """A record prints as its tables."""

    def __str__(self) -> str:
        from .text import text_of

        return text_of(self)  # type: ignore[arg-type] # only records inherit this


@dataclass(frozen=True)
class Scores(_Printed):
    """One value a sample for each score. `scores.q_score` is the array of that name, [n].

    Attributes:
        names: the scores, in the order of the columns.
        epsilon: the threshold used (chosen, where "auto" was asked for).
        summary: name -> its distribution.
        columns: id, label and extra columns, then one a score (read from disk when first asked for).
        activation_share: A_j of the reference, [d] (or [2d] with halves).
        discriminative: D as a mask of the same length.
        lowest: (id, q_score) of the ten lowest among the samples that have discriminative features.
    """

    kind: ClassVar[str] = "scores"
    provenance: Provenance
    names: tuple[str, ...]
    epsilon: float
    health: Health
    summary: dict[str, Summary]
    columns: Columns = field(repr=False, compare=False)
    activation_share: np.ndarray = field(repr=False, compare=False)
    discriminative: np.ndarray = field(repr=False, compare=False)
    lowest: tuple[tuple[Any, float], ...] = ()

    def __getattr__(self, name: str) -> np.ndarray:
        if not name.startswith("_") and name in self.__dict__.get("names", ()):
            return _column(self, name)
        raise AttributeError(f"there is no score {name!r}: {', '.join(self.__dict__.get('names', ()))}")

    @property
    def ids(self) -> np.ndarray:
        """The samples' ids, [n]."""
        return _column(self, "id")

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the columns to a Parquet file, with the record in its metadata; what was there is replaced.

        Raises:
            OutputError: nothing could be written; what was there is untouched.
        """
        from .tables import write_table

        write_table(Path(path), self)


@dataclass(frozen=True)
class Metrics(_Printed):
    """Numbers of a whole set.

    Attributes:
        n, d: samples and features.
        values: metric name -> value.
        warnings: sentences: what is wrong with the set and what to do.
    """

    kind: ClassVar[str] = "metrics"
    provenance: Provenance
    n: int
    d: int
    values: dict[str, float]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProbeResult(_Printed):
    """A linear probe on frozen features, judged on a held-out set.

    Attributes:
        accuracy: share of validation samples that the probe gets right (top 1).
        n_train, n_val: labelled samples used.
        classes: the labels, in the order of the logits' columns.
        head: the chosen head: its regularisation and what it reached on the held-out slice of the training set.
        columns: id, label, prediction, correct [n_val] and logits [n_val, k].
    """

    kind: ClassVar[str] = "probe"
    provenance: Provenance
    accuracy: float
    n_train: int
    n_val: int
    classes: tuple[Any, ...]
    head: dict[str, Any]
    columns: Columns = field(repr=False, compare=False)

    @property
    def ids(self) -> np.ndarray:
        """The validation samples' ids, [n_val]."""
        return _column(self, "id")

    @property
    def correct(self) -> np.ndarray:
        """Whether the probe is right, bool [n_val]."""
        return _column(self, "correct")

    @property
    def logits(self) -> np.ndarray:
        """The probe's logits, [n_val, k]."""
        return _column(self, "logits")


@dataclass(frozen=True)
class ScoreEvaluation:
    """How well one score tells the probe's right samples from its wrong ones.

    Attributes:
        score: its name.
        labelled: whether it uses labels (then it is a ceiling, not a rival).
        auroc, auprc: correct as the positive class; compare auprc with the base rate.
        auprc_error, fpr95: error as the positive class; share of right samples flagged when 95% of the errors are.
        aurc, augrc: area under the (generalised) risk-coverage curve; lower is better.
        coverage, risk: the risk-coverage curve at up to 101 points.
    """

    score: str
    labelled: bool
    auroc: Estimate
    auprc: Estimate
    auprc_error: Estimate
    fpr95: Estimate
    aurc: Estimate
    augrc: Estimate
    coverage: tuple[float, ...]
    risk: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation(_Printed):
    """Do scores predict a probe's errors? `accuracy` is the base rate of "correct"."""

    kind: ClassVar[str] = "evaluation"
    provenance: Provenance
    n: int
    accuracy: float
    rows: tuple[ScoreEvaluation, ...]


Record = Scores | Metrics | ProbeResult | Evaluation


def _column(record: Scores | ProbeResult, name: str) -> np.ndarray:
    try:
        return record.columns[name]
    except KeyError as error:
        raise FileFormatError(
            f"the table of this {record.kind} record lacks the column {name!r}: make the record again"
        ) from error
