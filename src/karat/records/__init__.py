"""Results as data: frozen records that go to JSON and back, to Parquet with their columns, and print as tables."""

from __future__ import annotations

from .explanations import Explanation
from .kinds import Curve, Estimate, Health, Metrics, ProbeResult, Provenance, Scores, Summary
from .known import Record, WithColumns
from .labelling import Calibration, ReliabilityBin, Selection
from .overlaps import Faithfulness, MapOverlap, OrderFaithfulness, Overlap, OverlapDifference
from .plain import SCHEMA, from_dict, to_dict
from .study import Study, StudyArm
from .training import Epoch, Finetuning
from .verdicts import (
    ClassEvaluation,
    Comparison,
    Compression,
    CurvePoint,
    Evaluation,
    PairedTest,
    ProbeShift,
    ScoreEvaluation,
    ScoreShift,
)

__all__ = [
    "SCHEMA",
    "Calibration",
    "ClassEvaluation",
    "Comparison",
    "Compression",
    "Curve",
    "CurvePoint",
    "Epoch",
    "Estimate",
    "Evaluation",
    "Explanation",
    "Faithfulness",
    "Finetuning",
    "Health",
    "MapOverlap",
    "Metrics",
    "OrderFaithfulness",
    "Overlap",
    "OverlapDifference",
    "PairedTest",
    "ProbeResult",
    "ProbeShift",
    "Provenance",
    "Record",
    "ReliabilityBin",
    "ScoreEvaluation",
    "ScoreShift",
    "Scores",
    "Selection",
    "Study",
    "StudyArm",
    "Summary",
    "WithColumns",
    "from_dict",
    "to_dict",
]
