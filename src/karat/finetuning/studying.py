"""The runs of a study: an arm with a seed, fine-tuned and judged in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import runs
from ..compression import compress, reduced
from ..embeddings import Embeddings
from ..encoders import Encoder
from ..extraction import extract
from ..images import ImageSource
from ..joining import keys_of, positions
from ..probing import probe
from ..records import Compression, Finetuning, ProbeResult, Record, Scores
from ..scoring import score
from .asked import Asked
from .finetune import finetune
from .loop import Progress

BASELINE = "baseline"
ARMS = (BASELINE, "lambda0", "lasso", "q_score")
_JUDGED = {"probe": ProbeResult, "scores": Scores, "compression": Compression, "probe_compressed": ProbeResult}


@dataclass(frozen=True)
class Arm:
    """One way of fine-tuning; all weights are 0 for the baseline, which is not fine-tuned, and for the control."""

    name: str
    lambda1: float = 0.0
    lambda2: float = 0.0
    lasso: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What all runs of a study share.

    Attributes:
        out: its folder; a run's is `out`/ARM-SEED.
        encoder, begun: what was given to be fine-tuned, and the encoder in it.
        train, val: labelled images.
        asked: the settings of fine-tuning; weights and seed are those of the arm and run.
        new_heads: see `karat.finetune`.
        keep: share of the features that compression keeps.
        tuning: how a run of `karat.finetune` is computed and what it writes.
        device, threads, workers: of everything else.
    """

    out: Path
    encoder: Any
    begun: Encoder
    train: ImageSource
    val: ImageSource
    asked: Asked
    new_heads: bool
    keep: float
    tuning: dict[str, Any]
    device: str
    threads: int | None
    workers: int | None


@dataclass(frozen=True)
class Judged:
    """What is known of a run in the end.

    Attributes:
        ids: of the validation images, [n].
        correct, compressed: whether the linear probe gets each right, on all features and on those kept, bool [n].
        q: their Q-Scores, [n].
        d: features.
        tuned: the record of fine-tuning; None of the baseline.
    """

    ids: np.ndarray
    correct: np.ndarray
    compressed: np.ndarray
    q: np.ndarray
    d: int
    tuned: Finetuning | None


def run_of(plan: Plan, arm: Arm, seed: int, *, first: int, progress: Progress | None) -> Judged:
    """One run: what its folder has is read, the rest is made.

    Args:
        plan: of the study.
        arm, seed: which run it is.
        first: the first seed of the study, with which the baseline's features are kept for all seeds.
        progress: of its fine-tuning.
    """
    folder = plan.out / f"{arm.name}-{seed}"
    found = _records(folder)
    if _JUDGED.keys() <= found.keys() and (arm.name == BASELINE or "finetuning" in found):
        return _judged(found)
    encoder, place = plan.begun, plan.out / f"{BASELINE}-{first}"
    if arm.name != BASELINE:
        asked = replace(plan.asked, lambda1=arm.lambda1, lambda2=arm.lambda2, lasso=arm.lasso, seed=seed)
        how: dict[str, Any] = {**vars(asked), **plan.tuning, "new_heads": plan.new_heads}
        tuned = finetune(plan.encoder, plan.train, **how, out=folder, resume=True, progress=progress)
        encoder, place = tuned.encoder, folder
    _judge(plan, folder, _features(plan, encoder, place), seed)
    return _judged(_records(folder))


def _features(plan: Plan, encoder: Encoder, place: Path) -> tuple[Embeddings, Embeddings]:
    """h of all images, in float32: a folder of embeddings that is gone on with."""
    how: dict[str, Any] = {"device": plan.device, "threads": plan.threads, "workers": plan.workers}
    parts = []
    for name, source in (("train", plan.train), ("val", plan.val)):
        out = place / "embeddings" / f"{name}.emb"
        out.parent.mkdir(parents=True, exist_ok=True)
        parts.append(extract(encoder, source, out=out, precision="float32", resume=True, **how))
    return parts[0], parts[1]


def _judge(plan: Plan, folder: Path, parts: tuple[Embeddings, Embeddings], seed: int) -> None:
    """Probe, scores and compression: those records that the run lacks."""
    train, val = parts
    asked, threads = plan.asked, plan.threads
    found = _records(folder)

    def once(name: str, make: Callable[[], Record]) -> Record:
        if name not in found:
            record = make()
            runs.add_record(folder, record, name=name, overwrite=True)  # one that is there is damaged
            found[name] = record
        return found[name]

    band: dict[str, Any] = {
        "epsilon": asked.threshold,
        "upper": asked.upper,
        "halves": asked.halves,
        "threads": threads,
    }
    once("probe", lambda: probe(train, val, seed=seed, threads=threads))
    once("scores", lambda: score(val, reference=train, scores=["q_score"], lower=asked.lower, over=asked.over, **band))
    kept = once("compression", lambda: compress(train, keep=plan.keep, **band))
    assert isinstance(kept, Compression)  # as `_records` leaves out what is of another kind
    once(
        "probe_compressed",
        lambda: probe(reduced(train, kept), reduced(val, kept), seed=seed, threads=threads),
    )


def _records(folder: Path) -> dict[str, Record]:
    """The records of a run that belong to a study and can be read."""
    if not runs.is_run(folder):
        return {}
    kinds = {**_JUDGED, "finetuning": Finetuning}
    found = runs.open_run(folder).records
    return {name: record for name, record in found.items() if isinstance(record, kinds.get(name, ()))}


def _judged(found: dict[str, Record]) -> Judged:
    whole, small, scores, kept = (found[name] for name in ("probe", "probe_compressed", "scores", "compression"))
    assert isinstance(whole, ProbeResult) and isinstance(small, ProbeResult) and isinstance(scores, Scores)
    tuned = found.get("finetuning")
    place = positions(keys_of(scores.ids, "scores"), keys_of(whole.ids, "probe"))
    return Judged(
        np.asarray(whole.ids),
        np.asarray(whole.correct, bool),
        np.asarray(small.correct, bool),
        np.asarray(scores.q_score, np.float64)[place],
        kept.d if isinstance(kept, Compression) else 0,
        tuned if isinstance(tuned, Finetuning) else None,
    )
