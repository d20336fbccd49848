"""All kinds of records."""

from __future__ import annotations

from typing import get_args

from .explanations import Explanation
from .kinds import Metrics, ProbeResult, Scores
from .labelling import Calibration, Selection
from .overlaps import Faithfulness, Overlap
from .study import Study
from .training import Finetuning
from .verdicts import Comparison, Compression, Evaluation

# A record with a table of its own: one value a sample in each column.
WithColumns = Scores | ProbeResult | Calibration | Selection | Comparison | Explanation
Record = WithColumns | Metrics | Evaluation | Compression | Finetuning | Study | Overlap | Faithfulness

KINDS: dict[str, type[Record]] = {cls.kind: cls for cls in get_args(Record)}
