"""From logits to a record: what a probe says of each sample, and how often it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._version import version
from ..embeddings import Embeddings
from ..records import ProbeResult, Provenance
from ..stats.digest import digest_rows
from .labelled import Labelled
from .samples import block_rows

TOP = 5


def digests(train: Embeddings, val: Embeddings) -> dict[str, str]:
    """Of both matrices."""
    return {"train": digest_rows(train.h), "val": digest_rows(val.h)}


def result_of(
    val: Labelled,
    y: np.ndarray,
    classes: np.ndarray,
    logits: np.ndarray,
    *,
    function: str,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
    n_train: int,
    head: Mapping[str, Any],
    heads: Sequence[Mapping[str, Any]],
) -> ProbeResult:
    """The record of a probe.

    Args:
        val: the labelled samples that it is judged on.
        y: the class number of each, int64 [n]; -1: of none of the classes, counts as wrong.
        classes: [k].
        logits: float32 [n, k].
    """
    prediction = logits.argmax(axis=1)
    correct = prediction == y
    return ProbeResult(
        provenance=Provenance(function, dict(parameters), dict(inputs), version()),
        accuracy=float(correct.mean()),
        n_train=n_train,
        n_val=len(y),
        classes=tuple(classes.tolist()),
        head=dict(head),
        top5=float((correct | _among_first(logits, y, TOP)).mean()) if len(classes) > TOP else None,
        heads=tuple(dict(row) for row in heads),
        columns={
            "id": val.ids,
            "label": val.labels,
            "prediction": classes[prediction],
            "correct": correct,
            "logits": logits,
        },
    )


def _among_first(logits: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    """Whether fewer than `count` other classes have a logit at least as large as the label's, bool [n]."""
    found = np.zeros(len(y), bool)
    size = block_rows(logits.shape[1])
    for start in range(0, len(y), size):
        part = slice(start, start + size)
        own = logits[np.arange(len(logits))[part], np.maximum(y[part], 0)]
        found[part] = (logits[part] >= own[:, None]).sum(axis=1) <= count
    return found & (y >= 0)
