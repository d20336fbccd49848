"""Signed features: when a representation counts as signed, and is then centred and split in halves."""

from __future__ import annotations

from typing import Literal

from ..errors import InputError

# Features count as signed where more than this share of the reference's entries is negative.
SIGNED_SHARE = 0.001

Halves = Literal["auto"] | bool


class Signed(Exception):
    """More entries are negative than an unsigned representation may have."""


def checked_halves(halves: Halves) -> Halves:
    """ "auto", True or False.

    Raises:
        InputError: anything else.
    """
    if halves not in ("auto", True, False):
        raise InputError(f"halves={halves!r}, but 'auto', True or False is needed")
    return halves if halves == "auto" else bool(halves)


def is_signed(negatives: int, n: int, d: int) -> bool:
    """Whether so many of the entries of n rows [n, d] are negative that the features count as signed."""
    return negatives > SIGNED_SHARE * (n * d)  # one rounding only: a share of exactly 0.1% is not above it
