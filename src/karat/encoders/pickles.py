"""What a pickle asks for, found without loading it, and inert stand-ins for the few classes that checkpoints need."""

from __future__ import annotations

import pickletools
import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import deque
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

# Opcodes that put a string on the stack, keep the top of the stack, and take it back.
_STRINGS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING")
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_MOST_REMEMBERED = 10_000_000  # objects that a pickle may number; the highest number costs memory
_MOST_INSTRUCTIONS = 3_000_000  # of a pickle; checkpoints have some ten for each tensor
_LONGEST = 1000  # characters of a name; longer strings are data
_NUMBER = re.compile(r"[biufc](1|2|4|8|16)")


def globals_of(file: IO[bytes]) -> set[str]:
    """The full names of all classes and functions that the pickle beginning here would import. Nothing is executed.

    It is for telling; a pickle can be written to mislead it, and what reads the pickle must refuse for itself.
    The file is left behind the pickle's last byte.

    Raises:
        ValueError: it is no pickle, or far too long for one of a checkpoint.

    >>> import io, pickle
    >>> sorted(globals_of(io.BytesIO(pickle.dumps([print, 1]))))
    ['builtins.print']
    """
    return set(_globals(file))


def _globals(file: IO[bytes]) -> Iterator[str]:
    strings: deque[str] = deque(maxlen=2)  # the last two are what STACK_GLOBAL takes
    memo: dict[int, str] = {}
    before = ""
    argument: Any
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count > _MOST_INSTRUCTIONS:
            raise ValueError(f"it has more than {_MOST_INSTRUCTIONS:,} instructions")
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            yield _full_name(*argument.split(" ", 1))
        elif name == "STACK_GLOBAL":
            yield _full_name(*strings) if len(strings) > 1 else "(a computed name)"
        elif name.startswith("EXT"):
            yield f"copyreg extension {argument}"
        elif name in _STRINGS:
            strings.append(str(argument)[:_LONGEST])
        elif name in _PUTS:  # MEMOIZE numbers by itself; only strings are followed
            number = len(memo) if argument is None else argument
            if number > _MOST_REMEMBERED:
                raise ValueError(f"it numbers more than {_MOST_REMEMBERED:,} objects")
            memo[number] = strings[-1] if before in _STRINGS else "(a computed name)"
        elif name in _GETS:
            strings.append(memo.get(argument, "(a computed name)"))
        before = name


def _full_name(module: str, name: str) -> str:
    """The name that Python 3 has for it."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


class Inert:
    """Stands for an object of another library: keeps its state, does nothing."""

    def __init__(self, *arguments: object) -> None:
        self.state: Any = {}

    def __setstate__(self, state: object) -> None:
        self.state = state


class Namespace(Inert):
    """argparse.Namespace."""


class Config(Inert):
    """A container of omegaconf; its items are in the state under _content."""


class Node(Inert):
    """A value of omegaconf; it is in the state under _val."""


class Plain:
    """A class of another library that is a dictionary with another face: what is made is a plain dictionary."""

    def __new__(cls, *arguments: object) -> dict[Any, Any]:  # type: ignore[misc]
        return {}


class Dtype:
    """numpy.dtype, of plain numbers only."""

    def __init__(self, code: object, align: object = False, copy: object = True) -> None:
        text = code.decode("latin1") if isinstance(code, bytes) else str(code)
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"{text!r} is no type of plain numbers")
        self.numpy = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order: Any = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"{order!r} is no order of bytes")
        self.numpy = self.numpy.newbyteorder(order)


class Array:
    """numpy.ndarray, of plain numbers only."""

    values = np.empty(0)

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        values = np.frombuffer(_bytes(content), _numpy(dtype)).reshape(shape, order="F" if fortran else "C")
        self.values = values.astype(values.dtype.newbyteorder("="), copy=False)


def scalar(dtype: object, content: object) -> int | float | complex | bool:
    """numpy.core.multiarray.scalar: a number of NumPy as one of Python."""
    (value,) = np.frombuffer(_bytes(content), _numpy(dtype)).tolist()
    number: int | float | complex | bool = value
    return number


def reconstruct(kind: object, shape: object, code: object) -> Array:
    """numpy.core.multiarray._reconstruct: an array whose state follows."""
    return Array()


def _numpy(dtype: object) -> np.dtype:
    if not isinstance(dtype, Dtype):
        raise ValueError("an array without a type")
    return dtype.numpy


def _bytes(content: object) -> bytes:
    if isinstance(content, str):  # as Python 2 wrote it
        return content.encode("latin1")
    if not isinstance(content, bytes | bytearray):
        raise ValueError("an array of objects, but plain numbers are needed")
    return bytes(content)


NUMPY: dict[str, Any] = {
    "numpy.dtype": Dtype,
    "numpy.ndarray": Array,
    **{f"numpy.{core}.multiarray.scalar": scalar for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": reconstruct for core in ("core", "_core")},
}
_LIGHTNING = (
    "pytorch_lightning.utilities.parsing",
    "lightning.pytorch.utilities.parsing",
    "lightning_fabric.utilities.data",
    "lightning.fabric.utilities.data",
)
_NODES = ("AnyNode", "BooleanNode", "FloatNode", "IntegerNode", "StringNode")
_TYPES = ("typing.Any", *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str")))

# What checkpoints may ask for besides tensors: full name -> what is called in its place.
STAND_INS: dict[str, Any] = {
    **NUMPY,
    "argparse.Namespace": Namespace,
    "collections.defaultdict": Plain,
    **{f"{module}.AttributeDict": Plain for module in _LIGHTNING},
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint": Inert,
    "omegaconf.dictconfig.DictConfig": Config,
    "omegaconf.listconfig.ListConfig": Config,
    **{f"omegaconf.nodes.{name}": Node for name in _NODES},
    **{f"omegaconf.base.{name}": Inert for name in ("ContainerMetadata", "Metadata")},
    **dict.fromkeys(_TYPES, Inert),  # named as the types of omegaconf's items
}
