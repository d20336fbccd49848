"""What a probe says of each sample and of the whole, wherever the samples lie and whatever computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from karat.embeddings import Embeddings, Shards
from karat.errors import InputError
from karat.probing import devices, knn_probe, probe, samples
from karat.records import ProbeResult, from_dict, to_dict
from karat.store import load

from .mixtures import CORNERS, NAMES, around, mixture, pair, softmax

TRAIN, VAL = pair(300, around(7, 10))
Way = Callable[..., ProbeResult]


def by(protocol: str) -> Way:
    return lambda train, val, **settings: probe(train, val, protocol=protocol, **settings)


WAYS = {"lbfgs": by("lbfgs"), "kalibhat2024": by("kalibhat2024"), "dinov2": by("dinov2"), "knn": knn_probe}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@every_way
def test_accuracy_is_the_mean_of_correct_and_predictions_are_the_largest_logits(way: Way) -> None:
    result = way(TRAIN, VAL)
    columns = result.columns
    assert 0.5 < result.accuracy < 1
    assert result.accuracy == np.mean(result.correct)
    assert result.logits.shape == (150, 7)
    assert result.logits.dtype == np.float32
    assert (np.array(result.classes)[result.logits.argmax(axis=1)] == columns["prediction"]).all()
    assert (result.correct == (columns["prediction"] == columns["label"])).all()
    assert (result.n_train, result.n_val) == (300, 150)


def test_top5_counts_labels_with_fewer_than_five_other_logits_as_large() -> None:
    result = probe(TRAIN, VAL, strengths=[1e-4])
    labels = np.asarray(VAL.labels)
    found = [sum(row >= row[label]) - 1 < 5 for row, label in zip(result.logits, labels, strict=True)]
    assert result.top5 == np.mean(found)
    assert result.accuracy < result.top5 < 1
    assert probe(*pair(60, CORNERS)).top5 is None


def test_equal_logits_do_not_count_for_top5() -> None:
    """Of k = 1 neighbours one class has a vote, and the six others have the same logit."""
    result = knn_probe(TRAIN, VAL, k=1)
    assert result.top5 == result.accuracy < 1


def test_top5_of_unseen_classes_is_wrong() -> None:
    unseen = np.asarray(VAL.labels) == 6
    labels = np.where(unseen, 99, VAL.labels)  # type: ignore[arg-type]
    with pytest.warns(match="of classes that train does not have"):
        result = probe(TRAIN, Embeddings(VAL.h, labels=labels), strengths=[0.1])
    assert result.top5 is not None
    assert result.top5 <= 1 - unseen.mean()


def test_accuracy_by_class_is_the_mean_of_correct_in_it() -> None:
    result = probe(*pair(300, around(3, 6), names=NAMES))
    labels = result.columns["label"]
    assert result.class_accuracy == {name: result.correct[labels == name].mean() for name in NAMES}


@every_way
def test_names_and_numbers_of_classes_give_the_same_probe(way: Way) -> None:
    numbers, named = way(*pair(300, CORNERS)), way(*pair(300, CORNERS, names=NAMES))
    assert numbers.classes == (0, 1, 2)
    assert named.classes == ("ant", "bee", "cow")
    assert (named.logits == numbers.logits).all()
    assert (named.columns["prediction"] == np.array(NAMES)[numbers.columns["prediction"]]).all()


@every_way
def test_equal_input_gives_equal_bytes(way: Way) -> None:
    first, second = way(TRAIN, VAL), way(TRAIN, VAL)
    assert first == second
    assert first.logits.tobytes() == second.logits.tobytes()


def test_parameters_are_recorded() -> None:
    result = probe(TRAIN, VAL, seed=3)
    assert result.provenance.parameters["seed"] == 3
    assert result.provenance.function == "probe"
    assert set(result.provenance.inputs) == {"train", "val"}
    assert result.provenance.inputs["train"] != result.provenance.inputs["val"]


@every_way
def test_result_goes_to_a_dictionary_and_back(way: Way) -> None:
    result = way(TRAIN, VAL)
    assert from_dict(to_dict(result), result.columns) == result


def test_an_id_that_occurs_twice_is_two_samples() -> None:
    ids = ["twice", "twice", *map(str, range(148))]
    result = probe(TRAIN, Embeddings(VAL.h, ids=ids, labels=VAL.labels))  # type: ignore[arg-type]
    assert result.ids.tolist() == ids
    assert (result.logits == probe(TRAIN, VAL).logits).all()


# where the samples lie


def as_map(h: np.ndarray, folder: Path) -> Any:
    np.save(folder / "h.npy", h)
    return np.load(folder / "h.npy", mmap_mode="r")


def as_shards(h: np.ndarray, folder: Path) -> Any:
    return Shards([h[:70], as_map(h[70:71], folder), h[71:]])


def as_parquet(h: np.ndarray, folder: Path) -> Any:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(h.ravel()), h.shape[1])
    pq.write_table(pa.table({"h": lists}), folder / "h.parquet", row_group_size=64)
    return load(folder / "h.parquet").h


@every_way
@pytest.mark.parametrize("lying", [as_map, as_shards, as_parquet])
@pytest.mark.parametrize("room", [devices.ROOM, 0], ids=["kept", "read again"])
def test_where_the_samples_lie_changes_nothing(
    way: Way, lying: Callable[..., Any], room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = way(TRAIN, VAL)
    monkeypatch.setattr(devices, "ROOM", room)
    result = way(Embeddings(lying(np.asarray(TRAIN.h), tmp_path), labels=TRAIN.labels), VAL)
    assert (result.logits == expected.logits).all()
    assert result == expected


@every_way
def test_unlabelled_rows_are_passed_over_in_every_block(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 16 rows, one of them without a label at all."""
    labels = np.array(TRAIN.labels, object)
    labels[16:32] = None
    labels[::5] = None
    has = np.array([label is not None for label in labels])
    expected = way(TRAIN[np.flatnonzero(has)], VAL)
    for name, value in (("_ENTRIES", 160), ("_ROWS", 1), ("_CACHED", 160)):
        monkeypatch.setattr(samples, name, value)
    result = way(Embeddings(TRAIN.h, labels=labels), VAL)
    np.testing.assert_allclose(softmax(result.logits), softmax(expected.logits), atol=4e-3)


# what computes


@every_way
def test_two_threads_change_rounding_only(way: Way) -> None:
    one, two = way(TRAIN, VAL, threads=1), way(TRAIN, VAL, threads=2)
    np.testing.assert_allclose(softmax(two.logits), softmax(one.logits), atol=1e-3)
    assert two.provenance.parameters["threads"] == 2


def test_two_threads_share_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_ENTRIES", 100)
    monkeypatch.setattr(samples, "_ROWS", 1)
    one, two = (probe(TRAIN, VAL, strengths=[0.1], threads=threads) for threads in (1, 2))
    again = probe(TRAIN, VAL, strengths=[0.1], threads=2)
    np.testing.assert_allclose(softmax(two.logits), softmax(one.logits), atol=1e-3)
    assert again.logits.tobytes() == two.logits.tobytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_items_are_dealt_out_in_turn_and_what_overflows_is_silent(threads: int) -> None:
    seen: list[list[int]] = [[] for _ in range(threads)]

    def work(mine: list[int], item: int) -> None:
        np.full(2, 1e38, np.float32) * np.float32(10 + item)
        mine.append(item)

    device = devices.Device("cpu", np, threads)
    with device.working():
        device.share(range(8), [partial(work, mine) for mine in seen])
    assert seen == [list(range(first, 8, threads)) for first in range(threads)]


@every_way
def test_torch_computes_what_numpy_computes(way: Way) -> None:
    """Whatever torch sees as a device runs the same lines; here the processor, under its name with a number."""
    expected, result = way(TRAIN, VAL), way(TRAIN, VAL, device="cpu:0")
    np.testing.assert_allclose(softmax(result.logits), softmax(expected.logits), atol=1e-3)
    assert result.provenance.parameters["device"] == "cpu:0"
    assert result.logits.dtype == np.float32


@pytest.mark.gpu
@every_way
def test_a_gpu_computes_what_numpy_computes(way: Way) -> None:
    expected, result = way(TRAIN, VAL), way(TRAIN, VAL, device="cuda")
    np.testing.assert_allclose(softmax(result.logits), softmax(expected.logits), atol=1e-3)


@pytest.mark.parametrize("device", ["nowhere", "meta", "cuda:99"])
def test_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=f"device '{device}' cannot be used: "):
        probe(TRAIN, VAL, device=device)


def test_a_small_problem_stays_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_has_gpu", lambda: True)
    assert probe(TRAIN, VAL).provenance.parameters["device"] == "cpu"


def test_features_of_another_encoder_that_overflow_are_refused() -> None:
    far = Embeddings(1e38 * np.float64(VAL.h[:]), labels=VAL.labels)
    with pytest.raises(InputError, match=r"features of val are too far from those of train .* first in ids 0, 1"):
        probe(TRAIN, far)


def test_numbers_too_large_to_be_squared_are_refused() -> None:
    huge = mixture(300, around(7, 10), seed=1)
    with pytest.raises(InputError, match="h of train has numbers too large to be squared"):
        probe(Embeddings(1e200 * np.float64(huge.h[:]), labels=huge.labels), VAL)
