"""Results as data: frozen records that go to JSON and back, to Parquet with their columns, and print as tables."""

from __future__ import annotations

from .kinds import (
    Estimate,
    Evaluation,
    Health,
    Metrics,
    ProbeResult,
    Provenance,
    Record,
    ScoreEvaluation,
    Scores,
    Summary,
)
from .plain import SCHEMA, from_dict, to_dict

__all__ = [
    "SCHEMA",
    "Estimate",
    "Evaluation",
    "Health",
    "Metrics",
    "ProbeResult",
    "Provenance",
    "Record",
    "ScoreEvaluation",
    "Scores",
    "Summary",
    "from_dict",
    "to_dict",
]
