"""Numbers of a whole set of embeddings."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ._version import version
from .embeddings import as_embeddings
from .health import Tally, WatchedRows
from .records import Metrics, Provenance
from .stats.activations import refuse_bad
from .stats.digest import Digest
from .stats.discriminative import Over
from .stats.halves import Halves
from .stats.qscore import score_chunks
from .stats.reference import fit_reference
from .stats.spectrum import effective_rank


def measure(
    embeddings: Any,
    *,
    reference: Any = None,
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    seed: int = 0,
    threads: int | None = None,
) -> Metrics:
    """Metrics of a whole representation: mean Q-Score, share of empty samples, effective rank.

    Args:
        embeddings: Embeddings, or any array-like [n, d].
        reference: the set that the discriminative features are fitted on; None: the embeddings themselves.
        epsilon, lower, upper, over, normalize, halves, seed: see `karat.score`.
        threads: how many to use.

    Returns:
        A `Metrics` record; `.values` has mean_q (>= 0, in the unit of h), empty_share (0 to 1, lower is better) and
        effective_rank (1 to min(n, d), higher is better).

    Raises:
        InputError: unusable embeddings or parameters, rows that are not finite.

    >>> import numpy as np
    >>> round(measure(np.eye(32)).values["effective_rank"], 3)
    32.0

    Reference: Kalibhat et al., AAAI 2024; Garrido et al., ICML 2023 (effective rank).
    """
    emb = as_embeddings(embeddings)
    ref = emb if reference is None else as_embeddings(reference)
    settings: dict[str, Any] = {"epsilon": epsilon, "lower": lower, "upper": upper, "over": over}
    settings |= {"normalize": normalize, "halves": halves, "seed": seed}
    fitted = fit_reference(
        ref.h, **settings, threads=threads, ids=ref.ids, name="h" if reference is None else "reference"
    )
    digest = Digest((emb.n, emb.d), emb.dtype)
    rows, tally, total, start = WatchedRows(emb.h), Tally(), 0.0, 0
    for found, scores in score_chunks(rows, fitted, threads=threads, digest=digest):
        refuse_bad(found.bad, start, emb.ids)
        tally.add(found, scores, np.arange(start, start + len(found)))
        total += float(np.sum(scores.q_score))
        start += len(found)
    health = tally.health(rows, fitted)
    return Metrics(
        provenance=Provenance(
            "measure",
            {**settings, "epsilon_used": fitted.epsilon, "halves_used": fitted.halves},
            {"embeddings": digest.hexdigest(), "reference": fitted.digest},
            version(),
        ),
        n=emb.n,
        d=emb.d,
        values={"mean_q": total / emb.n, "empty_share": health.empty_share, "effective_rank": effective_rank(emb.h)},
        warnings=health.warnings,
    )
