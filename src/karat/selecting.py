"""Which samples to label next: those that score low, those that cover the set, or both."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ._version import version
from .catalog import direction_of
from .embeddings import Embeddings
from .errors import InputError, InputTypeError
from .joining import keys_of, listed, positions, prefixed
from .records import Provenance, Scores, Selection
from .stats.covering import farthest_first
from .stats.digest import digest_rows
from .stats.ranking import share_not_higher

Strategy = Literal["score", "diverse", "mixed"]
STRATEGIES = ("score", "diverse", "mixed")
# "mixed" chooses among so many times the budget of the lowest samples.
POOL = 5


def select(
    scores: Scores,
    *,
    budget: int = 500,
    embeddings: Embeddings | None = None,
    strategy: Strategy = "score",
    by: str = "q_score",
    seed: int = 0,
) -> Selection:
    """Propose samples to label next, the most wanted first.

    * `score`: the samples that score lowest. Equal ones in a random order (`seed`).
    * `diverse`: samples that cover the set, each the farthest from those chosen before (k-center greedy, see
      `karat.stats.farthest_first`); the score plays no part.
    * `mixed`: k-center greedy among the 5 * budget lowest, so that the hard samples are not all alike.

    Samples without a score are left out.

    Args:
        scores: a record with the score `by`.
        budget: how many, from 1 to the number of samples with a score.
        embeddings: of the samples (joined by id; more are allowed), for `diverse` and `mixed`; held in memory.
        strategy: "score", "diverse" or "mixed".
        by: name of a score; where low values are good (`softmax_entropy`) the highest are wanted.
        seed: of the order of equal scores.

    Returns:
        A `Selection`: `.ids` and `.reasons`, [budget].

    Raises:
        InputError: an unknown score or strategy, a budget out of range, no embeddings where they are needed, ids that
            are missing or occur twice.
        InputTypeError: embeddings of another type.

    Reference: Gonzalez 1985; Sener & Savarese, ICLR 2018 (core-set selection). The mix is ours.
    """
    _check(scores, strategy, by, embeddings)
    keys = keys_of(scores.ids, "scores")
    values = np.asarray(getattr(scores, by), np.float64)
    lowest = _lowest_first(direction_of(by) * values, seed)
    n = len(lowest)
    if not 1 <= budget <= n:
        raise InputError(f"budget is {budget}, but {n} samples have a score: a number from 1 to {n} is needed")
    pool = np.sort(lowest) if strategy == "diverse" else lowest[: POOL * budget]
    if embeddings is None or strategy == "score":
        chosen, distances = lowest[:budget], np.full(budget, np.nan)
    else:
        rows, distances = farthest_first(_rows_of(embeddings, keys[pool]), budget)
        chosen = pool[rows]
    inputs = prefixed(scores.provenance.inputs, "scores")
    if embeddings is not None:
        inputs["embeddings"] = digest_rows(embeddings.h)
    settings = {"budget": budget, "strategy": strategy, "by": by, "seed": seed}
    percentiles = share_not_higher(direction_of(by) * values)[chosen]
    columns = {"id": scores.ids[chosen], by: values[chosen], "percentile": percentiles, "distance": distances}
    return Selection(
        provenance=Provenance("select", settings, inputs, version()),
        n=n,
        budget=budget,
        strategy=strategy,
        by=by,
        columns=columns | {"reason": np.array(_reasons(strategy, by, percentiles, distances))},
        warnings=_warnings(values, strategy, by, budget),
    )


def _check(scores: Scores, strategy: str, by: str, embeddings: Any) -> None:
    if strategy not in STRATEGIES:
        raise InputError(f"strategy={strategy!r}, but one of {', '.join(STRATEGIES)} is needed")
    if by not in scores.names:
        raise InputError(f"there is no score {by!r}: choose from {', '.join(scores.names)}, or score it first")
    if embeddings is not None and not isinstance(embeddings, Embeddings):
        raise InputTypeError(f"embeddings is a {type(embeddings).__name__}, but Embeddings(h, ids=ids) are needed")
    if strategy == "score" and embeddings is not None:
        raise InputError("strategy='score' has no use for embeddings: leave them out, or choose 'diverse' or 'mixed'")
    if strategy != "score" and embeddings is None:
        raise InputError(f"strategy={strategy!r} needs the embeddings of the samples, to see which are alike")


def _lowest_first(values: np.ndarray, seed: int) -> np.ndarray:
    """The samples that have a score, the lowest first, equal ones in a random order."""
    scored = np.flatnonzero(~np.isnan(values))
    chance = np.random.default_rng(seed).random(len(values))[scored]
    return scored[np.lexsort((chance, values[scored]))]


def _rows_of(embeddings: Embeddings, wanted: np.ndarray) -> np.ndarray:
    """The rows of these ids, in this order: [m, d].

    Raises:
        InputError: ids that the embeddings do not have, or that occur twice.
    """
    place = positions(keys_of(embeddings.sample_ids, "embeddings"), wanted)
    if np.any(place < 0):
        missing = wanted[place < 0]
        raise InputError(f"{len(missing)} of {len(wanted)} samples are not in the embeddings ({listed(missing)})")
    return np.asarray(embeddings[place].h[0 : len(place)])


def _reasons(strategy: str, by: str, percentiles: np.ndarray, distances: np.ndarray) -> list[str]:
    """Why each was chosen, in words."""
    low = [f"{by} in the lowest {_percent(share)}" for share in percentiles.tolist()]
    if strategy == "score":
        return low
    far = ["nearest to the mean", *(f"{distance:.2f} from the nearest before" for distance in distances[1:].tolist())]
    return far if strategy == "diverse" else [f"{a}, {b}" for a, b in zip(low, far, strict=True)]


def _percent(share: float) -> str:
    return f"{share:.2%}" if share < 0.01 else f"{share:.1%}"


def _warnings(values: np.ndarray, strategy: str, by: str, budget: int) -> tuple[str, ...]:
    """Whether chance, and not the score, decided."""
    scored = values[~np.isnan(values)]
    lowest = scored.min() if direction_of(by) > 0 else scored.max()
    tied = int((scored == lowest).sum())
    limit = budget if strategy == "score" else POOL * budget
    if strategy == "diverse" or tied <= limit:
        return ()
    return (
        f"{tied:,} of {len(scored):,} samples share the lowest {by} ({lowest:g}): which of them were taken is chance; "
        "choose another score (by), or another strategy",
    )
