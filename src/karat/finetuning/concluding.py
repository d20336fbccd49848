"""What the runs of a study come to: each arm with its intervals, the tests between them, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from ..errors import InputError
from ..records import Estimate, PairedTest, StudyArm
from ..stats.bootstrap import Resampled, holm, mean_over_members, resampled_means
from ..stats.ranking import resampled_measures
from .studying import BASELINE, Arm, Judged

_MANY_EMPTY = 0.5
_QUESTIONS = {
    "lambda0": "Does fine-tuning with the Q-Score beat the same with lambda = 0?",
    "lasso": "Does it beat Lasso?",
    BASELINE: "Does it beat no fine-tuning?",
}

Found = Mapping[str, Mapping[str, Resampled]]  # arm -> measure -> what it is in each resample


def measured(judged: Mapping[str, Sequence[Judged]], *, resamples: int, seed: int) -> Found:
    """Every measure of every arm, all from the same resamples of images and of seeds.

    Args:
        judged: arm -> its runs, in the order of the seeds.
        resamples, seed: of the bootstrap.

    Raises:
        InputError: runs that were judged on different images.
    """
    first = next(iter(judged.values()))[0]
    for name, of_arm in judged.items():
        if any(not np.array_equal(each.ids, first.ids) for each in of_arm):
            raise InputError(f"the runs of {name} were judged on other images than the first one: replace the study")

    def means(values: Sequence[np.ndarray]) -> Resampled:
        return mean_over_members(resampled_means(np.stack(values), resamples=resamples, seed=seed), seed)

    def auroc(each: Judged) -> Resampled:
        return resampled_measures(each.q, each.correct, resamples=resamples, seed=seed)["auroc"]

    return {
        name: {
            "linear_accuracy": means([each.correct for each in of_arm]),
            "compressed_accuracy": means([each.compressed for each in of_arm]),
            "auroc": mean_over_members([auroc(each) for each in of_arm], seed),
            "mean_q": means([each.q for each in of_arm]),
            "empty_share": means([each.q == 0 for each in of_arm]),  # above 0 wherever there is a feature in L and D
        }
        for name, of_arm in judged.items()
    }


def arms_of(arms: Sequence[Arm], judged: Mapping[str, Sequence[Judged]], found: Found) -> tuple[StudyArm, ...]:
    """The arms with their numbers, and how each differs from the baseline."""
    return tuple(
        StudyArm(
            name=arm.name,
            lambda1=arm.lambda1,
            lambda2=arm.lambda2,
            lasso=arm.lasso,
            accuracies=tuple(float(each.correct.mean()) for each in judged[arm.name]),
            **{measure: Estimate(*of.interval()) for measure, of in found[arm.name].items()},
            changes={
                measure: Estimate(*(of - found[BASELINE][measure]).interval())
                for measure, of in found[arm.name].items()
                if arm.name != BASELINE
            },
        )
        for arm in arms
    )


def paired_tests(found: Found) -> tuple[PairedTest, ...]:
    """Linear accuracy: each arm against each before it."""
    accuracy = {name: measures["linear_accuracy"] for name, measures in found.items()}
    pairs = [(first, second) for second, first in combinations(accuracy, 2)]
    differences = [accuracy[first] - accuracy[second] for first, second in pairs]
    values = [difference.p_value() for difference in differences]
    return tuple(
        PairedTest(first, second, Estimate(*difference.interval()), p, corrected)
        for (first, second), difference, p, corrected in zip(pairs, differences, values, holm(values), strict=True)
    )


def verdict_of(tests: Sequence[PairedTest]) -> str:
    """Does the Q-Score beat the controls? In plain sentences."""
    against = {test.second: test for test in tests if test.first == "q_score"}
    return " ".join(f"{question} {_answer(against[name])}" for name, question in _QUESTIONS.items())


def _answer(test: PairedTest) -> str:
    value, low, high = (100 * getattr(test.difference, end) for end in ("value", "low", "high"))
    points = f"{value:+.2f} points of linear accuracy [{low:+.2f}, {high:+.2f}]"
    return {
        1: f"Yes: {points}.",
        0: f"That is not shown: {points}, which cannot be told from chance (p = {test.p_holm:.2f} after correction).",
        -1: f"No, it is worse: {points}.",
    }[test.sign]


def warnings_of(arms: Sequence[StudyArm], judged: Mapping[str, Sequence[Judged]], epsilon: float) -> Iterator[str]:
    """What not to trust."""
    seeds = len(arms[0].accuracies)
    if seeds == 1:
        yield "there is one seed: the intervals do not know how much another one would have changed (3 are usual)"
    empty = arms[0].empty_share.value
    if empty > _MANY_EMPTY:
        yield (
            f"{empty:.0%} of the validation images have no discriminative feature at epsilon {epsilon:g} before "
            "fine-tuning: the Q-Score term says nothing of such images; a smaller epsilon reaches more of them"
        )
    told = dict.fromkeys(
        f"{name}: {warning}"
        for name, of_arm in judged.items()
        for each in of_arm
        if each.tuned is not None
        for warning in each.tuned.warnings
    )
    yield from told
