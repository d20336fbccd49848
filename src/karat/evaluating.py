"""Do scores tell a probe's right samples from its wrong ones? With intervals, chance and the labelled ceiling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._version import version
from .catalog import LABEL_FREE_SCORES, direction_of
from .embeddings import Embeddings
from .errors import InputError, InputTypeError
from .joining import keys_of, listed, positions, prefixed
from .records import ClassEvaluation, Estimate, Evaluation, PairedTest, ProbeResult, Provenance, ScoreEvaluation, Scores
from .records.kinds import column_of
from .stats.bootstrap import Resampled, holm
from .stats.confidence import cross_entropy, softmax_confidence, softmax_entropy, softmax_margin
from .stats.correlation import resampled_spearman
from .stats.digest import digest_rows
from .stats.ranking import auroc, resampled_measures, risk_coverage
from .stats.recall import recall_at_1

# A class with fewer right, or fewer wrong, samples has no AUROC of its own.
LEAST = 5
_UNKNOWN = Resampled(math.nan, np.array([math.nan]))


@dataclass(frozen=True)
class _Judged:
    """The samples that have every score, [n].

    Attributes:
        values: score -> its values, turned round where low ones are good.
        correct: whether the probe is right.
        loss: of the probe; infinite for a class that it was not trained on.
        labels: as text.
        recalled: whether the nearest neighbour is of the same class (1 or 0, NaN where that is not known); None where
            no embeddings were given.
        left_out: samples of the probe that lack a score, and are none of the n.
    """

    values: Mapping[str, np.ndarray]
    correct: np.ndarray
    loss: np.ndarray
    labels: np.ndarray
    recalled: np.ndarray | None
    left_out: int


def evaluate(
    scores: Scores,
    probe: ProbeResult,
    *,
    embeddings: Embeddings | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> Evaluation:
    """How well each score ranks the samples that a probe gets right above those it gets wrong.

    Samples join by id. In the table always: `random` (what chance looks like) and the probe's own softmax confidence,
    entropy and margin, which use labels and are the ceiling, not rivals.

    Args:
        scores: of the probe's validation samples (of more samples too; each id once).
        probe: with `correct` [n], `label` [n] and `logits` [n, k].
        embeddings: of the validation samples, with labels: then each score has an R-AUROC too.
        seed: of the bootstrap, and of `random` where the scores lack it.
        resamples: of the bootstrap.

    Returns:
        An `Evaluation`: for each score AUROC and AUPRC with correct as the positive class (compare AUPRC with the base
        rate, `accuracy`), AUPRC and FPR@95 with error as the positive class, AURC, AUGRC, Spearman's correlation with
        the probe's loss; each with its 95% interval. Of the scores without labels, each is tested against `q_score` and
        against the best of them (paired bootstrap of the difference of AUROC, p corrected by Holm for all tests). The
        best is chosen on the same samples, so its lead is a little too large. Each class has its accuracy and, from 5
        right and 5 wrong samples on, the AUROC of each score inside it.

    Raises:
        InputError: an id of the probe that has no score, or an id that occurs twice.
        InputTypeError: embeddings of another type.
        FileFormatError: a table that is missing.

    Reference: Kalibhat et al., AAAI 2024, table 1 (AUROC, AUPRC); Kirchhof et al., NeurIPS 2023 (R-AUROC).
    """
    judged = _judged(scores, probe, embeddings, seed)
    found = _resampled(judged, resamples=resamples, seed=seed)
    rows = sorted((_row(name, judged, of) for name, of in found.items()), key=_place)
    free = [row.score for row in rows if not row.labelled]
    tests = _tests(free, {name: of["auroc"] for name, of in found.items()})
    classes = _classes(judged)
    inputs = prefixed(scores.provenance.inputs, "scores") | prefixed(probe.provenance.inputs, "probe")
    if embeddings is not None:
        inputs["embeddings"] = digest_rows(embeddings.h)
    return Evaluation(
        provenance=Provenance(
            "evaluate",
            {"seed": seed, "resamples": resamples, "scores": scores.provenance.parameters},
            inputs,
            version(),
        ),
        n=len(judged.correct),
        accuracy=float(judged.correct.mean()),
        rows=tuple(rows),
        tests=tests,
        classes=classes,
        warnings=(*_warnings(judged), *_class_warnings(classes)),
    )


def _judged(scores: Scores, probe: ProbeResult, embeddings: Embeddings | None, seed: int) -> _Judged:
    """Join by id, complete the scores, and leave out the samples that lack one.

    Raises:
        InputError: ids that are missing or occur twice, or no sample with all scores.
    """
    wanted = keys_of(probe.ids, "probe")
    position = positions(keys_of(scores.ids, "scores"), wanted)
    if np.any(position < 0):
        missing = wanted[position < 0]
        raise InputError(
            f"{len(missing)} of the probe's {len(wanted)} samples have no score ({listed(missing)}): "
            "score the set that the probe was validated on"
        )
    values = {name: np.asarray(getattr(scores, name), np.float64)[position] for name in scores.names}
    scored = np.all([np.isfinite(column) for column in values.values()], axis=0)
    if not scored.any():
        raise InputError("none of the probe's samples has a score: nothing can be evaluated")
    values.setdefault("random", np.random.default_rng(seed).random(len(wanted)))
    values |= {
        "softmax_confidence": softmax_confidence(probe.logits),
        "softmax_entropy": softmax_entropy(probe.logits),
        "softmax_margin": softmax_margin(probe.logits),
    }
    labels = column_of(probe, "label").astype(str)
    recalled = None if embeddings is None else _recalled(embeddings, wanted)[scored]
    return _Judged(
        {name: direction_of(name) * column[scored] for name, column in values.items()},
        np.asarray(probe.correct, bool)[scored],
        _loss(probe, labels)[scored],
        labels[scored],
        recalled,
        int((~scored).sum()),
    )


def _loss(probe: ProbeResult, labels: np.ndarray) -> np.ndarray:
    column = {str(name): index for index, name in enumerate(probe.classes)}
    return cross_entropy(probe.logits, np.array([column.get(label, -1) for label in labels.tolist()], np.int64))


def _recalled(embeddings: Embeddings, wanted: np.ndarray) -> np.ndarray:
    """For each wanted id whether its nearest neighbour among the labelled embeddings is of its class; NaN if not there.

    Raises:
        InputError: no labels, or ids that occur twice.
        InputTypeError: no embeddings.
    """
    if not isinstance(embeddings, Embeddings):
        raise InputTypeError(f"embeddings is a {type(embeddings).__name__}, but Embeddings(h, labels=y) are needed")
    keys = keys_of(embeddings.sample_ids, "embeddings")
    if embeddings.labels is None:
        raise InputError("embeddings has no labels, but R-AUROC needs one a sample: load it with labels")
    known = np.flatnonzero([label == label and label not in (None, "") for label in embeddings.labels.tolist()])
    place = positions(keys[known], wanted)
    found = recall_at_1(embeddings[known].h, embeddings.labels[known].astype(str))
    return np.where(place < 0, np.nan, found[place])


def _resampled(judged: _Judged, *, resamples: int, seed: int) -> dict[str, dict[str, Resampled]]:
    """Each score's measures, all from the same resamples."""
    found = {
        name: resampled_measures(column, judged.correct, resamples=resamples, seed=seed)
        for name, column in judged.values.items()
    }
    correlations = resampled_spearman(list(judged.values.values()), judged.loss, resamples=resamples, seed=seed)
    for name, correlation in zip(found, correlations, strict=True):
        found[name]["spearman"] = correlation
        found[name]["r_auroc"] = _r_auroc(judged, name, resamples=resamples, seed=seed)
    return found


def _r_auroc(judged: _Judged, name: str, *, resamples: int, seed: int) -> Resampled:
    if judged.recalled is None or np.isnan(judged.recalled).all():
        return _UNKNOWN
    known = ~np.isnan(judged.recalled)
    measures = resampled_measures(
        judged.values[name][known], judged.recalled[known] == 1, resamples=resamples, seed=seed
    )
    return measures["auroc"]


def _row(name: str, judged: _Judged, measures: Mapping[str, Resampled]) -> ScoreEvaluation:
    coverage, risk = risk_coverage(judged.values[name], judged.correct)
    estimates: dict[str, Any] = {key: Estimate(*measure.interval()) for key, measure in measures.items()}
    return ScoreEvaluation(
        score=name,
        labelled=name not in LABEL_FREE_SCORES,
        **estimates,
        coverage=tuple(coverage.tolist()),
        risk=tuple(risk.tolist()),
    )


def _place(row: ScoreEvaluation) -> tuple[bool, float]:
    value = row.auroc.value
    return row.labelled, -(0.5 if math.isnan(value) else value)


def _tests(free: list[str], found: Mapping[str, Resampled]) -> tuple[PairedTest, ...]:
    """Each score without labels against q_score, then against the best one; free is in falling order of AUROC."""
    best = next((name for name in free if name != "random"), None)
    if best is None or math.isnan(found[best].value):
        return ()
    against = dict.fromkeys(name for name in ("q_score", best) if name in free)
    pairs = [
        (first, second)
        for second in against
        for first in free
        if first != second and (second == "q_score" or first != "q_score")  # each pair once
    ]
    differences = [found[first] - found[second] for first, second in pairs]
    values = [difference.p_value() for difference in differences]
    return tuple(
        PairedTest(first, second, Estimate(*difference.interval()), p, corrected)
        for (first, second), difference, p, corrected in zip(pairs, differences, values, holm(values), strict=True)
    )


def _classes(judged: _Judged) -> tuple[ClassEvaluation, ...]:
    """Each class by name, with the AUROC of each score inside it where enough samples are right and wrong."""
    order = np.argsort(judged.labels, kind="stable")
    names, starts = np.unique(judged.labels[order], return_index=True)
    return tuple(
        _class(name, judged, members) for name, members in zip(names.tolist(), np.split(order, starts[1:]), strict=True)
    )


def _class(name: str, judged: _Judged, members: np.ndarray) -> ClassEvaluation:
    correct = judged.correct[members]
    n, errors = len(correct), int((~correct).sum())
    enough = min(errors, n - errors) >= LEAST
    inside = {score: auroc(values[members], correct) if enough else math.nan for score, values in judged.values.items()}
    return ClassEvaluation(name, n, errors, float(correct.mean()), inside)


def _warnings(judged: _Judged) -> list[str]:
    """Why numbers of the table may be missing or mean little."""
    found = []
    if judged.left_out:
        found.append(f"{judged.left_out:,} samples of the probe lack one score or another: they were left out of all")
    if judged.correct.all() or not judged.correct.any():
        which = "right" if judged.correct.all() else "wrong"
        found.append(f"the probe is {which} on every sample, so no score can tell right from wrong: AUROC is undefined")
    constant = [name for name, values in judged.values.items() if values.min() == values.max()]
    if constant:
        found.append(f"{', '.join(constant)}: the same value for every sample, which ranks nothing (an AUROC of 0.5)")
    unseen = int(np.isinf(judged.loss).sum())
    if unseen:
        found.append(f"{unseen} samples are of classes that the probe was not trained on: they count as wrong")
    return found


def _class_warnings(classes: tuple[ClassEvaluation, ...]) -> list[str]:
    few = [row for row in classes if min(row.errors, row.n - row.errors) < LEAST]
    if not few:
        return []
    return [
        f"{len(few)} of {len(classes)} classes have fewer than {LEAST} right or {LEAST} wrong samples "
        f"({listed(row.label for row in few)}): their AUROC is not given"
    ]
