"""Encoders: from images to h."""

from .encoder import Encoder, Preprocessing, load_encoder

__all__ = ["Encoder", "Preprocessing", "load_encoder"]
