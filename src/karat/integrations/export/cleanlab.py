"""Records as issues of cleanlab's Datalab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..._optional import require
from ...catalog import direction_of
from ...errors import InputError, InputTypeError
from ...joining import listed
from ...records import Calibration, Scores, Selection
from ...records.kinds import column_of
from ...stats.ranking import share_not_higher
from .plain import Tags, tagged

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]


def to_cleanlab(
    record: Scores | Selection | Calibration,
    *,
    scores: Sequence[str] | None = None,
    lowest: float = 0.1,
    tags: Tags | None = None,
) -> pd.DataFrame:
    """A record as issues of cleanlab's Datalab: of each X the columns is_X_issue and X_score, one row a sample.

    X_score lies in [0, 1], and near 0 an issue is severe:

    * of scores, the share of samples that are no better (a percentile, turned so that low is bad); the `lowest` share
      are issues (where more samples than that tie for the lowest value, none of them is);
    * of a selection, that percentile, and all are issues;
    * of a calibration, X is "misclassified", and X_score is 1 - P(misclassified); below 0.5 is an issue;
    * of tags, 0 with the tag, and 1 without.

    Args:
        record: what is told of each sample, in the order of the data set that Datalab looks at.
        scores: which scores of a `Scores` record; None: all but `random`.
        lowest: share of the samples that a score calls issues, from 0 to 1.
        tags: name -> ids of the samples that are an issue of that name.

    Returns:
        A DataFrame: id, then two columns an issue. NaN, and no issue, where a sample has no score.

    Raises:
        InputError: an unknown score, a share out of range, tagged ids that the record lacks.
        InputTypeError: a record of another kind.
        MissingDependencyError: pandas is not installed.

    >>> from karat import score
    >>> import numpy as np
    >>> h = np.random.default_rng(0).exponential(size=(200, 64)) ** 2
    >>> to_cleanlab(score(h, epsilon=3), scores=["q_score"]).columns.tolist()
    ['id', 'is_q_score_issue', 'q_score_score']

    Reference: cleanlab, `Datalab.get_issues` and `IssueManager` ("a numeric severity score between 0 and 1, with values
        near 0 indicating severe instances").
    """
    frame: pd.DataFrame = require("pandas", "to_cleanlab").DataFrame(
        cleanlab_columns(record, scores=scores, lowest=lowest, tags=tags)
    )
    return frame


def cleanlab_columns(
    record: Scores | Selection | Calibration,
    *,
    scores: Sequence[str] | None = None,
    lowest: float = 0.1,
    tags: Tags | None = None,
) -> dict[str, np.ndarray]:
    """The columns of `to_cleanlab`."""
    ids = column_of(record, "id")
    columns = {"id": ids}
    for name, (is_issue, severity) in _issues(record, scores, lowest).items():
        columns |= {f"is_{name}_issue": is_issue, f"{name}_score": severity}
    for name, members in tagged(ids, tags or {}).items():
        columns |= {f"is_{name}_issue": members, f"{name}_score": np.where(members, 0.0, 1.0)}
    return columns


def _issues(record: object, scores: Sequence[str] | None, lowest: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name of an issue -> who has it, bool [n], and how good each sample is, [n] in [0, 1]."""
    match record:
        case Scores():
            if not 0 <= lowest <= 1:
                raise InputError(f"lowest is {lowest}, but a share from 0 to 1 is needed")
            names = [name for name in record.names if name != "random"] if scores is None else list(scores)
            unknown = [name for name in names if name not in record.names]
            if unknown:
                raise InputError(f"there is no score {listed(unknown)}: choose from {', '.join(record.names)}")
            places = {name: _place(name, column_of(record, name)) for name in names}
            return {name: (place <= lowest, place) for name, place in places.items()}
        case Selection():
            place = np.asarray(column_of(record, "percentile"), np.float64)
            return {record.by: (np.ones(len(place), bool), place)}
        case Calibration():
            right = 1 - np.asarray(record.p_wrong, np.float64)
            return {"misclassified": (right < 0.5, right)}
    raise InputTypeError(f"record is a {type(record).__name__}, but Scores, a Selection or a Calibration are needed")


def _place(name: str, values: np.ndarray) -> np.ndarray:
    """The share of samples that are no better, [n]."""
    return share_not_higher(direction_of(name) * np.asarray(values, np.float64))
