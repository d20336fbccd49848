"""The tables of all studies, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from subjects import ARCHITECTURE, Budget

from karat.records import Estimate, Finetuning, PairedTest, Study
from karat.records.study_text import ARM_TITLES, measures_of

Done = Mapping[str, tuple[Finetuning | None, Study]]
_AGAINST = ("lambda0", "lasso", "baseline")


def tables(done: Done, budget: Budget) -> str:
    """A page: the budget, what it came to, and every table."""
    parts = [
        "# Fine-tuning: all tables\n\n"
        "Made by `python benchmarks/finetune DATA`. CIFAR-10 as JPEG files, whose accuracies are lower than those of "
        "the lossless images. Brackets are 95% bootstrap intervals over seeds and test images at once, with the same "
        f"draws for all arms; of {budget.seeds} seeds the bootstrap sees a little less spread than there is.\n",
        *_budget(done),
        *_summary(done),
        *(line for method, (_, study) in done.items() for line in _study(method, study)),
    ]
    return "\n".join(parts) + "\n"


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> Iterator[str]:
    yield f"{title}\n"
    if note:
        yield note + "\n"
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _budget(done: Done) -> Iterator[str]:
    rows = []
    for method, (pretrained, study) in done.items():
        recipe = study.recipe
        rows.append([
            method,
            f"{ARCHITECTURE}, {study.d} features",
            *_pretraining(pretrained),
            f"{recipe['epochs']} x {study.n_train:,} images, {study.steps} steps of {recipe['batch_size']}",
            f"{recipe['lr']:g} ({recipe['optimizer']})",
            study.heads,
            str(len(study.seeds)),
            f"{study.n_val:,}",
        ])  # fmt: skip
    head = [
        "objective",
        "encoder",
        "pretrained, epochs",
        "linear, held out",
        "fine-tuned, epochs",
        "rate",
        "heads",
        "seeds",
        "test",
    ]
    note = (
        "The paper pretrains for hundreds of epochs and fine-tunes for 50: this is what two cores can do. The linear "
        "accuracy here is of a probe on 2,000 images; that below is of one on all images that are fine-tuned on."
    )
    yield from _table("## Budget", head, rows, note)


def _pretraining(record: Finetuning | None) -> tuple[str, str]:
    """Epochs and accuracy."""
    if record is None:
        return "that of karat demo", "–"
    accuracy = record.history[-1].metrics.get("linear_accuracy", math.nan)
    return f"{record.recipe['epochs']} x {record.n_train:,} images", _share(accuracy)


def _summary(done: Done) -> Iterator[str]:
    head = ["objective", *(f"against {ARM_TITLES[name]}" for name in _AGAINST)]
    rows = [[method, *(_points(_test(study, name)) for name in _AGAINST)] for method, (_, study) in done.items()]
    note = (
        "Points of linear accuracy with the Q-Score minus without; p is corrected for the six tests of a study (Holm)."
    )
    yield from _table("## Does the Q-Score beat the controls?", head, rows, note)


def _study(method: str, study: Study) -> Iterator[str]:
    titles = measures_of(study)
    head = ["", *titles.values(), "of each seed"]
    rows = [
        [
            ARM_TITLES[arm.name],
            *(_cell(getattr(arm, measure)) for measure in titles),
            ", ".join(f"{accuracy:.4f}" for accuracy in arm.accuracies),
        ]
        for arm in study.arms
    ]
    note = f"{study.verdict} (epsilon {study.epsilon:g}.) Mean Q has the unit of h, which fine-tuning may change."
    yield from _table(f"## {method}", head, rows, note)
    head = ["change by fine-tuning", *titles.values()]
    rows = [
        [ARM_TITLES[arm.name], *(_cell(arm.changes[measure], sign="+") for measure in titles)]
        for arm in study.arms
        if arm.changes
    ]
    yield from _table(f"### {method}: before and after", head, rows)
    rows = [[ARM_TITLES[test.first], ARM_TITLES[test.second], _points(test)] for test in study.tests]
    yield from _table(f"### {method}: differences of linear accuracy", ["", "against", "points"], rows)
    yield from (f"* {warning}" for warning in study.warnings)
    yield ""


def _test(study: Study, second: str) -> PairedTest:
    return next(test for test in study.tests if (test.first, test.second) == ("q_score", second))


def _points(test: PairedTest) -> str:
    value, low, high = (100 * getattr(test.difference, end) for end in ("value", "low", "high"))
    p = "undefined" if math.isnan(test.p_holm) else f"{test.p_holm:.3f}"
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}], p {p}"


def _cell(estimate: Estimate, *, sign: str = "") -> str:
    if math.isnan(estimate.value):
        return "–"
    value, low, high = (f"{end:{sign}.4f}" for end in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1%}"
