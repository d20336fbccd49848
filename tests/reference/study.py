"""The bootstrap of a study over seeds and validation samples, written out."""

from __future__ import annotations

import numpy as np


def difference(
    first: list[list[float]], second: list[list[float]], *, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Mean of `first` minus mean of `second` ([seeds][samples] each), and the 2.5% and 97.5% quantiles of it.

    Each resample draws n samples, the same for all seeds of both arms, and then m of the m seeds, the same in both.
    """
    m, n = len(first), len(first[0])
    samples = np.random.default_rng(seed).integers(n, size=(resamples, n))
    members = np.random.default_rng([seed, m]).integers(m, size=(m, resamples))
    found = []
    for resample in range(resamples):
        total = 0.0
        for place in range(m):
            member = members[place][resample]
            for sample in samples[resample]:
                total += first[member][sample] - second[member][sample]
        found.append(total / (m * n))
    value = sum(sum(row) for row in first) / (m * n) - sum(sum(row) for row in second) / (m * n)
    low, high = np.quantile(found, [0.025, 0.975])
    return value, float(low), float(high)
