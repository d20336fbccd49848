"""What the top features see: the images that activate each of them most."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..attribution.features import FeaturePage, feature_pages
from ..errors import FileFormatError
from ..records import Scores
from .gallery import SHOWN, Pictures, shortened
from .samples import column

FEATURES, IMAGES = 12, 8

Json = dict[str, Any]


def kept_activations(folder: Path | None, name: str) -> bool:
    """Whether the activations of a run's scores record were kept; they are those of the record "scores"."""
    return name == "scores" and folder is not None and (folder / "features.parquet").is_file()


def features_section(scores: Scores, folder: Path, pictures: Pictures | None) -> Json:
    """The discriminative features that most samples activate highly, each with the images that activate it most.

    Returns:
        "discriminative": how many there are, "features": of how many, "halves", "pictures" (whether there are images);
        "rows": at most 12, by falling share, each "feature" (its column), "half" ("", "+" or "−"), "share", "redundant"
        (features that say the same) and "tiles" of "id", "label", "value", "picture".

    Raises:
        FileFormatError: the kept activations are missing or damaged.
    """
    pages = _pages(scores, folder)
    shown = sorted({str(name) for page in pages for name in page.ids})
    images = {} if pictures is None else pictures(shown, SHOWN)
    labels = column(scores, "label") if "label" in scores.columns else None
    width = scores.health.d if scores.health.halves else None
    return {
        "discriminative": int(scores.discriminative.sum()),
        "features": len(scores.discriminative),
        "halves": scores.health.halves,
        "pictures": pictures is not None,
        "rows": [
            {
                **_numbered(page.feature, width),
                "share": page.share,
                "redundant": [_text(other, width) for other in page.redundant_with[:5]],
                "tiles": _tiles(page, labels, images),
            }
            for page in pages
        ],
    }


def _pages(scores: Scores, folder: Path) -> list[FeaturePage]:
    members = np.flatnonzero(scores.discriminative)
    chosen = members[np.argsort(-scores.activation_share[members], kind="stable")][:FEATURES]
    try:
        return feature_pages(folder, features=chosen.tolist(), top=IMAGES) if len(chosen) else []
    except FileFormatError as error:  # a report says nothing of where the run lies
        raise FileFormatError(str(error).replace(f"{folder}{os.sep}", "")) from error


def _numbered(feature: int, width: int | None) -> Json:
    """The column of h, and which half of it, where features were split."""
    if width is None:
        return {"feature": feature, "half": ""}
    return {"feature": feature % width, "half": "+" if feature < width else "−"}


def _text(feature: int, width: int | None) -> str:
    found = _numbered(feature, width)
    return f"{found['feature']}{found['half']}"


def _tiles(page: FeaturePage, labels: np.ndarray | None, images: dict[str, Json]) -> list[Json]:
    return [
        {
            "id": shortened(name),
            "label": None if labels is None or labels[row] in (None, "") else shortened(labels[row]),
            "value": float(value),
            "picture": images.get(str(name)),
        }
        for name, row, value in zip(page.ids.tolist(), page.rows.tolist(), page.values.tolist(), strict=True)
    ]
