"""Options of the verbs that run an encoder over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

from . import inputs


def _share(_: Any, tokens: Sequence[Token]) -> float:
    """A share as 0.01 or 1%."""
    text = tokens[0].value
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ValueError(f"{text} is neither a share (0.01) nor a percentage (1%)") from None


EncoderName = Annotated[
    str,
    Parameter(
        help="A checkpoint, a published name (karat encoders), timm:NAME, torchvision:NAME, hf:REPO or an .onnx."
    ),
]
ImagesName = Annotated[
    str,
    Parameter(
        help="A folder of images, an .npz, a Parquet of image bytes, a list of paths (.txt, .csv, .parquet), "
        "wds:PATTERN, hf:NAME[:SPLIT] or torchvision:NAME:ROOT[:SPLIT]."
    ),
]
Arch = Annotated[
    str | None, Parameter(metavar="NAME", help="Architecture of the checkpoint, where it cannot be told from it.")
]
Layout = Annotated[str | None, Parameter(metavar="NAME", help="Layout of the checkpoint, where several would fit.")]
UnsafeLoad = Annotated[
    bool,
    Parameter(
        show_default=False,
        help="Let a checkpoint run whatever code it contains. Only for files whose makers you trust.",
    ),
]
BatchSize = Annotated[
    int, Parameter(metavar="N", converter=inputs.whole(at_least=1), help="Rows in one call of the encoder.")
]
Device = Annotated[str, Parameter(metavar="NAME", help="auto (a GPU where there is one), cpu, cuda, cuda:1 ...")]
Workers = Annotated[
    int | None,
    Parameter(
        metavar="N",
        converter=inputs.whole(at_least=0),
        help="Processes that decode images ahead; by default 1 on a CPU, else one a processor, at most 16.",
    ),
]
MaxBad = Annotated[
    float,
    Parameter(metavar="SHARE", converter=_share, help="Images that may fail to decode (0.01 or 1%); they are listed."),
]
Resume = Annotated[
    bool, Parameter(show_default=False, help="Go on where an interrupted run with the same settings stopped.")
]
