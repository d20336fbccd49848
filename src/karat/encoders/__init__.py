"""Encoders: from images to h."""

from .encoder import Encoder, Preprocessing
from .loading import inspect, load_encoder

__all__ = ["Encoder", "Preprocessing", "inspect", "load_encoder"]
