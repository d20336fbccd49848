"""karat probe"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import CycloptsError, Parameter, Token

from .. import probing, runs
from ..store import load
from . import inputs, requirements, results, terminal

TEMPERATURE = 0.07


def _numbers(_: Any, tokens: Sequence[Token]) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in tokens[0].value.split(","))
    except ValueError:
        raise ValueError(f"{tokens[0].value} is no list of numbers, such as 0.01,0.1") from None


def _list(text: str) -> Parameter:
    return Parameter(metavar="NUMBERS", converter=_numbers, n_tokens=1, help=text)


def probe(
    train: Annotated[Path, Parameter(help="Embeddings with labels, to train on.")],
    val: Annotated[Path, Parameter(help="Embeddings with labels, of the same encoder, to judge the probe on.")],
    /,
    *,
    out: Annotated[
        Path, Parameter(name=("-o", "--out"), metavar="RUN", help="Run folder that the result is added to.")
    ],
    protocol: Annotated[
        Literal["lbfgs", "kalibhat2024", "dinov2"],
        Parameter(help="How a linear probe is trained: its minimum, 100 epochs of SGD, or SGD at 13 learning rates."),
    ] = "lbfgs",
    strengths: Annotated[
        tuple[float, ...] | None, _list("Inverse penalties C of lbfgs, separated by commas; each is a head.")
    ] = None,
    learning_rates: Annotated[
        tuple[float, ...] | None, _list("Learning rates of SGD for a batch of 256; each is a head.")
    ] = None,
    weight_decays: Annotated[
        tuple[float, ...] | None, _list("Weight decays of SGD; each, with each learning rate, is a head.")
    ] = None,
    epochs: Annotated[
        int | None, Parameter(metavar="N", converter=inputs.whole(at_least=1), help="Epochs of SGD.")
    ] = None,
    batch_size: Annotated[
        int | None, Parameter(metavar="N", converter=inputs.whole(at_least=1), help="Samples in a step of SGD.")
    ] = None,
    knn: Annotated[
        int | None,
        Parameter(
            metavar="K",
            converter=inputs.whole(at_least=1),
            help="Let the K nearest training samples vote, in place of a linear probe.",
        ),
    ] = None,
    temperature: Annotated[
        float, Parameter(metavar="NUMBER", help="Of the votes of --knn, exp(cosine / temperature).")
    ] = TEMPERATURE,
    seed: inputs.Seed = 0,
    device: Annotated[
        str, Parameter(metavar="NAME", help="auto (a GPU for a large problem, where there is one), cpu, cuda ...")
    ] = "auto",
    threads: inputs.Threads = None,
    key: inputs.Key = None,
    column: inputs.Column = None,
    labels: inputs.Labels = None,
    val_labels: Annotated[
        str | None, Parameter(metavar="FILE", help="The same for VAL; --labels is for TRAIN.")
    ] = None,
    ids: Annotated[str | None, Parameter(metavar="FILE", help="One id a sample of VAL, by which scores join.")] = None,
    overwrite: inputs.Overwrite = False,
    json: results.Json = False,
    require: requirements.Require = None,
) -> None:
    linear: dict[str, Any] = {
        "strengths": strengths,
        "learning_rates": learning_rates,
        "weight_decays": weight_decays,
        "epochs": epochs,
        "batch_size": batch_size,
    }
    asked = linear | {"protocol": None if protocol == "lbfgs" else protocol, "seed": seed or None}
    _refuse_mixed(asked, knn, temperature)
    name = "probe" if knn is None else "knn_probe"
    runs.refuse_record(out, name, overwrite=overwrite)
    known = load(train, key=key, column=column, labels=labels)
    judged = load(val, key=key, column=column, labels=val_labels, ids=ids)
    with terminal.progress("probing") as progress:
        place: dict[str, Any] = {"device": device, "threads": threads, "progress": progress}
        if knn is None:
            result = probing.probe(known, judged, protocol=protocol, seed=seed, **linear, **place)
        else:
            result = probing.knn_probe(known, judged, k=knn, temperature=temperature, **place)
    runs.add_record(out, result, name=name, overwrite=overwrite)
    terminal.say(f"-> {out}")
    results.show(result, as_json=json, require=require)


def _refuse_mixed(linear: Mapping[str, Any], knn: int | None, temperature: float) -> None:
    """Refuse options of the one kind of probe that are given with the other."""
    if knn is None and temperature != TEMPERATURE:
        raise CycloptsError(msg="--temperature is of the votes of --knn, which is not given")
    for name, value in linear.items():
        if knn is not None and value is not None:
            raise CycloptsError(msg=f"--{name.replace('_', '-')} is of a linear probe, and --knn makes none")
