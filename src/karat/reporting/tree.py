"""A page as a tree of its elements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser

_VOID = {"meta", "link", "img", "br", "hr", "input"}


@dataclass
class Element:
    """An element with what is inside it: elements and text, in order."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    inside: list[Element | str] = field(default_factory=list)

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    @property
    def children(self) -> list[Element]:
        """The elements inside, without the text."""
        return [each for each in self.inside if isinstance(each, Element)]

    @property
    def text(self) -> str:
        """All text inside, white space collapsed."""
        return re.sub(r"\s+", " ", "".join(each if isinstance(each, str) else each.text for each in self.inside))

    def all(self, *tags: str) -> Iterator[Element]:
        """The elements of these tags inside, at any depth, in order."""
        for child in self.children:
            if child.tag in tags:
                yield child
            yield from child.all(*tags)

    def markup(self) -> str:
        """The element as it was written."""
        attributes = "".join(f' {name}="{escape(value)}"' for name, value in self.attributes.items())
        if self.tag in _VOID:
            return f"<{self.tag}{attributes}>"
        inner = "".join(escape(each, quote=False) if isinstance(each, str) else each.markup() for each in self.inside)
        return f"<{self.tag}{attributes}>{inner}</{self.tag}>"


def parsed(html: str) -> Element:
    """The tree of a page whose elements are all closed."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.root


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].inside.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].inside.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].inside.append(data)
