"""What a training tells while it runs: a log as JSON lines, TensorBoard, and whether it has gone wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .._files import write_bytes, writing
from .._optional import require
from ..errors import FileFormatError, TrainingError

LOG = "log.jsonl"
# Below this spread z counts as collapsed. Trained objectives have 0.5 to 1, random heads without batch
# normalisation 0.1; the rounding of bfloat16 alone makes 0.004.
COLLAPSED_BELOW = 0.02
# So many steps in a row: z may start out narrow.
PATIENCE = 100


def spread_of(z: Tensor) -> Tensor:
    """sqrt(p) times the mean over columns of the standard deviation (ddof = 0) of L2-normalised rows of z [n, p].

    1 = spread evenly over the sphere, 0 = collapsed to a point (Chen & He, CVPR 2021, figure 2).
    """
    unit = normalize(z.float(), dim=1)
    return unit.std(dim=0, correction=0).mean() * math.sqrt(z.shape[1])


class Log:
    """log.jsonl of a run, one object a line, and TensorBoard's events where they are wanted.

    Args:
        run: the run's folder; None: nothing is written.
        step: steps done before: what was logged after it, by a process that was killed, is dropped.
        tensorboard: write events to RUN/tensorboard too (these hold clock times and the host's name).
    """

    def __init__(self, run: Path | None, *, step: int, tensorboard: bool) -> None:
        self._path = None if run is None else run / LOG
        self._events: Any = None
        if run is not None and tensorboard:
            require("tensorboard", "events for TensorBoard")
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)
        if self._path is not None:
            write_bytes(self._path, "".join(_lines(self._path, step)).encode())

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add a line.

        Raises:
            OutputError: it could not be written.
        """
        if self._path is not None:
            plain = {key: None if isinstance(it, float) and not math.isfinite(it) else it for key, it in entry.items()}
            with writing(self._path), open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(plain, allow_nan=False) + "\n")
        if self._events is not None:
            for name, value in entry.items():
                if isinstance(value, int | float) and name not in ("step", "epoch"):
                    self._events.add_scalar(f"{entry['of']}/{name}", value, entry["step"])
            self._events.flush()

    def close(self) -> None:
        """Nothing is added any more."""
        if self._events is not None:
            self._events.close()


def refuse_nan(values: Mapping[str, float], *, epoch: int, step: int, lr: float) -> None:
    """Stop where what is minimised is no number, before a step is made of it.

    Raises:
        TrainingError: it is not finite.
    """
    if bad := [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]:
        raise TrainingError(
            f"{' and '.join(bad)} in epoch {epoch}, step {step}, at a learning rate of {lr:.3g}: lower it (lr) or the "
            "weights of the terms (lambda1, lambda2, lasso), or clip the gradient (settings clip)"
        )


def refuse_collapse(low_steps: int, spread: float, *, epoch: int, step: int) -> None:
    """Stop where z has been nearly the same for all images for many steps.

    Raises:
        TrainingError: it has.
    """
    if low_steps >= PATIENCE:
        raise TrainingError(
            f"the representation has collapsed: the spread of z is {spread:.3g} in epoch {epoch}, step {step}, and has "
            f"been below {COLLAPSED_BELOW:g} for {low_steps} steps (healthy are 0.5 to 1, 0 is a single point): use a "
            "lower lr, a larger batch, or smaller weights of the terms (lambda1, lambda2, lasso)"
        )


def refuse_bad_weights(module: torch.nn.Module, *, epoch: int, step: int) -> None:
    """Stop where the last steps have made weights that are no numbers, before they are saved.

    Raises:
        TrainingError: some are not finite.
    """
    bad = [name for name, value in module.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise TrainingError(
            f"weights are not finite after epoch {epoch}, step {step}: {', '.join(bad[:3])}: lower lr, or clip the "
            "gradient (settings clip)"
        )


def _lines(path: Path, step: int) -> list[str]:
    """The whole lines of a log up to a step; the last may have been broken off."""
    if step == 0 or not path.is_file():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    try:
        return [line for line in lines if json.loads(line)["step"] <= step]
    except (ValueError, LookupError, TypeError) as error:
        raise FileFormatError(f"{path} is damaged: remove it, and the run goes on without its lines") from error
