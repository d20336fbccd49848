"""Numbers as people read them."""

from __future__ import annotations

import math


def number(value: float | None) -> str:
    """Three figures; whole numbers, and those from 1000 on, without decimals.

    >>> number(0.55), number(4.0), number(12345.6), number(-0.25), number(None)
    ('0.550', '4', '12,346', '−0.250', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    if value == int(value) or abs(value) >= 1000:
        shown = f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    else:
        shown = f"{value:#.3g}".rstrip(".")
    return shown.replace("-", "−", 1) if value < 0 else shown


def decimal(value: float | None) -> str:
    """Three decimals."""
    return "-" if value is None else f"{value:.3f}".replace("-", "−")


def share(value: float | None) -> str:
    """A share as a percentage.

    >>> share(0.4412), share(0.00001), share(0)
    ('44.1%', '<0.1%', '0%')
    """
    if value is None or math.isnan(value):
        return "-"
    if value in (0, 1):
        return f"{value:.0%}"
    return "<0.1%" if value < 0.0005 else ">99.9%" if value >= 0.9995 else f"{value:.1%}"


def count(value: int) -> str:
    """A whole number."""
    return f"{value:,}"


def signed(value: float | None) -> str:
    """A difference, with a true minus sign.

    >>> signed(0.0312), signed(-0.2), signed(None)
    ('+0.031', '−0.200', '-')
    """
    return "-" if value is None else f"{value:+.3f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value.

    >>> p_value(0.25), p_value(0.0002)
    ('0.250', '< 0.001')
    """
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def sentence(text: str) -> str:
    """A warning, with the full stop that some lack.

    >>> sentence("few samples"), sentence("Why?")
    ('few samples.', 'Why?')
    """
    return text if text.endswith((".", "!", "?")) else f"{text}."
