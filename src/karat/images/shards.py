"""A pattern -> the files that it names: braces as in a shell, then globs."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")
_MOST = 100_000


def shard_paths(pattern: str) -> list[Path]:
    """The files that a pattern names, in its order; those of a glob sorted.

    Raises:
        InputError: a name that is no file, a glob that nothing matches, or a pattern of more than 100,000 names.
    """
    if "://" in pattern or pattern.startswith("pipe:"):
        raise InputError(f"wds:{pattern} is no local file, but tars are read in place: copy them here first")
    paths: list[Path] = []
    for name in [pattern] if os.path.exists(pattern) else expand_braces(os.path.expanduser(pattern)):
        as_glob = glob.has_magic(name) and not os.path.exists(name)
        paths += _files(sorted(glob.glob(name, recursive=True)) if as_glob else [name])
        if len(paths) > _MOST:
            raise InputError(f"wds:{pattern} names more than {_MOST:,} files: give them in parts")
    if not paths:
        raise InputError(f"nothing matches wds:{pattern}: a tar's path is needed, with {{a,b}}, {{000..012}}, * or ?")
    return list(dict.fromkeys(paths))


def expand_braces(pattern: str) -> Iterator[str]:
    """The names that {a,b} and {000..012} stand for; zeros in front are kept.

    >>> list(expand_braces("{a,b}-{08..10}.tar"))
    ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']
    """
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    for choice in _choices(found):
        yield from expand_braces(pattern[: found.start()] + choice + pattern[found.end() :])


def _choices(braces: re.Match[str]) -> Iterator[str]:
    first, last, listed = braces.groups()
    if listed is not None:
        yield from listed.split(",")
        return
    step = 1 if int(first) <= int(last) else -1
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 1
    for number in range(int(first), int(last) + step, step):
        yield str(number).zfill(width)


def _files(names: list[str]) -> list[Path]:
    for name in names:
        if not os.path.isfile(name):
            why = "is a folder" if os.path.isdir(name) else "does not exist"
            raise InputError(f"{name} {why}, but a tar is needed (wds:FOLDER/*.tar takes all of a folder)")
    return [Path(os.path.abspath(name)) for name in names]
