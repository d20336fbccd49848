"""The folder of a study: which one it holds, so that no other is mixed with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import runs
from .._files import write_bytes, writing
from ..errors import FileFormatError, InputError, OutputExistsError
from ..records import Study
from .checkpoints import differences
from .studying import ARMS

_SETTINGS, _SCHEMA = "study.json", 1


def claim(out: Path, identity: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Say in the folder which study is there, after having made sure that no other one is.

    Args:
        out: the folder.
        identity: settings and inputs, plain JSON.
        resume: go on with the same study; overwrite: remove what is there.

    Raises:
        InputError: another study is there.
        OutputExistsError: a study is there, and neither is asked for.
        FileFormatError: what says which one is there is damaged.
    """
    if resume and overwrite:
        raise InputError("resume goes on with what is there and overwrite replaces it: choose one of them")
    file = out / _SETTINGS
    if file.exists() and not overwrite:
        if not resume:
            raise OutputExistsError(
                f"{out} has a study already, which was left alone: go on with it (--resume), replace it (--overwrite), "
                "or choose another output"
            )
        if changes := differences(_settled(file), {**identity["settings"], **identity["inputs"]}):
            raise InputError(f"{out} has another study: {changes}. Resume with what is there")
        return
    if not file.exists():
        runs.refuse_record(out, Study.kind, overwrite=overwrite)
    with writing(out):
        for folder in out.glob("*-*") if file.exists() else ():
            if folder.name.rpartition("-")[0] in ARMS:
                shutil.rmtree(folder)
        out.mkdir(parents=True, exist_ok=True)
    write_bytes(file, (json.dumps({"schema": _SCHEMA, **identity}, indent=1) + "\n").encode())


def _settled(file: Path) -> dict[str, Any]:
    """Settings and inputs of the study that is there."""
    try:
        content = json.loads(file.read_bytes())
        if content["schema"] == _SCHEMA:
            return {**content["settings"], **content["inputs"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise FileFormatError(f"{file} is damaged ({error}): replace the study (--overwrite)") from error
    raise FileFormatError(f"{file} is of another version of karat: replace the study (--overwrite)")
