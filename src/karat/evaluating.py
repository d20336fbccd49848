"""Do scores tell a probe's right samples from its wrong ones? With intervals, chance and the labelled ceiling."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ._version import version
from .catalog import LABEL_FREE_SCORES, ROWS
from .errors import InputError
from .records import Estimate, Evaluation, ProbeResult, Provenance, ScoreEvaluation, Scores
from .stats.confidence import softmax_confidence, softmax_entropy, softmax_margin
from .stats.ranking import intervals, risk_coverage


def evaluate(scores: Scores, probe: ProbeResult, *, seed: int = 0, resamples: int = 1000) -> Evaluation:
    """How well each score ranks the samples that a probe gets right above those it gets wrong.

    Samples join by id. In the table always: `random` (what chance looks like) and the probe's own softmax confidence,
    entropy and margin, which use labels and are the ceiling, not rivals.

    Args:
        scores: of the probe's validation samples (of more samples too; each id once).
        probe: with `correct` [n] and `logits` [n, k].
        seed: of the bootstrap, and of `random` where the scores lack it.
        resamples: of the bootstrap.

    Returns:
        An `Evaluation`: for each score AUROC and AUPRC with correct as the positive class (compare AUPRC with the base
        rate, `accuracy`), AUPRC and FPR@95 with error as the positive class, AURC, AUGRC; each with its 95% interval.

    Raises:
        InputError: an id of the probe that has no score, or an id that occurs twice.
        FileFormatError: a table that is missing.

    Reference: Kalibhat et al., AAAI 2024, table 1 (AUROC, AUPRC).
    """
    position = _join(scores.ids, probe.ids)
    correct = np.asarray(probe.correct, bool)
    values = {name: np.asarray(getattr(scores, name), np.float64)[position] for name in scores.names}
    scored = np.all([np.isfinite(column) for column in values.values()], axis=0)
    if not scored.any():
        raise InputError("none of the probe's samples has a score: nothing can be evaluated")
    values.setdefault("random", np.random.default_rng(seed).random(len(correct)))
    values |= {
        "softmax_confidence": softmax_confidence(probe.logits),
        "softmax_entropy": softmax_entropy(probe.logits),
        "softmax_margin": softmax_margin(probe.logits),
    }
    rows = [
        _evaluated(name, column[scored], correct[scored], seed=seed, resamples=resamples)
        for name, column in values.items()
    ]
    ordered = sorted(rows, key=lambda row: (row.labelled, -_or_half(row.auroc.value)))
    return Evaluation(
        provenance=Provenance(
            "evaluate",
            {"seed": seed, "resamples": resamples, "scores": scores.provenance.parameters},
            _inputs(scores.provenance.inputs, "scores") | _inputs(probe.provenance.inputs, "probe"),
            version(),
        ),
        n=int(scored.sum()),
        accuracy=float(correct[scored].mean()),
        rows=tuple(ordered),
    )


def _evaluated(name: str, values: np.ndarray, correct: np.ndarray, *, seed: int, resamples: int) -> ScoreEvaluation:
    """One row of the table; a score whose low values are good is turned round first."""
    row = ROWS.get(name)
    oriented = -values if row is not None and row.direction < 0 else values
    measures = intervals(oriented, correct, resamples=resamples, seed=seed)
    coverage, risk = risk_coverage(oriented, correct)
    return ScoreEvaluation(
        score=name,
        labelled=name not in LABEL_FREE_SCORES,
        **{measure: Estimate(*estimate) for measure, estimate in measures.items()},
        coverage=tuple(coverage.tolist()),
        risk=tuple(risk.tolist()),
    )


def _join(scored: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The position among the scored samples of each wanted id.

    Raises:
        InputError: ids that occur twice or are missing; the first are named.
    """
    scored, wanted = scored.astype(str), wanted.astype(str)
    for name, ids in (("scores", scored), ("probe", wanted)):
        unique, times = np.unique(ids, return_counts=True)
        if len(unique) < len(ids):
            twice = unique[times > 1]
            raise InputError(
                f"{len(twice)} ids of the {name} occur more than once ({_first(twice)}): samples join by id"
            )
    order = np.argsort(scored)
    ordered = scored[order]
    place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    missing = wanted[ordered[place] != wanted]
    if len(missing):
        raise InputError(
            f"{len(missing)} of the probe's {len(wanted)} samples have no score ({_first(missing)}): "
            "score the set that the probe was validated on"
        )
    return order[place]


def _first(ids: np.ndarray) -> str:
    return ", ".join(ids[:3].tolist()) + (", ..." if len(ids) > 3 else "")


def _inputs(inputs: Mapping[str, str], of: str) -> dict[str, str]:
    return {f"{of}.{name}": digest for name, digest in inputs.items()}


def _or_half(value: float) -> float:
    return 0.5 if np.isnan(value) else value
