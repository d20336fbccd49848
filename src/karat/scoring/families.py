"""Scores that need a second reading of the samples, in families that share what is fitted or compared."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._array import Rows, as_float
from ..errors import InputError, KaratWarning
from ..stats._blocks import column_means
from ..stats.neighbors import Neighborhood, last_distance, mean_similarity, unit_rows
from ..stats.profile import entropy_of
from ..stats.qscore import score_chunks
from ..stats.reference import Reference, fit_reference
from .joined import Companions
from .needs import PLACED, SETTINGS

if TYPE_CHECKING:
    from ..stats.landmarks import Landmarks, Nearest

Names = frozenset[str]
Values = dict[str, np.ndarray]
# (finite samples [m, d], their numbers [m]) -> name -> scores [m]; NaN where a sample lacks something
Family = Callable[[np.ndarray, np.ndarray], Values]


@dataclass(frozen=True)
class Sources:
    """What the scores are computed from.

    Attributes:
        h: the samples, [n, d].
        reference: rows of the reference; None: h is its own.
        fitted: discriminative features of the reference.
        joined: views, and other encoders.
        seed: of samples, k-means and decompositions.
        drop: pass over rows that are not finite.
        threads: how many the kernel uses.
    """

    h: Rows
    reference: Rows | None
    fitted: Reference
    joined: Companions
    seed: int
    drop: bool
    threads: int | None


def families(sources: Sources, names: Names) -> Iterator[Family]:
    """Fit what the scores need, and what several need once; libraries are loaded only where they are used."""
    if "q_score_halves" in names and not sources.fitted.halves:
        yield _q_of_halves(sources)
    if "feature_entropy" in names:
        yield lambda rows, _: {"feature_entropy": entropy_of(rows)}
    if names & {"knn_similarity", "knn_distance"}:
        yield _nearby(sources, names)
    if names & {*PLACED, "mahalanobis_distance", "mixture_likelihood"}:
        yield from _projected(sources, names)
    if names & {"neighborhood_consistency", "ensemble_distance", "ensemble_variance", "ensemble_likelihood"}:
        yield _of_ensemble(sources, names)
    if names & {"view_agreement", "view_similarity"}:
        yield _of_views(sources, names)


def _q_of_halves(sources: Sources) -> Family:
    """The Q-Score of the features in halves, at the threshold that was used for the features as they are."""
    used = sources.fitted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KaratWarning)  # what was said of the features as they are
        fitted = fit_reference(
            sources.h if sources.reference is None else sources.reference,
            epsilon=used.epsilon,
            lower=used.lower,
            upper=used.upper,
            over=used.over,
            normalize=used.normalize,
            halves=True,
            drop_bad=sources.drop,
            threads=sources.threads,
            hashed=False,
        )

    def family(rows: np.ndarray, _: np.ndarray) -> Values:
        parts = [scores.q_score for _, scores in score_chunks(rows, fitted, threads=sources.threads)]
        return {"q_score_halves": np.concatenate(parts)}

    return family


def _nearby(sources: Sources, names: Names) -> Family:
    near = Neighborhood.of(sources.h, sources.reference, drop=sources.drop, **SETTINGS["knn_similarity"])
    measures = {"knn_similarity": mean_similarity, "knn_distance": last_distance}

    def family(rows: np.ndarray, numbers: np.ndarray) -> Values:
        similarity = near(rows, numbers)
        return {name: measure(similarity) for name, measure in measures.items() if name in names}

    return family


def _projected(sources: Sources, names: Names) -> Iterator[Family]:
    """Scores in the space of the reference's principal components, which are fitted once."""
    from ..stats.density import Mixture, distance_of
    from ..stats.landmarks import Landmarks
    from ..stats.projection import Projection

    rows, name = (sources.h, "h") if sources.reference is None else (sources.reference, "reference")
    space = SETTINGS["mahalanobis_distance"]
    projection = Projection.of(
        rows,
        dimensions=space["dimensions"],
        limit=space["fitted_rows"],
        seed=sources.seed,
        name=name,
        drop=sources.drop,
    )
    if "mahalanobis_distance" in names:
        yield lambda rows, _: {"mahalanobis_distance": distance_of(projection, rows)}
    if "mixture_likelihood" in names:
        components = SETTINGS["mixture_likelihood"]["components"]
        mixture = Mixture.of(projection, components=components, seed=sources.seed)
        yield lambda rows, _: {"mixture_likelihood": mixture(rows)}
    if names & set(PLACED):
        yield _placed(Landmarks.of(projection, own=sources.reference is None), names, sources.seed)


def _placed(landmarks: Landmarks, names: Names, seed: int) -> Family:
    """Scores of where a sample lies among the landmarks; its neighbours are looked for once."""
    from ..stats.clustering import Clustering, disagreement
    from ..stats.graph import Communities

    measures: dict[str, Callable[[Nearest], np.ndarray]] = {
        "whitened_similarity": lambda near: mean_similarity(near.similarity),
        "neighbor_coherence": landmarks.coherence,
    }
    if "graph_spectral_norm" in names:
        settings = SETTINGS["graph_spectral_norm"]
        arguments = {name: settings[name] for name in ("k", "components", "temperature")}
        measures["graph_spectral_norm"] = Communities.of(landmarks, **arguments, seed=seed).norm
    if "vote_entropy" in names:
        numbers = SETTINGS["vote_entropy"]["clusters"]
        votes = [Clustering.of(landmarks, clusters=number, seed=seed) for number in numbers]
        measures["vote_entropy"] = lambda near: disagreement(votes, near)
    clusters = SETTINGS["cluster_margin"]["clusters"]
    centers = Clustering.of(landmarks, clusters=clusters, seed=seed) if "cluster_margin" in names else None
    wanted = {name: measure for name, measure in measures.items() if name in names}

    def family(rows: np.ndarray, numbers: np.ndarray) -> Values:
        placed = landmarks.place(rows)
        found = {} if centers is None else {"cluster_margin": centers.margin(placed)}
        if wanted:
            near = landmarks.nearest(placed, numbers, k=SETTINGS["whitened_similarity"]["k"])
            found |= {name: measure(near) for name, measure in wanted.items()}
        return found

    return family


def _of_ensemble(sources: Sources, names: Names) -> Family:
    """Scores from several encoders; each block of samples is read from all of them."""
    from ..stats import ensemble

    others = sources.joined.ensemble
    titles = ("h", *(f"ensemble[{e}]" for e in range(len(others))))
    members = ensemble.Members((sources.h, *others), titles, drop=sources.drop)
    anchors = mixtures = None
    if names & {"neighborhood_consistency", "ensemble_distance"}:
        settings = SETTINGS["neighborhood_consistency"]
        anchors = ensemble.Anchors.of(
            members, k=settings["k"], limit=settings["anchors"], center=settings["center"], seed=sources.seed
        )
    if "ensemble_likelihood" in names:
        settings = SETTINGS["ensemble_likelihood"]
        arguments = {name: settings[name] for name in ("components", "dimensions")}
        mixtures = ensemble.mixtures_of(members, **arguments, seed=sources.seed)

    def family(_: np.ndarray, numbers: np.ndarray) -> Values:
        known, rows = members(numbers)
        found: Values = {}
        if not len(known):
            return found
        if anchors is not None:
            near = anchors(rows, known)
            found["neighborhood_consistency"] = ensemble.consistency_of(near)
            found["ensemble_distance"] = ensemble.distance_of(near)
        if "ensemble_variance" in names:
            found["ensemble_variance"] = ensemble.variance_of(rows)
        if mixtures is not None:
            found["ensemble_likelihood"] = ensemble.likelihood_of(mixtures, rows)
        return {name: _spread(values, np.isin(numbers, known)) for name, values in found.items() if name in names}

    return family


def _of_views(sources: Sources, names: Names) -> Family:
    """Scores from augmented views; those of a block of samples are read together."""
    from ..stats.agreement import agreement_of, directions_of, similarity_of

    views, image = sources.joined.views, sources.joined.image
    if views is None:
        raise InputError("views are needed: give augmented views of the samples")
    means = column_means(views.embeddings.h)

    def family(rows: np.ndarray, numbers: np.ndarray) -> Values:
        known = image[numbers] >= 0
        block = as_float(views.take(image[numbers[known]])[0 : int(known.sum())])  # [m, v, d]
        finite = np.isfinite(block).all(axis=(1, 2))
        if not finite.all() and not sources.drop:
            bad = ", ".join(map(str, numbers[known][~finite][:5]))
            raise InputError(f"views contains NaN or infinity, first in views of samples {bad}: remove these samples")
        known[known] = finite
        unit = directions_of(block[finite], means)
        found = {
            "view_agreement": agreement_of(unit),
            "view_similarity": similarity_of(unit_rows(rows[known], means), unit),
        }
        return {name: _spread(values, known) for name, values in found.items() if name in names}

    return family


def _spread(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values of the samples that are known, NaN for the others: [k] -> [m]."""
    column = np.full(len(known), np.nan)
    column[known] = values
    return column
