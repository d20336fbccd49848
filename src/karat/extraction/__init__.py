"""Extraction: an encoder over images, as fast as the machine allows, and resumable."""

from .compute import Compute, choose
from .extract import extract
from .meter import Progress
from .processes import Team, torchrun_group

__all__ = ["Compute", "Progress", "Team", "choose", "extract", "torchrun_group"]
