"""The kinds of records: frozen, with everything that is needed to make them again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from ..errors import FileFormatError
from .tabular import Tabular

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


class Numbers:
    """A part of a record in which every NaN is the same object, so that records with equal numbers are equal."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and math.isnan(value):
                object.__setattr__(self, name, math.nan)


@dataclass(frozen=True)
class Estimate(Numbers):
    """A number with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


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


class Tabled(Protocol):
    """A record with a table: one value a sample in each column."""

    kind: ClassVar[str]

    @property
    def columns(self) -> Columns: ...


class Printed:
    """A record prints as its tables; in a notebook they are HTML."""

    def __str__(self) -> str:
        from .text import text_of

        return text_of(self)  # type: ignore[arg-type] # only records inherit this

    def _repr_html_(self) -> str:
        from .html import html_of

        return html_of(self)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Scores(Printed, Tabular):
    """One value a sample for each score. `scores.q_score` is the array of that name, [n].

    Attributes:
        names: the scores, in the order of the columns.
        epsilon: the threshold used (chosen, where "auto" was asked for).
        summary: name -> its distribution.
        columns: id, label and extra columns, then one a score (read from disk when first asked for).
        activation_share: A_j of the reference, [d] (or [2d] with halves).
        discriminative: D as a mask of the same length.
        lowest: (id, q_score) of the ten lowest among the samples that have discriminative features.
        left_out: name of a score that "all" did not compute -> what it needs.
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
    left_out: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> np.ndarray:
        if not name.startswith("_") and name in self.__dict__.get("names", ()):
            return column_of(self, name)
        raise AttributeError(f"there is no score {name!r}: {', '.join(self.__dict__.get('names', ()))}")

    @property
    def ids(self) -> np.ndarray:
        """The samples' ids, [n]."""
        return column_of(self, "id")


@dataclass(frozen=True)
class Curve:
    """A metric of growing random subsets: has it converged?

    Attributes:
        n: how many are in each subset, rising; each holds those before it.
        values: the metric of each.
        of: what is counted: "samples", or "images" for metrics of views.
    """

    n: tuple[int, ...]
    values: tuple[float, ...]
    of: str = "samples"


@dataclass(frozen=True)
class Metrics(Printed):
    """Numbers of a whole set.

    Attributes:
        n, d: samples and features.
        values: metric name -> value; NaN where it is undefined, which a warning explains.
        warnings: sentences: what is wrong with the set and what to do.
        left_out: name of a metric that was not computed -> what it needs.
        curves: metric name -> its values on subsets, where they were asked for.
        spectrum: share of the variance of h along each principal direction, falling, [min(n, d)]; empty where no metric
            needed it.
    """

    kind: ClassVar[str] = "metrics"
    provenance: Provenance
    n: int
    d: int
    values: dict[str, float]
    warnings: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    spectrum: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class ProbeResult(Printed, Tabular):
    """A probe on frozen features, linear or by nearest neighbours, judged on a held-out set.

    Attributes:
        accuracy: share of validation samples that the probe gets right (top 1).
        n_train, n_val: labelled samples used.
        classes: the labels, in the order of the logits' columns.
        head: the chosen head: its settings and what it reached on the held-out slice of the training set.
        columns: id, label, prediction, correct [n_val] and logits [n_val, k].
        top5: share of samples whose label has one of the five largest logits (equal ones count against it); None where
            there are five classes or fewer.
        heads: the same of every head that was trained, as `head`.
    """

    kind: ClassVar[str] = "probe"
    provenance: Provenance
    accuracy: float
    n_train: int
    n_val: int
    classes: tuple[Any, ...]
    head: dict[str, Any]
    columns: Columns = field(repr=False, compare=False)
    top5: float | None = None
    heads: tuple[dict[str, Any], ...] = ()

    @property
    def class_accuracy(self) -> dict[Any, float]:
        """Label -> the share of its validation samples that the probe gets right, in [0, 1]."""
        labels, place = np.unique(column_of(self, "label"), return_inverse=True)
        right = np.bincount(place, self.correct) / np.bincount(place)
        return dict(zip(labels.tolist(), right.tolist(), strict=True))

    @property
    def ids(self) -> np.ndarray:
        """The validation samples' ids, [n_val]."""
        return column_of(self, "id")

    @property
    def correct(self) -> np.ndarray:
        """Whether the probe is right, bool [n_val]."""
        return column_of(self, "correct")

    @property
    def logits(self) -> np.ndarray:
        """The probe's logits, [n_val, k]."""
        return column_of(self, "logits")


def column_of(record: Tabled, name: str) -> np.ndarray:
    """A column of a record.

    Raises:
        FileFormatError: its table lacks it.
    """
    try:
        return record.columns[name]
    except KeyError as error:
        raise FileFormatError(
            f"the table of this {record.kind} record lacks the column {name!r}: make the record again"
        ) from error
