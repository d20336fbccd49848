"""Numbers of a whole set of embeddings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from ._array import Rows
from ._version import version
from .catalog import metric_names, metrics_left_out
from .embeddings import Embeddings, LazyRows, as_embeddings
from .errors import InputError, KaratWarning
from .health import Tally, WatchedRows
from .records import Curve, Metrics, Provenance
from .sink import Distribution
from .stats.activations import refuse_bad
from .stats.digest import Digest, digest_rows
from .stats.discriminative import Over
from .stats.halves import Halves
from .stats.panel import PAIR_METRICS, UNDEFINED, Values, pair_metrics, spectral_metrics, view_metrics
from .stats.qscore import score_chunks
from .stats.reference import Reference, fit_reference
from .stats.threads import thread_count
from .views import ViewSet, view_set

# A curve has the metric at n divided by these, and at n.
_PARTS = (16, 8, 4, 2)


def measure(
    embeddings: Any,
    *,
    reference: Any = None,
    views: Any = None,
    metrics: str | Sequence[str] = "quick",
    epsilon: float | Literal["auto"] = 4.0,
    lower: float = 50,
    upper: float = 95,
    over: Over = "active",
    normalize: bool = False,
    halves: Halves = "auto",
    sample: int = 5000,
    convergence: bool = False,
    seed: int = 0,
    threads: int | None = None,
) -> Metrics:
    """Metrics of a whole representation: of its Q-Scores, spectrum and geometry; `karat catalog` lists them.

    Each is also a function, `karat.stats.NAME`: its docstring has the formula, the conventions, and what it is for odd
    sets. Here they have their defaults.

    What it costs: the Q-Scores one pass at the speed of memory; the spectrum another, with n d^2 / 2 products, and
    decompositions of d^3 (50,000 x 2,048: 12 seconds of one processor; a million rows: two and a half minutes), with
    memory for a few [d, d] matrices; `coherence` twice as much again. Metrics of pairs take seconds on the sample.
    Views cost what the spectrum of as many rows does.

    Args:
        embeddings: Embeddings, or any array-like [n, d].
        reference: the set that the discriminative features are fitted on; None: the embeddings themselves.
        views: augmented views of images, for `alignment` and `lidar`: an array [n images, v views, d], or Embeddings in
            which the rows of one id are the views of one image. They need not be images of `embeddings`.
        metrics: "quick": without those that take a second pass or k-means (coherence, CLID); "all"; or names.
        epsilon, lower, upper, over, normalize, halves: see `karat.score`.
        sample: rows, drawn at random, that metrics of pairs are computed on: uniformity, self_clustering, CLID.
        convergence: compute each metric on random n / 16, n / 8, n / 4 and n / 2 rows (or images) too: twice the time.
        seed: of epsilon="auto", the sample, the subsets and k-means.
        threads: how many to use.

    Returns:
        A `Metrics` record: `.values` maps names to numbers, `.left_out` what was not computed to what it needs,
        `.curves` names to their values on the subsets; `.spectrum` is the share of the variance along each direction.

    Raises:
        InputError: unusable embeddings, views or parameters, rows that are not finite.

    >>> import numpy as np
    >>> round(measure(np.eye(32)).values["effective_rank"], 3)
    32.0

    Reference: Kalibhat et al., AAAI 2024; of the others see the catalogue.
    """
    emb = as_embeddings(embeddings)
    ref = emb if reference is None else as_embeddings(reference)
    given = None if views is None else view_set(views, d=emb.d)
    names = metric_names(metrics, views=given is not None)
    if sample < 2:
        raise InputError(f"sample is {sample}, but at least two rows are needed: some metrics are of pairs")
    settings: dict[str, Any] = {"epsilon": epsilon, "lower": lower, "upper": upper, "over": over}
    settings |= {"normalize": normalize, "halves": halves, "seed": seed}
    own = reference is None
    fitted = fit_reference(ref.h, **settings, threads=threads, ids=ref.ids, name="h" if own else "reference")
    digest, rows, tally = Digest((emb.n, emb.d), emb.dtype), WatchedRows(emb.h), Tally()
    scored = _q_metrics(rows, fitted, threads, digest=digest, tally=tally, ids=emb.ids)
    with threadpool_limits(thread_count(threads)):
        spectral = spectral_metrics(emb.h, names)
        at = partial(_whole_metrics, emb.h, names, fitted, own=own, threads=threads)
        groups = [_Group(scored | spectral.values, emb.n, at), *_groups_of_pairs(emb, names, sample, seed)]
        groups += [] if given is None else [_group_of_views(given, names)]
        values = {name: value for group in groups for name, value in group.values.items()}
        curves = {name: curve for group in groups * convergence for name, curve in group.curves(seed).items()}
    used = {"epsilon_used": fitted.epsilon, "halves_used": fitted.halves, "sample_used": min(sample, emb.n)}
    asked = {"metrics": list(names), **settings, "sample": sample, "convergence": convergence}
    inputs = {"embeddings": digest.hexdigest(), "reference": fitted.digest}
    inputs |= {} if given is None else {"views": digest_rows(given.embeddings.h)}
    return Metrics(
        provenance=Provenance("measure", asked | used, inputs, version()),
        n=emb.n,
        d=emb.d,
        values={name: values[name] for name in names},
        warnings=(*tally.health(rows, fitted).warnings, *_warnings(emb, names, values, spectral.rank)),
        left_out=metrics_left_out(metrics, views=given is not None),
        curves={name: curves[name] for name in names if name in curves},
        spectrum=tuple(spectral.shares.tolist()),
    )


@dataclass(frozen=True)
class _Group:
    """Metrics of the same n samples or images, and how they come out on some of these."""

    values: Values
    n: int
    values_at: Callable[[np.ndarray], Values]
    of: str = "samples"

    def curves(self, seed: int) -> dict[str, Curve]:
        """Each metric on growing random subsets; the last value is that of all."""
        order = np.random.default_rng(seed).permutation(self.n)
        sizes = sorted({self.n // parts for parts in _PARTS if self.n // parts >= 2})
        found = [self.values_at(np.sort(order[:size])) for size in sizes]
        return {
            name: Curve((*sizes, self.n), (*(values[name] for values in found), value), self.of)
            for name, value in self.values.items()
        }


class _Chosen(LazyRows):
    """Some rows of a matrix, in rising order; read where they lie."""

    def __init__(self, source: Rows, rows: np.ndarray) -> None:
        self._source, self._rows = source, rows
        super().__init__((len(rows), source.shape[1]), source.dtype)

    def _read(self, start: int, stop: int) -> np.ndarray:
        rows = self._rows[start:stop]
        return np.asarray(self._source[int(rows[0]) : int(rows[-1]) + 1])[rows - rows[0]]


def _q_metrics(
    h: Any,
    fitted: Reference,
    threads: int | None,
    *,
    digest: Digest | None = None,
    tally: Tally | None = None,
    ids: np.ndarray | None = None,
) -> Values:
    """Mean and spread of the Q-Scores, and the share that is empty, in one pass, which may feed a digest and a tally.

    Raises:
        InputError: another number of features than the reference, or rows that are not finite.
    """
    q, empty, start = Distribution(h.shape[0]), 0, 0
    for found, scores in score_chunks(h, fitted, threads=threads, digest=digest):
        refuse_bad(found.bad, start, ids)
        stop = start + len(found)
        q.add(start, scores.q_score)
        empty += int((scores.discriminative == 0).sum())
        if tally is not None:
            tally.add(found, scores, np.arange(start, stop))
        start = stop
    summary = q.summary()
    return {"mean_q": summary.mean, "std_q": summary.std, "empty_share": empty / h.shape[0]}


def _groups_of_pairs(emb: Embeddings, names: Sequence[str], size: int, seed: int) -> Iterator[_Group]:
    """Metrics of pairs, on at most so many rows, which are drawn at random and held in memory."""
    if not set(PAIR_METRICS) & set(names):
        return
    if emb.n <= size:
        near = np.asarray(emb.h[0 : emb.n])
    else:
        near = np.asarray(emb[np.sort(np.random.default_rng(seed).choice(emb.n, size, replace=False))].h)
    yield _Group(
        pair_metrics(near, names, seed=seed), len(near), lambda chosen: pair_metrics(near[chosen], names, seed=seed)
    )


def _group_of_views(views: ViewSet, names: Sequence[str]) -> _Group:
    return _Group(
        view_metrics(views, names), views.shape[0], lambda chosen: view_metrics(views.take(chosen), names), "images"
    )


def _whole_metrics(
    h: Rows, names: Sequence[str], fitted: Reference, rows: np.ndarray, *, own: bool, threads: int | None
) -> Values:
    """The metrics of some rows that no sample is taken for; a set that is its own reference is so again.

    The threshold, and whether features are halved, are those of the whole set.
    """
    chosen = _Chosen(h, rows)
    if own:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KaratWarning)  # what was said of the whole set
            fitted = fit_reference(
                chosen,
                epsilon=fitted.epsilon,
                lower=fitted.lower,
                upper=fitted.upper,
                over=fitted.over,
                normalize=fitted.normalize,
                halves=fitted.halves,
                threads=threads,
            )
    return _q_metrics(chosen, fitted, threads) | spectral_metrics(chosen, names).values


def _warnings(emb: Embeddings, names: Sequence[str], values: Values, rank: int | None) -> Iterator[str]:
    """What is undefined, and what the shape of the set does to the numbers."""
    reasons: dict[str, list[str]] = {}
    for name in names:
        if math.isnan(values[name]):
            reasons.setdefault(UNDEFINED[name], []).append(name)
    for reason, undefined in reasons.items():
        yield f"{', '.join(undefined)} {'is' if len(undefined) == 1 else 'are'} undefined for this set: {reason}."
    if rank is None:
        return
    if emb.n < emb.d:
        yield (
            f"there are fewer samples ({emb.n:,}) than features ({emb.d:,}), so that no more than {emb.n:,} directions "
            "can show: give more samples, and look at --convergence."
        )
    if 0 < rank < min(emb.n, emb.d) and ("condition" in names or "coherence" in names):
        yield (
            f"h has rank {rank:,}, of {min(emb.n, emb.d):,} possible: condition and coherence are those of {rank:,} "
            "directions."
        )
