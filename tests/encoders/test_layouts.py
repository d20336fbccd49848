"""Layouts: every published checkpoint is recognised, to the last key; a checkpoint that is not quite one is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from karat.encoders import inspect, load_encoder
from karat.encoders.checkpoint import Checkpoint
from karat.encoders.coverage import Coverage
from karat.encoders.layouts import LAYOUTS
from karat.encoders.recognition import recognise
from karat.errors import InputError

from .published import Published, replaced
from .rows import QUICK, ROWS

Keys = dict[str, Tensor]


def of(rows: tuple[Published, ...]) -> pytest.MarkDecorator:
    """One test for each row; what differs from another row in size or head only is slow."""
    parameters = [pytest.param(row, id=row.name, marks=() if row in QUICK else pytest.mark.slow) for row in rows]
    return pytest.mark.parametrize("row", parameters)


def seen(row: Published, change: Callable[[Keys], Keys], *, layout: str | None) -> Coverage:
    """What is made of a row whose keys were changed."""
    tree: dict[str, Any] = replaced(row.tree, row.containers, change(dict(row.keys)))
    return recognise(Checkpoint(Path(row.name), tree, {}, "", "torch zip"), layout=layout).coverage


def encoder_key(row: Published) -> str:
    """A key of the encoder; another part of the network for each row."""
    dropped = ("fc", "head.", "projection_head.", "prototypes.", "mask_token")
    keys = [key for key in row.keys if key.startswith(row.prefix) and not key.endswith("num_batches_tracked")]
    own = [key for key in keys if not key.removeprefix(row.prefix).removeprefix("module.").startswith(dropped)]
    return own[len(row.name) * 37 % len(own)]


# recognition


@of(ROWS)
def test_published_checkpoint_is_recognised_to_the_last_key(row: Published, tmp_path: Path) -> None:
    coverage = inspect(row.save(tmp_path), layout=row.layout if row.ambiguous else None)
    assert coverage.complete, str(coverage)
    assert (coverage.layout, coverage.architecture, coverage.places) == (row.layout, row.architecture, row.places)
    assert {rule.partition(" (")[0] for _, rule in coverage.dropped} == row.rules
    assert sorted([*coverage.used, *(key for key, _ in coverage.dropped)]) == sorted(row.keys)


def test_each_layout_has_a_published_checkpoint() -> None:
    assert {row.layout for row in ROWS} | {"torchvision", "dino-full-student"} == {layout.name for layout in LAYOUTS}


@of(tuple(row for row in ROWS if row.ambiguous))
def test_checkpoint_of_layouts_that_differ_is_refused_with_the_list(row: Published, tmp_path: Path) -> None:
    path = row.save(tmp_path)
    coverage = inspect(path)
    assert not coverage.complete
    assert {name for name, _ in coverage.ambiguous} == row.ambiguous
    with pytest.raises(InputError, match=rf"(?s)is not loaded:.*Say which it is: .*--layout {row.layout}"):
        load_encoder(path)


# what is not quite a published checkpoint


@of(ROWS)
def test_checkpoint_with_a_renamed_key_is_refused(row: Published) -> None:
    key = encoder_key(row)
    coverage = seen(row, lambda keys: {f"{name}_" if name == key else name: keys[name] for name in keys}, layout=None)
    assert not coverage.complete
    assert len(coverage.left_over) == 1, str(coverage)
    assert 1 <= len(coverage.missing) <= 3


@of(ROWS)
def test_checkpoint_with_a_missing_key_is_refused(row: Published) -> None:
    key = encoder_key(row)
    coverage = seen(row, lambda keys: {name: keys[name] for name in keys if name != key}, layout=None)
    assert not coverage.complete
    assert not coverage.left_over, str(coverage)
    assert 1 <= len(coverage.missing) <= 3


@of(ROWS)
def test_checkpoint_with_a_tensor_of_another_shape_is_refused(row: Published) -> None:
    key = encoder_key(row)
    coverage = seen(row, lambda keys: {**keys, key: torch.zeros(()).expand(7, 5)}, layout=None)
    assert not coverage.complete
    assert 1 <= len(coverage.misfits) <= 3, str(coverage)


@of(tuple(row for row in ROWS if row.prefix and row.layout != "mmpretrain"))  # whose prefix may be absent
def test_checkpoint_without_the_prefix_is_refused(row: Published) -> None:
    def stripped(keys: Keys) -> Keys:
        return {name.removeprefix(row.prefix): tensor for name, tensor in keys.items()}

    assert not seen(row, stripped, layout=row.layout).complete
    assert not seen(row, stripped, layout=None).complete


@of(QUICK[:2])
def test_refusal_is_the_report(row: Published, tmp_path: Path) -> None:
    path, key = tmp_path / row.name, encoder_key(row)
    kept = {name: tensor for name, tensor in row.keys.items() if name != key}
    torch.save(replaced(row.tree, row.containers, kept), path)
    with pytest.raises(InputError, match=r"(?s)is not loaded:.*missing \(1\).*nothing of an encoder is ever"):
        load_encoder(path)
