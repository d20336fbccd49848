"""karat explore"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from .. import explorer


def explore(
    run: Annotated[Path, Parameter(help="Run folder.")],
    /,
    *,
    encoder: Annotated[
        str | None,
        Parameter(
            metavar="ENCODER",
            help="The run's encoder, to draw heatmaps of any feature: a checkpoint, a published name, timm:NAME ...; "
            "without it those are shown that the run holds.",
        ),
    ] = None,
    images: Annotated[
        str | None,
        Parameter(metavar="IMAGES", help="Folder or .npz with the samples' images, if the run does not say."),
    ] = None,
    host: Annotated[
        str, Parameter(metavar="ADDRESS", help="Address to listen at; any that others can reach needs a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        Parameter(
            metavar="N", validator=Number(gte=0, lt=1 << 16), help="Port to listen at; one in use is passed over."
        ),
    ] = explorer.PORT,
    token: Annotated[
        str | None,
        Parameter(
            metavar="TEXT",
            env_var="KARAT_TOKEN",
            help="What a browser must show once, as ?token= in the address; 16 characters or more.",
        ),
    ] = None,
    no_browser: Annotated[bool, Parameter(show_default=False, help="Do not open the page in a browser.")] = False,
) -> None:
    explorer.explore(run, encoder=encoder, images=images, host=host, port=port, token=token, no_browser=no_browser)
