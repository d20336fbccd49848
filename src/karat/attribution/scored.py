"""The scores of a run that is explained: made, or found there already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import runs
from ..embeddings import Embeddings
from ..errors import InputError, OutputExistsError
from ..records import Scores
from ..scoring import score
from ..stats.digest import digest_rows


def scored(
    emb: Embeddings,
    reference: Embeddings,
    run: Path,
    *,
    settings: Mapping[str, Any],
    threads: int | None,
    resume: bool,
    overwrite: bool,
) -> Scores:
    """Scores of the images with their kept activations, in the run; those that are there are taken if they are these.

    Raises:
        OutputExistsError: the run has scores of other images, another reference or other settings.
    """
    target = run / "scores.parquet"
    if target.exists() and not overwrite:
        found = _same(target, emb, reference, settings)
        complete = (run / "activations").is_dir() and (run / "features.parquet").is_file()
        if found is not None and complete:
            return found
        if not resume or found is None:
            lacks = "no activations beside them" if found is not None else "other images, reference or settings"
            raise OutputExistsError(
                f"{target} holds scores with {lacks}, and was left alone: "
                "choose another run, or replace it (--overwrite)"
            )
    alone = reference is emb
    scores = score(
        emb,
        reference=None if alone else reference,
        **settings,
        threads=threads,
        out=target,
        keep_activations=True,
        overwrite=overwrite or resume,
    )
    runs.add_record(run, scores, overwrite=overwrite or resume)
    return scores


def _same(target: Path, emb: Embeddings, reference: Embeddings, settings: Mapping[str, Any]) -> Scores | None:
    """The scores in a file, where they are those of these embeddings, reference and settings."""
    try:
        found = runs.load_record(target)
    except InputError:
        return None
    if not isinstance(found, Scores) or any(found.provenance.parameters.get(key) != settings[key] for key in settings):
        return None
    inputs = {"embeddings": digest_rows(emb.h), "reference": digest_rows(reference.h)}
    return found if dict(found.provenance.inputs) == inputs else None
