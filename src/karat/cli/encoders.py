"""karat encoders, karat encoders inspect, karat encoders convert"""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter

from ..encoders.coverage import coverage_blocks
from ..encoders.haiku import convert as convert_haiku
from ..encoders.loading import inspect as inspect_file
from ..encoders.published import PUBLISHED
from ..errors import InputError
from ..records.layout import table
from . import inputs, results, terminal

encoders = App(
    name="encoders",
    group_commands=Group("Files", sort_key=0),
    group_arguments=Group("Arguments", sort_key=1),
    group_parameters=Group("Options", sort_key=2),
)

Json = Annotated[bool, Parameter(name="--json", show_default=False, help="Print JSON, not a table.")]


@encoders.default
def listed(*, json: Json = False) -> None:
    if json:
        print(json_module.dumps([asdict(row) for row in PUBLISHED], indent=1))
        return
    rows = table("")
    rows.add_column("name", no_wrap=True)
    for name in ("method", "architecture", "top-1", "source"):
        rows.add_column(name, overflow="fold")
    for row in PUBLISHED:
        top1 = "" if row.linear_top1 is None else f"{row.linear_top1:.1f}"
        rows.add_row(row.name, row.method, row.architecture, top1, row.source)
    results.print_tables(rows, "--json also has addresses, file names, licences and what the images need.")


@encoders.command(help="What a checkpoint holds, and what becomes of every key of it.")
def inspect(
    file: Annotated[Path, Parameter(help="A checkpoint.")],
    /,
    *,
    arch: Annotated[
        str | None, Parameter(metavar="NAME", help="Its architecture, where it cannot be inferred: resnet50 ...")
    ] = None,
    layout: Annotated[
        str | None, Parameter(metavar="NAME", help="Its layout, where several fit: simclr-v1, dino ...")
    ] = None,
    unsafe_load: Annotated[
        bool,
        Parameter(show_default=False, help="Load a file that asks for more than weights; this can run code in it."),
    ] = False,
    json: Json = False,
) -> None:
    coverage = inspect_file(file, arch=arch, layout=layout, unsafe_load=unsafe_load)
    if json:
        print(json_module.dumps(coverage.to_dict(), indent=1))
    else:
        results.print_tables(*coverage_blocks(coverage))
    if not coverage.complete:
        raise InputError(f"{file} cannot be loaded as it is: see the report")


@encoders.command(help="Convert a checkpoint of BYOL to safetensors, without executing it.")
def convert(
    file: Annotated[Path, Parameter(help="A checkpoint as BYOL's own code writes it, .pkl.")],
    /,
    *,
    out: Annotated[Path, Parameter(name=("-o", "--out"), metavar="FILE", help="The file to write, NAME.safetensors.")],
    overwrite: inputs.Overwrite = False,
) -> None:
    convert_haiku(file, out, overwrite=overwrite)
    terminal.say(f"{file} -> {out}")
