"""A study of fine-tuning as plain values: its arms, the tests between them, and what they come to."""

from __future__ import annotations

from typing import Any

from ..records import Estimate, PairedTest, Study, StudyArm
from ..records.study_text import ARM_TITLES, measures_of
from .evaluation import difference
from .gallery import shortened
from .tables import defined, pairs

MAIN, CONTROL = "q_score", "lambda0"

Json = dict[str, Any]


def study_section(study: Study) -> Json:
    """Is fine-tuning with the Q-Score worth anything?

    Returns:
        "method", "encoder", "heads", "steps", "n_train", "n_val", "d", "epsilon", "keep", "seeds", "verdict",
        "warnings"; "recipe": name and value as text; "arms": "arm", "title", "weights", "accuracies" (one a seed) and
        "accuracy" {value, low, high}; "measures": titles; "rows" one an arm: "title" and "cells", one a measure, each
        "value" and "change" (both {value, low, high}; a change also "sign": 1 or -1 where its interval leaves out 0,
        else 0; none of the baseline); "tests" between arms: "first", "second", "main" (whether of the Q-Score's arm)
        and the "difference" of linear accuracy with "p_holm" and "sign".
    """
    return {
        "method": study.method,
        "encoder": shortened(study.encoder),
        "heads": study.heads,
        "steps": study.steps,
        "n_train": study.n_train,
        "n_val": study.n_val,
        "d": study.d,
        "epsilon": study.epsilon,
        "keep": study.keep,
        "seeds": list(study.seeds),
        "verdict": study.verdict,
        "warnings": list(study.warnings),
        "recipe": pairs(study.recipe),
        "arms": [_arm(arm) for arm in study.arms],
        "measures": list(measures_of(study).values()),
        "rows": [
            {"title": title_of(arm.name), "cells": [_measured(arm, measure) for measure in measures_of(study)]}
            for arm in study.arms
        ],
        "tests": [_test(test) for test in study.tests],
    }


def study_verdict(study: Study) -> tuple[str, str]:
    """The tone, "good", "fair" or "poor", and what the study says of the Q-Score, in a sentence."""
    signs = {test.second: test.sign for test in study.tests if test.first == MAIN}
    if CONTROL not in signs:
        return "unknown", f"What the Q-Score adds to fine-tuning with {study.method} has not been tested."
    if signs[CONTROL] > 0:
        all_beaten = all(sign > 0 for sign in signs.values())
        return (
            "good" if all_beaten else "fair",
            "Fine-tuning with the Q-Score makes this encoder better than fine-tuning without it.",
        )
    if signs[CONTROL] < 0:
        return "poor", "Fine-tuning with the Q-Score makes this encoder worse than fine-tuning without it."
    return "poor", "That the Q-Score makes fine-tuning better is not shown here."


def _arm(arm: StudyArm) -> Json:
    return {
        "arm": arm.name,
        "title": title_of(arm.name),
        "weights": {name: getattr(arm, name) for name in ("lambda1", "lambda2", "lasso") if getattr(arm, name)},
        "accuracies": [defined(value) for value in arm.accuracies],
        "accuracy": _estimate(arm.linear_accuracy),
    }


def _measured(arm: StudyArm, measure: str) -> Json:
    change = arm.changes.get(measure)
    return {
        "value": _estimate(getattr(arm, measure)),
        "change": None if change is None else _estimate(change) | {"sign": _sign(change)},
    }


def _sign(change: Estimate) -> int:
    """1 or -1 where the interval leaves out 0, else 0."""
    return int(change.low > 0) - int(change.high < 0)


def _test(test: PairedTest) -> Json:
    return {"first": title_of(test.first), "second": title_of(test.second), "main": test.first == MAIN} | {
        "difference": difference(test)
    }


def title_of(arm: str) -> str:
    """How an arm is called where people read of it."""
    return ARM_TITLES.get(arm, shortened(arm))


def _estimate(estimate: Estimate) -> Json:
    return {key: defined(value) for key, value in vars(estimate).items()}
