"""Markdown of a report, made of its page: the same words and tables; figures and pictures are files beside it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from .._files import refuse_existing, write_bytes, writing
from .tree import Element, parsed

_ACROSS = 6
# What Markdown, or GitHub's dialect, would take for marks; "@" and "#" would become links to people and issues.
_MARKS = re.compile(r"([\\`*\[\]|~$]|(?<!\w)_|_(?!\w))")
_LINKS = re.compile(r"(@|#(?=\w)|(?<=http)(?=s?://)|(?<=www)(?=\.))")
# Drawn for narrow windows only, or for nobody who reads.
_SKIPPED = {"nav", "style", "head", "caption"}


def write_markdown(target: Path, html: str, *, overwrite: bool) -> None:
    """Write a page as Markdown, and its figures and pictures into the folder NAME_files beside it.

    Raises:
        OutputExistsError: that folder exists and `overwrite` is false.
        OutputError: nothing could be written there.
    """
    folder = target.with_name(f"{target.stem}_files")
    refuse_existing(folder, overwrite=overwrite)
    text, attached = markdown(html, folder.name)
    if attached:
        with writing(folder):
            folder.mkdir(exist_ok=True)
        for name, content in attached.items():
            write_bytes(folder / name, content)
    write_bytes(target, text.encode("utf-8", "replace"))


def markdown(html: str, folder: str) -> tuple[str, dict[str, bytes]]:
    """A page as Markdown (GitHub's), and the files that it shows: name -> content.

    Args:
        html: the page.
        folder: where the files will lie, relative to the Markdown.
    """
    writer = _Writer(folder)
    blocks = writer.blocks(parsed(html))
    return "\n\n".join(block for block in blocks if block.strip()) + "\n", writer.attached


class _Writer:
    """Turns elements into blocks, and collects the files that they show."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.attached: dict[str, bytes] = {}
        self._block: dict[str, Callable[[Element], Iterator[str]]] = {
            **dict.fromkeys(("h1", "h2", "h3", "h4", "h5"), self._heading),
            "p": self._paragraph,
            "ul": self._list,
            "ol": self._list,
            "dl": self._pairs,
            "table": self._table,
            "figure": self._figure,
            "details": self._details,
            "footer": self._footer,
        }

    def blocks(self, element: Element) -> Iterator[str]:
        """Everything inside an element."""
        for child in element.children:
            if child.tag not in _SKIPPED:
                yield from self._block.get(child.tag, self.blocks)(child)

    def _heading(self, element: Element) -> Iterator[str]:
        yield f"{'#' * int(element.tag[1])} {_inline(element)}"

    def _paragraph(self, element: Element) -> Iterator[str]:
        text = _inline(element)
        if element.classes & {"warning", "missing"}:
            yield f"> [!WARNING]\n> {text}"
        elif "verdict" in element.classes:
            yield f"> {text}"
        else:
            yield _unlisted(text)

    def _list(self, element: Element) -> Iterator[str]:
        if "sheet" in element.classes:
            yield self._sheet(element)
        else:
            mark = "1." if element.tag == "ol" else "-"
            yield "\n".join(f"{mark} {_inline(item)}" for item in element.children)

    def _pairs(self, element: Element) -> Iterator[str]:
        rows = ([_inline(part) for part in pair.children] for pair in element.children)
        yield "\n".join(f"- {name}: {value}" for name, value in rows)

    def _table(self, element: Element) -> Iterator[str]:
        yield from (f"*{_inline(caption)}*" for caption in element.all("caption"))
        rows = [_cells(row) for row in element.all("tr")]
        width = max(map(len, rows))
        rows = [row + [""] * (width - len(row)) for row in rows]
        kept = [place for place in range(width) if any(row[place] for row in rows)]
        first = next(element.all("tr")).children
        ends = ["---:" if place < len(first) and "value" in first[place].classes else "---" for place in kept]
        lines = [[row[place] for place in kept] for row in rows]
        yield "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], ends, *lines[1:]])

    def _figure(self, element: Element) -> Iterator[str]:
        captions = [_inline(caption) for caption in element.all("figcaption")]
        for box in element.all("div"):
            if box.attributes.get("role") == "img":
                drawn = next(each for each in box.children if "narrow" not in each.classes)
                yield self._shown(_alone(next(drawn.all("svg"))), "figure", "svg", box.attributes["aria-label"])
        for image in element.all("img"):
            yield self._shown(*_decoded(image.attributes["src"]), image.attributes["alt"])
        yield from (f"*{caption.strip()}*" for caption in captions)

    def _details(self, element: Element) -> Iterator[str]:
        title, *rest = element.children
        inner = "\n\n".join(self.blocks(Element("", {}, list(rest))))
        yield f"<details>\n<summary>{escape(title.text.strip())}</summary>\n\n{inner}\n\n</details>"

    def _footer(self, element: Element) -> Iterator[str]:
        yield "---"
        yield from self.blocks(element)

    def _sheet(self, element: Element) -> str:
        """A gallery as an HTML table, which GitHub shows as it is."""
        tiles = [self._tile(tile) for tile in element.children]
        rows = ("".join(tiles[start : start + _ACROSS]) for start in range(0, len(tiles), _ACROSS))
        return "<table>\n" + "\n".join(f"<tr>{row}</tr>" for row in rows) + "\n</table>"

    def _tile(self, tile: Element) -> str:
        parts = []
        for child in tile.children:
            if child.tag == "img":
                content, kind, ending = _decoded(child.attributes["src"])
                source, alt = quote(self._attach(content, kind, ending)), escape(child.attributes["alt"])
                parts.append(f'<img src="{source}" width="96" alt="{alt}">')
            elif child.text.strip():
                parts.append(_quiet(escape(child.text.strip(), quote=False)).replace("$", "&#36;"))
        return f"<td>{'<br>'.join(parts)}</td>"

    def _shown(self, content: bytes, kind: str, ending: str, alt: str) -> str:
        return f"![{_escaped(' '.join(alt.split()))}]({quote(self._attach(content, kind, ending))})"

    def _attach(self, content: bytes, kind: str, ending: str) -> str:
        number = sum(name.startswith(kind) for name in self.attached) + 1
        name = f"{kind}-{number:03d}.{ending}"
        self.attached[name] = content
        return f"{self.folder}/{name}"


def _inline(element: Element) -> str:
    """What is inside an element, in one line."""
    text = "".join(_escaped(each) if isinstance(each, str) else _word(each) for each in element.inside)
    return re.sub(r"\s+", " ", text).strip()


def _word(element: Element) -> str:
    if element.attributes.get("aria-hidden") == "true":
        return ""
    inner = _inline(element)
    if element.tag == "code":
        return _code(element.text.strip())
    if element.tag == "strong" or (element.tag == "dt" and inner):
        return f"**{inner}**"
    return f" <sub>{inner}</sub>" if element.classes & {"note", "interval", "change"} and inner else inner


def _code(text: str) -> str:
    """Text as it is, between as many backticks as it takes."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks, space = "`" * (longest + 1), " " if "`" in text else ""
    return f"{ticks}{space}{text}{space}{ticks}".replace("|", "\\|") if text else ""


def _escaped(text: str) -> str:
    """Text in which nothing is a mark, a tag or a link."""
    return _quiet(_MARKS.sub(r"\\\1", escape(re.sub(r"\s+", " ", text), quote=False)))


def _quiet(text: str) -> str:
    """Text in which GitHub finds nobody to notify and nothing to link."""
    return _LINKS.sub("\\1<!-- -->", text)


def _unlisted(text: str) -> str:
    """A paragraph that does not begin as a list, a heading or a quotation would."""
    return re.sub(r"^(\d+)([.)])|^([-+#=])", lambda found: f"{found[1] or ''}\\{found[2] or found[3]}", text)


def _cells(row: Element) -> list[str]:
    """The cells of a row; a heading that spans several is bold, and blank cells follow."""
    found = []
    for cell in row.children:
        hidden = cell.attributes.get("aria-hidden") == "true"
        text = "" if hidden else _inline(cell)
        spans = int(cell.attributes.get("colspan", "1"))
        found += [f"**{text}**" if spans > 1 and text else text] + [""] * (spans - 1)
    return found


def _decoded(source: str) -> tuple[bytes, str, str]:
    """A picture's bytes, what it is called, and the ending of its file."""
    head, _, data = source.partition(",")
    return base64.b64decode(data), "picture", "png" if "png" in head else "jpg"


def _alone(figure: Element) -> bytes:
    """A figure as an SVG file that stands alone, with the colours of the page."""
    css = (files(__package__) / "templates" / "report.css").read_text(encoding="utf-8")
    left, top, width, height = figure.attributes["viewbox"].split()
    inner = "".join(each if isinstance(each, str) else each.markup() for each in figure.inside)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} {top} {width} {height}" width="{width}" '
        f'height="{height}"><style>{css[: css.index("* {")]}</style>'
        f'<rect width="{width}" height="{height}" fill="var(--paper)"/>{inner}</svg>\n'
    ).encode()
