"""What is found out about one encoder, record by record into its run's folder; a record that is there is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

import karat
from karat import runs
from karat._files import write_bytes
from karat.probing import knn_probe
from karat.records import Calibration, Compression, Evaluation, Metrics, ProbeResult, Record, Scores

_Kind = TypeVar("_Kind", bound=Record)

LABELLED = 500  # samples whose outcome calibration knows, and samples to choose for labelling
CALIBRATED = {
    "q_score": ("q_score",),
    "knn_similarity": ("knn_similarity",),
    "graph_spectral_norm": ("graph_spectral_norm",),
    "five scores": ("q_score", "knn_similarity", "graph_spectral_norm", "vote_entropy", "view_agreement"),
}
SEEDS = 5  # of random choices for labelling


def once(run: Path, name: str, make: Callable[[], _Kind]) -> _Kind:
    """The record of that name, made where the run lacks it."""
    if runs.is_run(run) and name in (found := runs.open_run(run).records):
        return found[name]  # type: ignore[return-value]
    print(f"{run.name}: {name}", flush=True)
    record = make()
    runs.add_record(run, record, name=name)
    return record


def judge(run: Path, parts: dict[str, Path], ensemble: list[Path], *, seed: int) -> None:
    """Scores, probes, evaluation, metrics, compression, calibration and labelling of one encoder."""
    train, val, views = (karat.load(parts[part]) for part in ("train", "val", "views"))
    others = [karat.load(path) for path in ensemble]
    settings = {"reference": train, "seed": seed}
    scores = once(
        run,
        "scores",
        lambda: karat.score(val, scores="all", epsilon="auto", views=views, ensemble=others, **settings),
    )
    paper = once(run, "scores_4", lambda: karat.score(val, epsilon=4.0, **settings))
    probe = once(run, "probe", lambda: karat.probe(train, val, seed=seed))
    once(run, "knn_probe", lambda: knn_probe(train, val))
    once(run, "evaluation", lambda: karat.evaluate(scores, probe, embeddings=val, seed=seed))
    once(run, "evaluation_4", lambda: karat.evaluate(paper, probe, seed=seed))
    once(
        run,
        "metrics",
        lambda: karat.measure(val, metrics="all", epsilon="auto", views=views, convergence=True, **settings),
    )
    once(run, "compression", lambda: karat.compress(train, probe_with=val, epsilon="auto", seed=seed))
    known = some(probe, seed=seed)
    for name, using in CALIBRATED.items():
        once(
            run,
            f"calibration_{name.replace(' ', '_')}",
            lambda using=using: karat.calibrate(scores, known, using=using, method="logistic", seed=seed),
        )
    labelling(run, train, val, seed=seed)


def some(probe: ProbeResult, *, seed: int) -> dict[str, bool]:
    """Whether the probe is right on some samples: id -> outcome."""
    rows = np.random.default_rng(seed).choice(len(probe.ids), LABELLED, replace=False)
    return dict(zip(probe.ids[rows].tolist(), probe.correct[rows].tolist(), strict=True))


def labelling(run: Path, train: karat.Embeddings, val: karat.Embeddings, *, seed: int) -> dict[str, list[float]]:
    """Accuracy of a probe that is trained on 500 samples: those that `select` proposes, and random ones."""
    file = run / "labelling.json"
    if file.exists():
        return json.loads(file.read_text())
    print(f"{run.name}: labelling", flush=True)
    scores = karat.score(train, scores=["q_score", "knn_similarity"], epsilon="auto", seed=seed)
    row = {id_: i for i, id_ in enumerate(train.ids.tolist())}
    chosen = {"random": [np.random.default_rng(s).choice(train.n, LABELLED, replace=False) for s in range(SEEDS)]}
    for by in ("q_score", "knn_similarity"):
        for strategy in ("score", "mixed"):
            whole = None if strategy == "score" else train
            found = karat.select(scores, budget=LABELLED, embeddings=whole, strategy=strategy, by=by, seed=seed)
            chosen[f"{strategy}, {by}"] = [np.array([row[id_] for id_ in found.ids.tolist()])]
    found = karat.select(scores, budget=LABELLED, embeddings=train, strategy="diverse", seed=seed)
    chosen["diverse"] = [np.array([row[id_] for id_ in found.ids.tolist()])]
    accuracy = {
        name: [karat.probe(train[np.sort(rows)], val, seed=seed).accuracy for rows in tries]
        for name, tries in chosen.items()
    }
    write_bytes(file, json.dumps(accuracy).encode())
    return accuracy


def records(run: Path) -> tuple[dict[str, Scores], dict[str, ProbeResult], dict[str, Evaluation], Metrics, Compression]:
    """What the tables are made of."""
    found = runs.open_run(run).records

    def of(kind: type[_Kind]) -> dict[str, _Kind]:
        return {name: record for name, record in found.items() if isinstance(record, kind)}

    return (
        of(Scores),
        of(ProbeResult),
        of(Evaluation),
        next(iter(of(Metrics).values())),
        next(iter(of(Compression).values())),
    )


def calibrations(run: Path) -> dict[str, Calibration]:
    """Name of what they rest on -> calibration."""
    found = runs.open_run(run).records
    return {name: found[f"calibration_{name.replace(' ', '_')}"] for name in CALIBRATED}  # type: ignore[misc]
