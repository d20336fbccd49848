"""Two or more encoders, or checkpoints, on the same images: metrics side by side, and which samples moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .._version import version
from ..catalog import direction_of
from ..errors import InputError
from ..joining import keys_of, listed, positions, prefixed, shared
from ..measuring import measure
from ..records import Comparison, Estimate, Metrics, ProbeShift, Provenance, ScoreShift
from ..records.kinds import column_of
from ..stats.bootstrap import resampled_means
from ..stats.correlation import resampled_spearman
from ..stats.ranking import share_not_higher
from ..stats.shifts import lowest_overlap, mcnemar
from .sides import Side, sides

__all__ = ["compare"]

# Metrics in the unit of h, which two encoders do not share.
_IN_UNITS = ("mean_q", "std_q")


def compare(
    first: Any,
    second: Any,
    *others: Any,
    names: Sequence[str] | None = None,
    by: str = "q_score",
    seed: int = 0,
    resamples: int = 1000,
) -> Comparison:
    """What two or more encoders make of the same images; each is set against the first.

    Samples join by id, and only those that both have count.

    * Metrics stand side by side: measured on the shared samples where an encoder's embeddings are known, else those of
      its metrics record. Those in the unit of h (`mean_q`, `std_q`) are left out: two encoders do not share it.
    * Scores are compared by rank alone: Spearman's correlation, and how much of the lowest tenth is the same.
    * Probes: which samples were gained (right with the other encoder only) and lost, McNemar's exact test, and the
      difference in accuracy with its paired bootstrap interval.

    Args:
        first, second, others: for each encoder its run (a path, or opened), or one or several (as a tuple) of
            Embeddings, Scores, a ProbeResult and Metrics. Embeddings without scores are scored by default.
        names: one for each encoder; by default the names of their runs' folders.
        by: the score whose percentiles are in the table.
        seed, resamples: of the bootstrap.

    Returns:
        A `Comparison`: `.metrics`, `.shifts`, `.probes`, and one row a sample in `.columns`.

    Raises:
        InputError: fewer than two encoders, no shared samples, ids that occur twice, no part that two of them have.
        InputTypeError: something that is no encoder.
        FileFormatError: a path that is no run.

    Reference: McNemar 1947. The rest is ours.
    """
    encoders = sides([first, second, *others], names)
    base, rest = encoders[0], encoders[1:]
    keys = _shared_keys(encoders)
    shifts = [shift for other in rest for shift in _score_shifts(base, other, resamples=resamples, seed=seed)]
    probes = [shift for other in rest for shift in _probe_shift(base, other, resamples=resamples, seed=seed)]
    measured = [_metrics(encoder, keys) for encoder in encoders]
    if not (shifts or probes or sum(found is not None for found in measured) > 1):
        raise InputError(
            f"{' and '.join(side.name for side in encoders)} have no part in common that could be compared"
        )
    inputs = {name: digest for side in encoders for name, digest in prefixed(side.inputs, side.name).items()}
    return Comparison(
        provenance=Provenance("compare", {"by": by, "seed": seed, "resamples": resamples}, inputs, version()),
        names=tuple(side.name for side in encoders),
        widths=tuple(_width(side) for side in encoders),
        metrics=_side_by_side(measured),
        shifts=tuple(shifts),
        probes=tuple(probes),
        by=by,
        columns=_columns(encoders, keys, by),
        warnings=tuple(_warnings(encoders, measured, keys)),
    )


def _shared_keys(encoders: Sequence[Side]) -> np.ndarray:
    """The ids that all have whose samples are known.

    Raises:
        InputError: there is none.
    """
    known = {side.name: side.keys for side in encoders}
    keys = {name: found for name, found in known.items() if found is not None}
    if not keys:
        return np.array([], np.str_)
    common = shared(keys.values())
    if not len(common):
        examples = "; ".join(f"{name}: {listed(found)}" for name, found in keys.items())
        raise InputError(f"the encoders have no sample in common ({examples}): samples join by id")
    return common


def _score_shifts(first: Side, second: Side, *, resamples: int, seed: int) -> Iterator[ScoreShift]:
    """Of each score that both have, over the samples that both score."""
    if first.scores is None or second.scores is None:
        return
    ids = [keys_of(side.scores.ids, f"scores of {side.name}") for side in (first, second) if side.scores is not None]
    keys = shared(ids)
    for name in first.scores.names:
        if name not in second.scores.names or name == "random":
            continue
        pair = [
            direction_of(name) * np.asarray(getattr(scores, name), np.float64)[positions(own, keys)]
            for scores, own in zip((first.scores, second.scores), ids, strict=True)
        ]
        both = ~np.isnan(pair).any(axis=0)
        if both.any():
            a, b = (values[both] for values in pair)
            (spearman,) = resampled_spearman([a], b, resamples=resamples, seed=seed)
            estimate = Estimate(*spearman.interval())
            yield ScoreShift(name, first.name, second.name, int(both.sum()), estimate, lowest_overlap(a, b))


def _probe_shift(first: Side, second: Side, *, resamples: int, seed: int) -> Iterator[ProbeShift]:
    """Of the samples that both probes judged; nothing where there is none."""
    if first.probe is None or second.probe is None:
        return
    _, before, after = _verdicts(first, second)
    if not len(before):
        return
    means = resampled_means(np.stack([before, after]), resamples=resamples, seed=seed)
    found = mcnemar(before, after)
    yield ProbeShift(
        first=first.name,
        second=second.name,
        n=len(before),
        accuracy_first=means[0].value,
        accuracy_second=means[1].value,
        difference=Estimate(*(means[1] - means[0]).interval()),
        gained=found.gained,
        lost=found.lost,
        p=found.p,
    )


def _verdicts(first: Side, second: Side) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids that both probes judged, and whether each is right: [m], bool [m], bool [m]."""
    if first.probe is None or second.probe is None:
        return np.array([], np.str_), np.array([], bool), np.array([], bool)
    ids = [keys_of(probe.ids, "probe") for probe in (first.probe, second.probe)]
    keys = shared(ids)
    before, after = (
        np.asarray(probe.correct, bool)[positions(own, keys)]
        for probe, own in zip((first.probe, second.probe), ids, strict=True)
    )
    return keys, before, after


def _metrics(side: Side, keys: np.ndarray) -> Metrics | None:
    """Of the shared samples where the embeddings are known, else as they were recorded."""
    if side.embeddings is None:
        return side.metrics
    place = positions(keys_of(side.embeddings.sample_ids, f"embeddings of {side.name}"), keys)
    whole = np.array_equal(place, np.arange(side.embeddings.n))
    if np.any(place < 0):
        return side.metrics
    return measure(side.embeddings if whole else side.embeddings[place])


def _side_by_side(measured: Sequence[Metrics | None]) -> dict[str, tuple[float, ...]]:
    """name -> a value for each encoder, NaN where it is not known; without those in the unit of h."""
    known = [found for found in measured if found is not None]
    if len(known) < 2:
        return {}
    names = dict.fromkeys(name for found in known for name in found.values if name not in _IN_UNITS)
    return {
        name: tuple(math.nan if found is None else found.values.get(name, math.nan) for found in measured)
        for name in names
    }


def _width(side: Side) -> float:
    """Features of the encoder; NaN where that is not known."""
    if side.embeddings is not None:
        return float(side.embeddings.d)
    if side.scores is not None:
        return float(side.scores.health.d)
    return math.nan if side.metrics is None else float(side.metrics.d)


def _columns(encoders: Sequence[Side], keys: np.ndarray, by: str) -> dict[str, np.ndarray]:
    """One row a shared sample: its percentile with each encoder, and how the verdict of each other probe changed.

    Raises:
        InputError: no encoder has the score `by`.
    """
    scored = [side for side in encoders if side.scores is not None]
    if scored and not any(by in side.scores.names for side in scored if side.scores is not None):
        known = dict.fromkeys(name for side in scored if side.scores is not None for name in side.scores.names)
        raise InputError(f"no encoder has the score {by!r}: choose from {', '.join(known)}")
    columns = {"id": keys}
    columns |= {f"percentile:{side.name}": _percentiles(side, keys, by) for side in encoders}
    return columns | {f"change:{other.name}": _changes(encoders[0], other, keys) for other in encoders[1:]}


def _percentiles(side: Side, keys: np.ndarray, by: str) -> np.ndarray:
    """Share of the shared samples that score no higher, turned so that high is good; NaN where that is not known."""
    if side.scores is None or by not in side.scores.names:
        return np.full(len(keys), np.nan)
    place = positions(keys_of(side.scores.ids, f"scores of {side.name}"), keys)
    values = direction_of(by) * np.asarray(getattr(side.scores, by), np.float64)[place]
    return share_not_higher(values)


def _changes(first: Side, second: Side, keys: np.ndarray) -> np.ndarray:
    """ "gained", "lost", "right" or "wrong" (with both), or "" where one of them did not judge, [n]."""
    judged, before, after = _verdicts(first, second)
    words = np.array([["wrong", "gained"], ["lost", "right"]])[before.astype(int), after.astype(int)]
    if not len(judged):
        return np.full(len(keys), "")
    place = positions(judged, keys)
    return np.where(place < 0, "", words[place])


def _warnings(encoders: Sequence[Side], measured: Sequence[Metrics | None], keys: np.ndarray) -> Iterator[str]:
    """What is missing, and what must not be compared."""
    for side, found in zip(encoders, measured, strict=True):
        yield from side.notes
        own = side.keys
        if own is not None and len(keys) < len(own):
            yield f"{len(keys):,} of the {len(own):,} samples of {side.name} are shared: the others were left out"
        missing = {"scores": side.scores, "probe": side.probe, "metrics, nor embeddings to measure": found}
        lacking = [part for part, value in missing.items() if value is None]
        if lacking:
            yield f"{side.name} has no {', no '.join(lacking)}: there it cannot be compared"
        if found is not None and found.n != len(keys) and len(keys):
            yield f"the metrics of {side.name} are of {found.n:,} samples, not of the {len(keys):,} shared ones"
    for other in encoders[1:]:
        yield from _label_warning(encoders[0], other)


def _label_warning(first: Side, second: Side) -> Iterator[str]:
    if first.probe is None or second.probe is None:
        return
    ids = [keys_of(probe.ids, "probe") for probe in (first.probe, second.probe)]
    keys = shared(ids)
    a, b = (
        column_of(probe, "label").astype(str)[positions(own, keys)]
        for probe, own in zip((first.probe, second.probe), ids, strict=True)
    )
    if np.any(a != b):
        yield (
            f"{int((a != b).sum()):,} of {len(keys):,} samples have another label with {second.name} than with "
            f"{first.name} ({listed(keys[a != b])}): are they the same images?"
        )
