"""Teachers: copies that follow their students without gradient."""

from __future__ import annotations

import math
from copy import deepcopy

from lightly.models.utils import update_momentum
from torch import nn


def teacher_of(*students: nn.Module) -> nn.ModuleList:
    """Copies of the modules, without gradient."""
    teacher = deepcopy(nn.ModuleList(students))
    teacher.requires_grad_(False)
    return teacher


def follow(teacher: nn.ModuleList, *students: nn.Module, momentum: float) -> None:
    """teacher <- momentum * teacher + (1 - momentum) * student, of all parameters."""
    update_momentum(nn.ModuleList(students), teacher, momentum)


def half_cosine(start: float, end: float, *, progress: float) -> float:
    """From start at progress 0 to end at progress 1, along half a cosine."""
    return end - (end - start) * (math.cos(math.pi * progress) + 1) / 2
