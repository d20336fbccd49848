"""Tagged sets: they survive a restart, several browsers and several processes."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from karat.errors import FileFormatError, InputError
from karat.explorer.opened import open_run
from karat.explorer.selection import Selection

from .small_run import HOSTILE


def tag_many(run: Path, name: str) -> int:
    """Tag 20 samples, one after the other, as another process."""
    selection = Selection(open_run(run))
    for number in range(20):
        selection.tag(name, [f"{name}/{number}"])
        selection.tag("all", [f"{name}/{number}"])
    return len(selection.ids(name))


def test_tags_survive_a_restart(copied_run: Path) -> None:
    selection = Selection(open_run(copied_run))
    assert (selection.tags(), selection.ids("worst"), selection.problems) == ({}, [], [])
    assert selection.tag("worst", ["b", "a", "b"]) == 2
    assert selection.tag("worst", ["c", "a"]) == 3
    assert selection.tag("<i>best</i>", HOSTILE) == len(HOSTILE)
    again = Selection(open_run(copied_run))
    assert again.tags() == {"<i>best</i>": len(HOSTILE), "worst": 3}
    assert again.ids("worst") == ["b", "a", "c"] and again.ids("<i>best</i>") == list(HOSTILE)
    assert again.tags_of("a") == ["worst"] and again.tags_of(HOSTILE[0]) == ["<i>best</i>"]


def test_an_empty_tag_is_gone(copied_run: Path) -> None:
    selection = Selection(open_run(copied_run))
    selection.tag("worst", ["a", "b"])
    assert selection.untag("worst", ["a", "nobody"]) == 1
    assert selection.untag("worst", ["b"]) == 0 and selection.tags() == {}
    assert selection.tag("nothing", []) == 0 and selection.tags() == {}
    assert selection.untag("never there") == 0


@pytest.mark.parametrize("name", ["", " ", " a", "a" * 81, "a\nb", "a\x00", "\u202eabc"])
def test_a_name_that_is_no_tag_is_refused(copied_run: Path, name: str) -> None:
    with pytest.raises(InputError, match="1 to 80 printable characters"):
        Selection(open_run(copied_run)).tag(name, ["a"])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 9, "tags": {}}', '{"schema": 1, "tags": {"a": 3}}'])
def test_damaged_sets_are_named_and_left_alone(copied_run: Path, content: str) -> None:
    (copied_run / "explorer").mkdir()
    file = copied_run / "explorer" / "selections.json"
    file.write_text(content)
    selection = Selection(open_run(copied_run))
    assert selection.tags() == {} and "selections.json cannot be read" in selection.problems[0]
    with pytest.raises(FileFormatError, match="move it away"):
        selection.tag("worst", ["a"])
    assert file.read_text() == content


def test_nothing_stored_holds_a_path(copied_run: Path) -> None:
    Selection(open_run(copied_run)).tag("worst", ["a", "\ud800"])
    content = (copied_run / "explorer" / "selections.json").read_text()
    assert json.loads(content) == {"schema": 1, "tags": {"worst": ["a", "\ud800"]}}


def test_two_browsers_lose_nothing(copied_run: Path) -> None:
    selection = Selection(open_run(copied_run))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: selection.tag("worst", [str(number)]), range(60)))
    assert sorted(selection.ids("worst"), key=int) == [str(number) for number in range(60)]


@pytest.mark.slow
def test_two_processes_lose_nothing(copied_run: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(tag_many, [copied_run] * 2, ["one", "two"])) == [20, 20]
    assert Selection(open_run(copied_run)).tags() == {"all": 40, "one": 20, "two": 20}
