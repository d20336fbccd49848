"""The first lines of a report, in plain words: is the score informative here, what is wrong, what to do next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import FileFormatError
from ..records import (
    Calibration,
    Comparison,
    Compression,
    Estimate,
    Evaluation,
    Finetuning,
    Metrics,
    Overlap,
    ProbeResult,
    ProbeShift,
    Record,
    ScoreEvaluation,
    Scores,
    Study,
)
from ..records.overlap_text import prior_verdict
from ..records.verdicts import LEVEL
from .leaders import best, informative, leading
from .studied import study_verdict
from .trained import training_headline

# Below this AUROC an informative score is called weak (ours).
GOOD_AUROC = 0.7
_KEPT = 0.8


class Verdict(NamedTuple):
    """What the evaluation says of one score: tone is "good", "fair", "poor" or "unknown"."""

    tone: str
    sentence: str


def summary(records: Mapping[str, Record]) -> dict[str, Any]:
    """Headline, findings, warnings and next steps, as sentences."""
    evaluations = [record for record in records.values() if isinstance(record, Evaluation)]
    scores = [record for record in records.values() if isinstance(record, Scores)]
    verdict = _verdict(evaluations, scores) if evaluations or scores else _of_training(records)
    return {
        "tone": verdict.tone,
        "headline": verdict.sentence,
        "findings": [line for line in _findings(records, evaluations) if line != verdict.sentence],
        "warnings": _unique(warning for record in records.values() for warning in _warnings(record)),
        "next_steps": _next_steps(records, evaluations, scores),
    }


def _findings(records: Mapping[str, Record], evaluations: list[Evaluation]) -> Iterator[str]:
    yield from _probe_findings(records)
    for evaluation in evaluations:
        yield from _evaluation_findings(evaluation)
    for record in records.values():
        yield from _further_findings(record)


def probe_name(probe: ProbeResult) -> str:
    """What kind of probe it is."""
    return "kNN probe" if probe.provenance.function == "knn_probe" else "linear probe"


def _verdict(evaluations: list[Evaluation], scores: list[Scores]) -> Verdict:
    if not evaluations:
        known = "The samples are scored, but whether" if scores else "Whether"
        return Verdict("unknown", f"{known} a score tells right from wrong here has not been tested.")
    row = leading(evaluations[0])
    if row is None or math.isnan(row.auroc.value):
        return Verdict("unknown", "The probe is right, or wrong, on every sample: no score can be judged by that.")
    if informative(row):
        if row.auroc.value >= GOOD_AUROC:
            return Verdict("good", f"{row.score} is informative here.")
        return Verdict("fair", f"{row.score} is informative here, but only weakly.")
    if row.auroc.high < 0.5:
        return Verdict("poor", f"{row.score} points the wrong way here: wrong samples score higher than right ones.")
    return Verdict("poor", f"{row.score} is not informative here: it does no better than a coin.")


def _of_training(records: Mapping[str, Record]) -> Verdict:
    """What a study or a training says, where nothing is scored; of a study rather than of one of its runs."""
    studies = [record for record in records.values() if isinstance(record, Study)]
    if studies:
        return Verdict(*study_verdict(studies[0]))
    trainings = [record for record in records.values() if isinstance(record, Finetuning)]
    return Verdict("unknown", training_headline(trainings[0])) if trainings else _verdict([], [])


def _probe_findings(records: Mapping[str, Record]) -> list[str]:
    return [
        f"A {probe_name(probe)}, trained on {probe.n_train:,} samples, "
        f"is right on {probe.accuracy:.1%} of {probe.n_val:,}."
        for probe in records.values()
        if isinstance(probe, ProbeResult)
    ]


def _evaluation_findings(evaluation: Evaluation) -> list[str]:
    row, ceiling = leading(evaluation), best(evaluation, labelled=True)
    if row is None or math.isnan(row.auroc.value):
        return []
    against = "a coin gives 0.50"
    if ceiling is not None:
        against += f"; {ceiling.score}, which needs labels, {ceiling.auroc.value:.2f}"
    found = [f"{row.score} ranks right above wrong samples with AUROC {_interval(row.auroc)}; {against}."]
    rival = best(evaluation, labelled=False)
    if rival is not None and rival.auroc.value > row.auroc.value:
        overlap = " The intervals overlap: the difference may be chance." if rival.auroc.low <= row.auroc.high else ""
        found.append(f"The best score without labels is {rival.score}, with {_interval(rival.auroc)}.{overlap}")
    return [*found, *_setting_aside(evaluation, row)]


def _setting_aside(evaluation: Evaluation, row: ScoreEvaluation) -> list[str]:
    """What the risk-coverage curve says at 80% coverage."""
    risks = [risk for coverage, risk in zip(row.coverage, row.risk, strict=True) if coverage >= _KEPT]
    if not risks:
        return []
    before, after = 1 - evaluation.accuracy, risks[0]
    change = "lowers" if after < before else "does not lower"
    return [
        f"Setting aside the {1 - _KEPT:.0%} of samples with the lowest {row.score} {change} the probe's error rate: "
        f"{before:.1%} before, {after:.1%} after."
    ]


def _further_findings(record: Record) -> list[str]:
    """What a record says that judges something else than scores."""
    match record:
        case Compression():
            return [record.verdict] if record.curve else []
        case Calibration():
            chance = f"a perfect prediction shows {record.ece_by_chance:.3f} by chance"
            return [
                f"P(misclassified) is off by {record.ece.value:.3f} on average ({chance}), "
                f"from {record.n_labelled:,} labelled samples."
            ]
        case Comparison():
            return [_probe_shift(shift) for shift in record.probes]
        case Overlap():
            return _overlap_findings(record)
        case Study():
            return [record.verdict]
        case Finetuning():
            return [training_headline(record)]
        case _:
            return []


def _overlap_findings(overlap: Overlap) -> list[str]:
    """Of each kind of mask whether the maps beat the centre prior; nothing where the record cannot tell."""
    try:
        return [prior_verdict(overlap, mask) for mask in dict.fromkeys(row.mask for row in overlap.measured)]
    except FileFormatError:
        return []


def _probe_shift(shift: ProbeShift) -> str:
    points = [100 * value for value in (shift.difference.value, shift.difference.low, shift.difference.high)]
    told = "" if shift.p < LEVEL else ": no difference that can be told from chance"
    return (
        f"From {shift.first} to {shift.second} the probe gains {shift.gained:,} samples and loses "
        f"{shift.lost:,}: {points[0]:+.1f} points of accuracy [{points[1]:+.1f}, {points[2]:+.1f}]{told}."
    )


def _warnings(record: Record) -> tuple[str, ...]:
    """What not to trust; a probe has no warnings."""
    return record.health.warnings if isinstance(record, Scores) else getattr(record, "warnings", ())


def _next_steps(records: Mapping[str, Record], evaluations: list[Evaluation], scores: list[Scores]) -> list[str]:
    steps = []
    if any(record.health.warnings for record in scores):
        steps.append("Settle the warnings first: until then the numbers may not mean what one hopes.")
    trained = _after_training(records)
    if trained and not (scores or evaluations):
        return trained
    if not scores:
        steps.append("Score the embeddings: karat score EMB.")
    if not evaluations:
        probed = any(isinstance(record, ProbeResult) for record in records.values())
        first = "" if probed else "train a probe on labelled samples (karat probe TRAIN VAL -o RUN), then "
        steps.append(f"To learn whether a score tells right from wrong, {first}run karat evaluate SCORES RUN.")
    for evaluation in evaluations:
        steps.extend(_advice(evaluation))
    if not any(isinstance(record, Metrics) for record in records.values()):
        steps.append("For numbers of the whole set, to compare checkpoints by: karat measure EMB.")
    return _unique([*steps, *trained])


def _after_training(records: Mapping[str, Record]) -> list[str]:
    """What to do after a training; a study has answered the first question already."""
    studies = [record for record in records.values() if isinstance(record, Study)]
    trained = any(isinstance(record, Finetuning) for record in records.values())
    steps = []
    if trained and not studies:
        steps.append(
            "One run says little: compare it with the same run without the terms and with Lasso, over several seeds "
            "(karat finetune --study)."
        )
    if trained:
        steps.append(
            "To see which samples moved: karat extract with the encoder before and after, karat score and karat probe "
            "each, then karat compare RUN RUN."
        )
    if any(study_verdict(study)[0] == "poor" for study in studies):
        steps.append(
            "Do not count on the Q-Score's terms here: try longer training, more seeds, or other lambda1 and lambda2."
        )
    elif studies:
        steps.append("Train with the same settings on all images, with the encoder of best accuracy among the seeds.")
    return steps


def _advice(evaluation: Evaluation) -> list[str]:
    row, rival = leading(evaluation), best(evaluation, labelled=False)
    if row is None or rival is None:
        return []
    if informative(row):
        steps = [f"Look first at the samples with the lowest {row.score}: errors are more frequent there."]
        if row.auroc.value < GOOD_AUROC:
            steps = [f"Take {row.score} as a hint: errors are only a little more frequent among the lowest samples."]
        if rival.auroc.low > row.auroc.high:
            steps.append(f"Prefer {rival.score} to {row.score} here.")
        return steps
    if informative(rival):
        return [f"Choose samples by {rival.score} rather than by {row.score}."]
    return ["Do not choose samples by these scores: train the encoder longer, or use labels (the probe's confidence)."]


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _unique(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
