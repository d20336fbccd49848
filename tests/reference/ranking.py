"""The ranking measures, term by term."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, permutations


def auroc(score: Sequence[float], correct: Sequence[bool]) -> float:
    won, pairs = 0.0, 0
    for right, is_right in zip(score, correct, strict=True):
        for wrong, is_also_right in zip(score, correct, strict=True):
            if is_right and not is_also_right:
                pairs += 1
                won += 1.0 if right > wrong else 0.5 if right == wrong else 0.0
    return won / pairs


def fpr95(score: Sequence[float], correct: Sequence[bool]) -> float:
    errors = sum(not right for right in correct)
    for threshold in sorted(set(score)):
        flagged = [right for value, right in zip(score, correct, strict=True) if value <= threshold]
        if sum(not right for right in flagged) * 100 >= 95 * errors:
            return sum(flagged) / (len(correct) - errors)
    raise AssertionError("the highest threshold flags every error")


def aurc_over_all_orders(score: Sequence[float], correct: Sequence[bool]) -> float:
    """The mean over every order that the scores allow. For a handful of samples only."""
    n, total, orders = len(score), 0.0, 0
    for order in permutations(range(n)):
        if any(score[before] < score[after] for before, after in pairwise(order)):
            continue
        errors, risks = 0, 0.0
        for i, sample in enumerate(order, start=1):
            errors += not correct[sample]
            risks += errors / i
        total += risks / n
        orders += 1
    return total / orders


def expected_errors(score: Sequence[float], correct: Sequence[bool]) -> list[float]:
    """Errors among the i most confident, i = 1..n: of a tie, each member is wrong with the tie's error rate."""
    errors, so_far = [], 0.0
    for threshold in sorted(set(score), reverse=True):
        tied = [right for value, right in zip(score, correct, strict=True) if value == threshold]
        rate = sum(not right for right in tied) / len(tied)
        for m in range(1, len(tied) + 1):
            errors.append(so_far + m * rate)
        so_far += sum(not right for right in tied)
    return errors


def aurc(score: Sequence[float], correct: Sequence[bool]) -> float:
    return sum(errors / i for i, errors in enumerate(expected_errors(score, correct), start=1)) / len(score)


def augrc(score: Sequence[float], correct: Sequence[bool]) -> float:
    """Trapezoids between the points (coverage, errors among the kept / n) at the distinct scores, from (0, 0) on."""
    n, area, coverage, risk = len(score), 0.0, 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        kept = [right for value, right in zip(score, correct, strict=True) if value >= threshold]
        next_coverage, next_risk = len(kept) / n, sum(not right for right in kept) / n
        area += (next_coverage - coverage) * (next_risk + risk) / 2
        coverage, risk = next_coverage, next_risk
    return area
