"""Doctests in docstrings as examples: Markdown alone would take their `>>>` for quotations."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class DoctestsAsExamples(griffe.Extension):
    """Puts every paragraph that begins with `>>>` under the heading that Griffe knows examples by."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = _DOCTEST.sub(_as_section, obj.docstring.value)


def _as_section(doctest: re.Match[str]) -> str:
    return "Examples:\n" + textwrap.indent(doctest.group(), "    ")
