"""What is known of an encoder: its run, or its embeddings, scores, probe and metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..embeddings import Embeddings
from ..errors import InputError, InputTypeError
from ..joining import keys_of
from ..records import Metrics, ProbeResult, Scores
from ..runs import Run, open_run
from ..scoring import score
from ..stats.digest import digest_rows
from ..store import load

_EMBEDDINGS = "embeddings/val.emb"


@dataclass(frozen=True)
class Side:
    """One encoder: what is known of it, None where it is not.

    Attributes:
        name: unique among those that are compared.
        notes: sentences: what of it could not be read.
    """

    name: str
    embeddings: Embeddings | None = None
    scores: Scores | None = None
    probe: ProbeResult | None = None
    metrics: Metrics | None = None
    notes: tuple[str, ...] = ()

    @property
    def keys(self) -> np.ndarray | None:
        """The samples' ids as text: of the scores, else of the probe, else of the embeddings; None where no part has.

        Raises:
            InputError: ids that occur twice.
        """
        if self.scores is not None:
            return keys_of(self.scores.ids, f"scores of {self.name}")
        if self.probe is not None:
            return keys_of(self.probe.ids, f"probe of {self.name}")
        if self.embeddings is not None:
            return keys_of(self.embeddings.sample_ids, f"embeddings of {self.name}")
        return None

    @property
    def inputs(self) -> Mapping[str, str]:
        """What its parts were made from, with digests."""
        records = {"scores": self.scores, "probe": self.probe, "metrics": self.metrics}
        found = {
            f"{part}.{name}": digest
            for part, record in records.items()
            if record is not None
            for name, digest in record.provenance.inputs.items()
        }
        return found | ({} if self.embeddings is None else {"embeddings": digest_rows(self.embeddings.h)})


_FIELD = {Embeddings: "embeddings", Scores: "scores", ProbeResult: "probe", Metrics: "metrics"}


def sides(given: Sequence[Any], names: Sequence[str] | None) -> list[Side]:
    """What is given of each encoder, under names of their own.

    Args:
        given: for each a run (its path, or opened), or one or several of Embeddings, Scores, ProbeResult and Metrics.
        names: one for each; None: the names of the runs' folders, "encoder 1", "encoder 2" ... where there are none.

    Raises:
        InputError: fewer than two, names that are not as many, or twice the same; a run with nothing to compare.
        InputTypeError: something else.
        FileFormatError: no run.
    """
    if len(given) < 2:
        raise InputError(f"{len(given)} encoder was given, but it takes two or more to compare")
    found = [_side(each, f"encoder {number}") for number, each in enumerate(given, 1)]
    labels = _unique([side.name for side in found]) if names is None else list(names)
    if len(labels) != len(found) or len(set(labels)) < len(labels):
        raise InputError(f"names is {labels}, but {len(found)} different names are needed")
    return [_scored(replace(side, name=label)) for side, label in zip(found, labels, strict=True)]


def _side(given: Any, name: str) -> Side:
    if isinstance(given, str | os.PathLike):
        return _of_run(open_run(Path(given)))
    if isinstance(given, Run):
        return _of_run(given)
    parts = given if isinstance(given, list | tuple) else (given,)
    known: dict[str, Any] = {}
    for part in parts:
        kind = _FIELD.get(type(part))
        if kind is None:
            raise InputTypeError(
                f"{name} is a {type(part).__name__}, but a run, Embeddings, Scores, a ProbeResult or Metrics are needed"
            )
        if kind in known:
            raise InputError(f"{name} has its {kind} twice: give each part once")
        known[kind] = part
    if not known:
        raise InputError(f"{name} is empty: give its run, or its Embeddings, Scores, ProbeResult or Metrics")
    return Side(name, **known)


def _of_run(run: Run) -> Side:
    """The parts of a run: the records of these kinds' own names, and the embeddings that it keeps."""
    wanted = {"scores": Scores, "probe": ProbeResult, "metrics": Metrics}
    known: dict[str, Any] = {
        name: run.records[name] for name, kind in wanted.items() if isinstance(run.records.get(name), kind)
    }
    folder = run.path / _EMBEDDINGS
    if folder.is_dir():
        known["embeddings"] = load(folder)
    if not known:
        raise InputError(
            f"{run.path} has neither scores, nor a probe, metrics or {_EMBEDDINGS}: nothing can be compared"
        )
    notes = (f"{name} of {run.path.name} cannot be read: {why}" for name, why in run.damaged.items() if name in wanted)
    return Side(run.path.resolve().name, **known, notes=tuple(notes))


def _scored(side: Side) -> Side:
    """With scores, where there are embeddings to make them from."""
    if side.scores is not None or side.embeddings is None:
        return side
    return replace(side, scores=score(side.embeddings))


def _unique(names: Sequence[str]) -> list[str]:
    """Names that occur twice get a number."""
    return [
        f"{name} {names[:place].count(name) + 1}" if names.count(name) > 1 else name for place, name in enumerate(names)
    ]
