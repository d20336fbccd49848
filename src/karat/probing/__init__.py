"""Probes: how well frozen features tell labelled classes apart, and on which samples they fail."""

from __future__ import annotations

from .knn import knn_probe
from .linear import probe

__all__ = ["knn_probe", "probe"]
