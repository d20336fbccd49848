"""What became of every key of a checkpoint: used, dropped by which rule, missing, left over, of another shape."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..records.layout import PIPED_WIDTH, print_blocks, table

_SHOWN = 10  # keys of a kind in print; to_dict has all


@dataclass(frozen=True)
class Coverage:
    """A file of weights against the encoder that it is recognised as. Prints as a table.

    Attributes:
        file: its name.
        sha256, format: of the file.
        says: what the file says of itself (arch, epoch, ...).
        layout: the layout that fits best; None where no layout has any key of the file.
        why: why it was taken, or why it may not be.
        architecture: what is built; empty where that cannot be told.
        dim: number of features; 0 where the encoder is not complete.
        h: what h is, in words; empty where the encoder is not complete.
        preprocessing: of the images, in words.
        dtypes: how many of the encoder's tensors have which type in the file; floating-point ones become float32.
        places: the encoder's own parameters and buffers.
        used: the file's keys that become the encoder's.
        dropped: keys that are no part of the encoder, each with the rule of the layout that says so.
        beside: what the file holds beside the encoder's container, unread (optimizer, ...).
        absent: buffers that the file lacks and that do not change h: how many batches a BatchNorm has seen.
        missing: places without a tensor.
        left_over: keys without a place.
        misfits: keys whose tensor is not what the place needs: key, what it is, what is needed.
        also: other layouts that place every key, with the same preprocessing and the same result.
        ambiguous: the layouts that place every key with different preprocessing or results, and what each would do;
            one must be named.
    """

    file: str
    sha256: str
    format: str
    says: dict[str, str]
    layout: str | None = None
    why: str = ""
    architecture: str = ""
    dim: int = 0
    h: str = ""
    preprocessing: str = ""
    dtypes: dict[str, int] | None = None
    places: int = 0
    used: tuple[str, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    beside: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()
    misfits: tuple[tuple[str, str, str], ...] = ()
    also: tuple[str, ...] = ()
    ambiguous: tuple[tuple[str, str], ...] = ()

    @property
    def faults(self) -> int:
        """Keys and places that do not fit together."""
        return len(self.missing) + len(self.left_over) + len(self.misfits)

    @property
    def complete(self) -> bool:
        """Whether every key has its place and every place its tensor, in one way only."""
        return self.layout is not None and self.places > 0 and not self.faults and not self.ambiguous

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "complete": self.complete}

    def __str__(self) -> str:
        output = io.StringIO()
        print_blocks(Console(file=output, width=PIPED_WIDTH, highlight=False, no_color=True), coverage_blocks(self))
        return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def coverage_blocks(coverage: Coverage) -> list[Table | str]:
    """A coverage as terminal tables and a verdict."""
    return [_facts(coverage), *_faults(coverage), _verdict(coverage)]


def _facts(coverage: Coverage) -> Table:
    filled = coverage.places - len(coverage.missing) - len(coverage.misfits) - len(coverage.absent)
    rows = {
        "sha256": coverage.sha256,
        "format": coverage.format,
        "the file says": ", ".join(f"{key} {value}" for key, value in coverage.says.items()),
        "layout": coverage.layout or "none",
        "why": coverage.why,
        "architecture": coverage.architecture,
        "h": coverage.h,
        "preprocessing": coverage.preprocessing,
        "types": ", ".join(f"{count} {name}" for name, count in (coverage.dtypes or {}).items()),
        "places filled": f"{filled:,} of {coverage.places:,}" if coverage.places else "",
        "keys used": f"{len(coverage.used):,}",
        **{
            f"dropped: {rule}": f"{count:,} keys"
            for rule, count in Counter(rule for _, rule in coverage.dropped).items()
        },
        "absent, without effect on h": f"{len(coverage.absent):,} (num_batches_tracked)" if coverage.absent else "",
        "beside it, not read": ", ".join(coverage.beside),
    }
    facts = table(coverage.file)
    facts.show_header = False
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            facts.add_row(escape(name), escape(value))
    return facts


def _faults(coverage: Coverage) -> list[Table]:
    """One table for each kind of fault there is."""
    misfits = tuple(f"{key} is {found}, not {needed}" for key, found, needed in coverage.misfits)
    kinds = {
        "missing": coverage.missing,
        "left over": coverage.left_over,
        "of another shape or type": misfits,
        "layouts that differ": tuple(f"{name}: {effect}" for name, effect in coverage.ambiguous),
    }
    return [_list(f"{name} ({len(keys):,})", keys) for name, keys in kinds.items() if keys]


def _list(title: str, keys: tuple[str, ...]) -> Table:
    listed = table(title)
    listed.show_header = False
    listed.add_column(overflow="fold")
    for key in keys[:_SHOWN]:
        listed.add_row(escape(key))
    if len(keys) > _SHOWN:
        listed.add_row(f"and {len(keys) - _SHOWN:,} more")
    return listed


def _verdict(coverage: Coverage) -> str:
    if coverage.complete:
        return "Every key is accounted for: it can be loaded."
    if coverage.ambiguous:
        names = " or ".join(f"--layout {name}" for name, _ in coverage.ambiguous)
        return f"Its keys fit several layouts that prepare images differently. Say which it is: {names}."
    return "It is not loaded: nothing of an encoder is ever left at random."
