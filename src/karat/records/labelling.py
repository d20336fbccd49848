"""The kinds of records about labels: what few of them tell of all samples, and which to ask for next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from .kinds import Columns, Estimate, Printed, Provenance, column_of
from .tabular import Tabular


@dataclass(frozen=True)
class ReliabilityBin:
    """Samples of about the same predicted P(misclassified).

    Attributes:
        n: how many.
        predicted: their mean prediction.
        observed: share of them that is misclassified, with Wilson's 95% interval.
    """

    n: int
    predicted: float
    observed: Estimate


@dataclass(frozen=True)
class Calibration(Printed, Tabular):
    """P(misclassified) of each sample, learned from few labelled ones.

    Attributes:
        n, n_labelled: samples with a prediction, and those whose outcome was known.
        using, method: the scores it rests on, and how.
        error_rate: share of the labelled samples that is misclassified.
        ece: expected calibration error over the bins of `reliability`; 0 = calibrated.
        ece_by_chance: what a perfectly calibrated prediction would show on as many samples, on average.
        brier: mean squared difference between prediction and outcome; lower is better.
        brier_of_base_rate: that of predicting the error rate for every sample.
        auroc: of the predictions, wrong as the positive class.
        reliability: predicted against observed, in bins.
        columns: id, p_wrong (the prediction), labelled (its prediction is then cross-fitted).
        warnings: sentences: what not to trust.
    """

    kind: ClassVar[str] = "calibration"
    provenance: Provenance
    n: int
    n_labelled: int
    using: tuple[str, ...]
    method: str
    error_rate: float
    ece: Estimate
    ece_by_chance: float
    brier: Estimate
    brier_of_base_rate: float
    auroc: Estimate
    reliability: tuple[ReliabilityBin, ...]
    columns: Columns = field(repr=False, compare=False)
    warnings: tuple[str, ...] = ()

    @property
    def ids(self) -> np.ndarray:
        """The samples' ids, [n]."""
        return column_of(self, "id")

    @property
    def p_wrong(self) -> np.ndarray:
        """P(misclassified), [n], from 0 to 1; NaN for samples without a score."""
        return column_of(self, "p_wrong")


@dataclass(frozen=True)
class Selection(Printed, Tabular):
    """Which samples to label next, the most wanted first.

    Attributes:
        n: samples to choose from.
        budget: samples chosen.
        strategy, by: how, and by which score.
        columns: id, the score, percentile (share of samples with a lower or equal score), distance (to the nearest
            sample chosen before; NaN where distances play no part), reason; [budget].
        warnings: sentences: what not to trust.
    """

    kind: ClassVar[str] = "selection"
    provenance: Provenance
    n: int
    budget: int
    strategy: str
    by: str
    columns: Columns = field(repr=False, compare=False)
    warnings: tuple[str, ...] = ()

    @property
    def ids(self) -> np.ndarray:
        """The chosen samples' ids, [budget]."""
        return column_of(self, "id")

    @property
    def reasons(self) -> np.ndarray:
        """Why each was chosen, [budget]."""
        return column_of(self, "reason")
