"""The kinds of records that judge: scores by a probe's errors, a selection of features, two encoders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from .kinds import UNKNOWN, Columns, Estimate, Numbers, Printed, Provenance, column_of
from .tabular import Tabular

# Below this, a difference is called significant (after Holm's correction where several are tested).
LEVEL = 0.05


@dataclass(frozen=True)
class PairedTest(Numbers):
    """Is the first better than the second on the same samples?

    Attributes:
        first, second: what is compared.
        difference: first minus second, with its paired bootstrap interval.
        p: two-sided, of no difference; NaN where it is not defined.
        p_holm: p corrected for all tests of the record (Holm 1979).
    """

    first: str
    second: str
    difference: Estimate
    p: float
    p_holm: float

    @property
    def sign(self) -> int:
        """+1 where the first is significantly better, -1 where the second is, 0 where neither."""
        return int(np.sign(self.difference.value)) if self.p_holm < LEVEL else 0


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
        spearman: rank correlation with the probe's loss of each sample; -1 is best; NaN where it is not known.
        r_auroc: AUROC with "the nearest neighbour is of the same class" in the place of "the probe is right"; NaN where
            no embeddings were given.
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
    spearman: Estimate = UNKNOWN
    r_auroc: Estimate = UNKNOWN


@dataclass(frozen=True)
class ClassEvaluation:
    """The samples of one class.

    Attributes:
        label: of the class, as text.
        n, errors: its samples, and how many of them the probe gets wrong.
        accuracy: share of them that it gets right.
        auroc: score -> AUROC among the samples of this class; NaN where too few are right or wrong.
    """

    label: str
    n: int
    errors: int
    accuracy: float
    auroc: dict[str, float]


@dataclass(frozen=True)
class Evaluation(Printed):
    """Do scores predict a probe's errors?

    Attributes:
        n: samples that are judged.
        accuracy: share of them that the probe gets right: the base rate of "correct".
        rows: one a score, those without labels first, each group by falling AUROC.
        tests: differences of AUROC between scores without labels: against q_score, and against the best of them.
        classes: each class apart.
        warnings: sentences: what not to trust.
    """

    kind: ClassVar[str] = "evaluation"
    provenance: Provenance
    n: int
    accuracy: float
    rows: tuple[ScoreEvaluation, ...]
    tests: tuple[PairedTest, ...] = ()
    classes: tuple[ClassEvaluation, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class CurvePoint:
    """The accuracy of a probe on k features that a method chose or made."""

    method: str
    keep: float
    k: int
    accuracy: Estimate


@dataclass(frozen=True)
class Compression(Printed):
    """Which features to keep, and what that costs. `embeddings[:, compression.mask]` is the reduced set.

    Attributes:
        n, d: samples and features that were looked at.
        keep, k: the share asked for, and the number of features that it comes to.
        epsilon: the threshold used.
        halves: whether signed features were split in halves to rank them.
        mask: the features kept, bool [d].
        order: all features, the most worth keeping first, int [d].
        share: activation share of each feature, [d]; of signed features the larger of the two halves.
        curve: accuracy of a probe by method and keep; empty where no validation set was given.
        tests: the selection against each control, and against all features, at the keep asked for.
        verdict: what the tests come to, in a sentence.
        warnings: sentences: what not to trust.
    """

    kind: ClassVar[str] = "compression"
    provenance: Provenance
    n: int
    d: int
    keep: float
    k: int
    epsilon: float
    halves: bool
    mask: np.ndarray = field(repr=False, compare=False)
    order: np.ndarray = field(repr=False, compare=False)
    share: np.ndarray = field(repr=False, compare=False)
    curve: tuple[CurvePoint, ...] = ()
    tests: tuple[PairedTest, ...] = ()
    verdict: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreShift(Numbers):
    """How much two encoders agree about the order of the samples.

    Attributes:
        score: its name.
        first, second: the encoders.
        n: samples that both score.
        spearman: rank correlation of the score between the two.
        lowest: share of the lowest tenth of one that is in the lowest tenth of the other; 0.1 = chance.
    """

    score: str
    first: str
    second: str
    n: int
    spearman: Estimate
    lowest: float


@dataclass(frozen=True)
class ProbeShift(Numbers):
    """Two probes on the same samples.

    Attributes:
        first, second: the encoders.
        n: samples that both judged.
        accuracy_first, accuracy_second: on these.
        difference: second minus first, with its paired bootstrap interval.
        gained, lost: samples that only the second, only the first gets right.
        p: of no difference (McNemar's exact test, two-sided).
    """

    first: str
    second: str
    n: int
    accuracy_first: float
    accuracy_second: float
    difference: Estimate
    gained: int
    lost: int
    p: float


@dataclass(frozen=True)
class Comparison(Printed, Tabular):
    """Encoders on the same images: the first one and the others, each against the first.

    Attributes:
        names: of the encoders.
        widths: features of each; NaN where its embeddings are not known.
        metrics: name -> its value for each encoder; NaN where it is not known.
        shifts: of each score that two of them have.
        probes: of each pair that has probes.
        columns: id; percentile of the score `by` in each encoder; the change of the probe's verdict between the first
            and each other ("gained", "lost", "right", "wrong", "" where one of them did not judge).
        by: that score.
        warnings: sentences: what is missing or must not be compared.
    """

    kind: ClassVar[str] = "comparison"
    provenance: Provenance
    names: tuple[str, ...]
    widths: tuple[float, ...]
    metrics: dict[str, tuple[float, ...]]
    shifts: tuple[ScoreShift, ...]
    probes: tuple[ProbeShift, ...]
    by: str
    columns: Columns = field(repr=False, compare=False)
    warnings: tuple[str, ...] = ()

    @property
    def ids(self) -> np.ndarray:
        """The samples' ids, [n]."""
        return column_of(self, "id")
