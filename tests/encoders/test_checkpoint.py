"""Checkpoints: what a file holds becomes plain containers and tensors; what is none is refused; nothing runs."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from karat.encoders.checkpoint import read_checkpoint
from karat.encoders.pickles import globals_of
from karat.errors import FileFormatError, InputError

WEIGHTS = {"conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "bn.num_batches_tracked": torch.tensor(7)}
BOTH = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def save(path: Path, content: object, legacy: bool = False, **options: Any) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy, **options)
    return path


class Runs:
    """An object whose pickle runs a command when it is loaded."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.touched}",)


# what is read


@BOTH
def test_weights_are_read_as_they_were_saved(tmp_path: Path, legacy: bool) -> None:
    path = save(tmp_path / "a.pth", {"state_dict": OrderedDict(WEIGHTS), "epoch": 3, "arch": "resnet50"}, legacy)
    checkpoint = read_checkpoint(str(path))
    assert checkpoint.format == ("torch legacy" if legacy else "torch zip")
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (checkpoint.path, checkpoint.metadata) == (path, {})
    weights = checkpoint.tree.pop("state_dict")
    assert checkpoint.tree == {"epoch": 3, "arch": "resnet50"}
    assert type(weights) is dict
    assert list(weights) == list(WEIGHTS)
    for name, value in WEIGHTS.items():
        assert torch.equal(weights[name], value) and weights[name].dtype == value.dtype


def test_safetensors_are_read_with_their_metadata_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    save_file(WEIGHTS, path, {"karat": "{}"})
    checkpoint = read_checkpoint(path)
    assert (checkpoint.format, checkpoint.metadata) == ("safetensors", {"karat": "{}"})
    assert {name: value.tolist() for name, value in checkpoint.tree.items()} == {
        name: value.tolist() for name, value in WEIGHTS.items()
    }


def test_torch_file_that_is_called_safetensors_is_read(tmp_path: Path) -> None:
    assert read_checkpoint(save(tmp_path / "a.safetensors", WEIGHTS)).format == "torch zip"


@BOTH
def test_tensors_of_stride_0_stay_so(tmp_path: Path, legacy: bool) -> None:
    huge = torch.zeros(1).expand(2048, 2048, 1000, 100)  # 1.6 TB, were it ever written out
    path = save(tmp_path / "a.pth", {"weight": huge}, legacy)
    weight = read_checkpoint(path).tree["weight"]
    assert path.stat().st_size < 4000
    assert weight.shape == huge.shape
    assert weight.stride() == (0, 0, 0, 0)


def test_zip_files_are_mapped_not_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", {"weight": torch.zeros(1 << 16)})
    weight = read_checkpoint(path).tree["weight"]
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    mapped = [line for line in maps.splitlines() if line.endswith(str(path))]
    bounds = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in mapped]
    assert any(low <= weight.data_ptr() < high for low, high in bounds)


def lightning() -> dict[str, Any]:
    from pytorch_lightning.callbacks.model_checkpoint import ModelCheckpoint
    from pytorch_lightning.utilities.parsing import AttributeDict

    return {
        "hyper_parameters": AttributeDict(lr=0.3, optimizer=AttributeDict(name="lars")),
        "callbacks": {ModelCheckpoint: {"best_model_score": None}},
    }


def omegaconf() -> dict[str, Any]:
    from omegaconf import OmegaConf

    return {"cfg": OmegaConf.create({"lr": 0.3, "nested": {"sizes": [1, "two", 2.5, None, True]}, "none": None})}


@BOTH
@pytest.mark.parametrize(
    ("make", "plain"),
    [
        (lambda: {"args": argparse.Namespace(lr=0.3, sizes=[1, 2])}, {"args": {"lr": 0.3, "sizes": [1, 2]}}),
        (lambda: {"best": np.float64(71.5), "step": np.int64(9)}, {"best": 71.5, "step": 9}),
        (lambda: {"flag": np.bool_(True), "half": np.float16(0.5)}, {"flag": True, "half": 0.5}),
        (lambda: {"meters": defaultdict(list, a=[1])}, {"meters": {"a": [1]}}),
        (lambda: {"count": Counter("aab"), "names": {"b", "a"}}, {"count": {"a": 2, "b": 1}, "names": ["a", "b"]}),
        (lambda: {"size": torch.Size([2, 3]), "pair": (1, 2)}, {"size": [2, 3], "pair": [1, 2]}),
        (lambda: {"dtype": torch.float16, "device": torch.device("cpu")}, {"dtype": "torch.float16", "device": "cpu"}),
        (lambda: {"raw": b"\xff!", "more": bytearray(b"!"), "z": 2j}, {"raw": "\xff!", "more": "!", "z": "2j"}),
        (lambda: {0: "by number", True: 1, (1, 2): 2}, {0: "by number", True: 1, "(1, 2)": 2}),
        pytest.param(
            lightning,
            {
                "hyper_parameters": {"lr": 0.3, "optimizer": {"name": "lars"}},
                "callbacks": {"Inert": {"best_model_score": None}},
            },
            marks=pytest.mark.slow,
        ),
        (
            omegaconf,
            {"cfg": {"lr": 0.3, "nested": {"sizes": [1, "two", 2.5, None, True]}, "none": None}},
        ),
    ],
)
def test_containers_of_other_libraries_become_plain(
    tmp_path: Path, make: Callable[[], Any], plain: Any, legacy: bool
) -> None:
    assert read_checkpoint(save(tmp_path / "a.ckpt", make(), legacy)).tree == plain


@pytest.mark.parametrize("name", ["lightning.pytorch.utilities.parsing", "lightning_fabric.utilities.data"])
def test_attribute_dicts_of_every_lightning_are_read(tmp_path: Path, name: str) -> None:
    pickled = b"\x80\x02c" + name.encode() + b"\nAttributeDict\n)\x81X\x02\x00\x00\x00lrK\x01s."
    assert read_checkpoint(with_pickle(tmp_path / "a.ckpt", pickled)).tree == {"lr": 1}


def test_callbacks_that_lightning_kept_under_their_class_are_read(tmp_path: Path) -> None:
    name = b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n"
    pickled = b"\x80\x02}" + name + b"X\x05\x00\x00\x00states."
    assert read_checkpoint(with_pickle(tmp_path / "a.ckpt", pickled)).tree == {"Inert": "state"}


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_numpy_scalars_of_every_numpy_are_read(tmp_path: Path, core: str) -> None:
    pickled = pickle.dumps(np.float32(1.5), protocol=2).replace(b"numpy._core", core.encode())
    assert read_checkpoint(with_pickle(tmp_path / "a.ckpt", pickled)).tree == 1.5


@BOTH
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_arrays_become_tensors(tmp_path: Path, order: Any, legacy: bool) -> None:
    array = np.asarray(np.arange(6, dtype=">i4").reshape(2, 3), order=order)
    tensor = read_checkpoint(save(tmp_path / "a.pth", [array], legacy)).tree[0]
    assert torch.equal(tensor, torch.arange(6, dtype=torch.int32).reshape(2, 3))


@BOTH
def test_parameters_become_tensors_without_gradient(tmp_path: Path, legacy: bool) -> None:
    weight = read_checkpoint(save(tmp_path / "a.pth", {"w": nn.Parameter(torch.ones(2))}, legacy)).tree["w"]
    assert type(weight) is torch.Tensor
    assert not weight.requires_grad


# what runs code


@BOTH
def test_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, legacy: bool) -> None:
    touched = tmp_path / "touched"
    path = save(tmp_path / "a.pth", {"state_dict": WEIGHTS, "extra": Runs(touched)}, legacy)
    with pytest.raises(FileFormatError, match=r"asks for more than weights: posix\.system\. .*--unsafe-load"):
        read_checkpoint(path)
    assert not touched.exists()


def test_pickle_that_misleads_the_list_of_what_it_asks_for_does_not_run(tmp_path: Path) -> None:
    names = [b"posix", b"system", b"collections", b"OrderedDict"]  # the last two are taken from the stack again
    pushed = b"".join(b"\x8c" + bytes([len(name)]) + name for name in names)
    command = f"touch {tmp_path / 'touched'}".encode()
    pickled = b"\x80\x04" + pushed + b"00\x93\x8c" + bytes([len(command)]) + command + b"\x85R."
    for unsafe in (False, True):
        with pytest.raises(FileFormatError, match="is truncated or damaged"):
            read_checkpoint(with_pickle(tmp_path / "a.pth", pickled), unsafe=unsafe)
    assert not (tmp_path / "touched").exists()


@BOTH
def test_unsafe_means_that_it_runs(tmp_path: Path, legacy: bool) -> None:
    touched = tmp_path / "touched"
    path = save(tmp_path / "a.pth", {"state_dict": WEIGHTS, "extra": Runs(touched)}, legacy)
    tree = read_checkpoint(path, unsafe=True).tree
    assert touched.exists()
    assert tree["extra"] == 0
    assert torch.equal(tree["state_dict"]["conv.weight"], WEIGHTS["conv.weight"])


@BOTH
def test_refusal_lists_everything_that_is_asked_for(tmp_path: Path, legacy: bool) -> None:
    content = {"net": nn.Linear(2, 2), "path": Path("a"), "first": Runs(tmp_path / "x")}
    path = save(tmp_path / "a.pth", content, legacy)
    with pytest.raises(FileFormatError) as caught:
        read_checkpoint(path)
    asked = str(caught.value).partition("weights: ")[2].partition(". Loading")[0].split(", ")
    assert asked == sorted(asked)
    assert {"pathlib.PosixPath", "posix.system", "torch.nn.modules.linear.Linear"} <= set(asked)
    assert not set(asked) & {"collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch.FloatStorage"}


def test_unsafe_makes_modules_their_weights_and_other_objects_their_name(tmp_path: Path) -> None:
    net = nn.Linear(2, 1)
    tree = read_checkpoint(save(tmp_path / "a.pth", {"net": net, "path": Path("a")}), unsafe=True).tree
    assert torch.equal(tree["net"]["weight"], net.weight)
    assert tree["path"] == "PosixPath"


def test_unsafe_is_not_used_where_nothing_needs_it(tmp_path: Path) -> None:
    tree = read_checkpoint(save(tmp_path / "a.pth", {"args": argparse.Namespace(lr=1)}), unsafe=True).tree
    assert tree == {"args": {"lr": 1}}


def test_loading_leaves_the_allowed_globals_of_torch_alone(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(save(tmp_path / "a.pth", {"args": argparse.Namespace(lr=1)}))
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("protocol", range(6))
def test_globals_are_found_in_every_protocol(protocol: int) -> None:
    content = [os.system, "posix", Counter, OrderedDict, Counter, argparse.Namespace(system="posix"), os.system]
    found = globals_of(io.BytesIO(pickle.dumps(content, protocol)))
    added = {"copyreg._reconstructor", "builtins.object"}  # how protocols 0 and 1 make objects
    assert found - added == {"posix.system", "collections.Counter", "collections.OrderedDict", "argparse.Namespace"}


def test_globals_with_computed_names_are_not_missed() -> None:
    pickled = b"\x80\x04\x8c\x02os\x94\x8c\x05posix\x94\x8c\x06system\x940h\x01h\x02\x93."
    assert globals_of(io.BytesIO(pickled)) == {"posix.system"}
    assert globals_of(io.BytesIO(b"\x80\x04\x8c\x02os\x93.")) == {"(a computed name)"}
    assert globals_of(io.BytesIO(b"\x80\x02\x82\x05.")) == {"copyreg extension 5"}


# what is no checkpoint


def with_pickle(path: Path, pickled: bytes, **members: bytes) -> Path:
    """A torch file with this data.pkl, byte for byte."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
        for name, content in members.items():
            archive.writestr(f"archive/data/{name.strip('_')}", content)
    return path


def make_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())


def make_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("resnet50/weights.bin", b"0" * 100)


def make_compressed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(0, protocol=2))
        archive.writestr("archive/data/0", bytes(10_000_000))


def make_two(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(0, protocol=2))
        archive.writestr("other/data.pkl", pickle.dumps(os.system, protocol=2))


def make_program(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", b"")
        archive.writestr("net/constants.pkl", b"")


def make_liar(path: Path) -> None:
    """A directory in which the same megabyte is listed a hundred times."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(0, protocol=2))
        archive.writestr("archive/data/0", bytes(1 << 20))
        archive.filelist += [archive.filelist[-1]] * 100


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "is empty: download it again"),
        (lambda path: path.write_bytes(b"\n <!DOCTYPE html><html>Sign in"), "is a web page, not a checkpoint"),
        (lambda path: path.write_bytes(b'<?xml version="1.0"?><Error><Code>AccessDenied'), "is a web page"),
        (
            lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n"),
            "is a pointer of git-lfs, not the weights: fetch them with git lfs pull",
        ),
        (make_tar, "is a tar archive, which is never loaded: unpack it"),
        (
            lambda path: path.write_bytes(gzip.compress(b"hello")),
            r"is compressed with gzip: unpack it first \(gunzip\)",
        ),
        (lambda path: path.write_bytes(pickle.dumps({"w": [1.0]}, 2)), "is a pickle, but none that torch.save wrote"),
        (lambda path: path.write_bytes(pickle.dumps({"w": [1.0]}, 5)), "karat encoders convert"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), r"is no checkpoint \(it begins with"),
        (lambda path: path.write_bytes(bytes(1000)), "is no checkpoint"),
        (make_zip, r"is a zip archive, but not of torch \(it has not one data\.pkl\): unpack it first"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "is an empty zip archive"),
        (make_compressed, r"is compressed inside \(archive/data.pkl\), which torch never writes"),
        (make_two, r"it has not one data\.pkl"),
        (make_program, "is a TorchScript program"),
        (make_liar, r"promises 105,\d+,\d+ bytes, but has 1,\d+,\d+: it is damaged or made to harm"),
        (lambda path: save_file(WEIGHTS, path) or cut(path, -1), "cannot be read as safetensors"),
        (lambda path: save_file(WEIGHTS, path) or cut(path, 30), "cannot be read as safetensors"),
        (lambda path: path.write_bytes(struct.pack("<Q", 9) + b'{"a": 1}]'), "cannot be read as safetensors"),
        (lambda path: cut(save(path, WEIGHTS), -1000), "is truncated or damaged: the directory at the end of the zip"),
        (lambda path: cut(save(path, WEIGHTS), 20), "is truncated or damaged"),
        (lambda path: cut(save(path, WEIGHTS, legacy=True), 15), "is truncated or damaged"),
        (lambda path: cut(save(path, WEIGHTS, legacy=True), 200), "is truncated or damaged"),
        (lambda path: cut(save(path, WEIGHTS, legacy=True), -1), "is truncated or damaged"),
        (lambda path: save(path, WEIGHTS, pickle_protocol=4), "is truncated or damaged: .*Unsupported operand"),
        (lambda path: with_pickle(path, b"\x80\x02"), "is truncated or damaged: its pickle cannot be read"),
        (lambda path: with_pickle(path, b"\x80\x02."), "is truncated or damaged"),
        (lambda path: save(path, {"w": torch.eye(2).to_sparse()}), "holds a tensor that is sparse"),
        (lambda path: save(path, {"w": torch.zeros(2, device="meta")}), "sparse, quantised or without data"),
        (lambda path: save(path, {"names": np.array(["a", "b"])}), "no type of plain numbers"),
        (lambda path: save(path, {"table": np.zeros(2, [("a", "f4"), ("b", "i8")])}), "no type of plain numbers"),
        (lambda path: save(path, {"objects": np.array([None])}), "no type of plain numbers"),
    ],
)
def test_what_is_no_checkpoint_is_refused_with_what_it_is(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "a.pth"
    make(path)
    with pytest.raises(FileFormatError, match=message):
        read_checkpoint(path)
    with pytest.raises(FileFormatError, match=message):
        read_checkpoint(path, unsafe=True)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def test_missing_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.pth", tmp_path):
        with pytest.raises(InputError, match="is no file"):
            read_checkpoint(path)


def test_tensors_larger_than_their_storage_are_refused(tmp_path: Path) -> None:
    content = save(tmp_path / "small.pth", {"w": torch.zeros(8)}).read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pickled = archive.read("small/data.pkl")
    size = b"K\x08\x85q"  # the shape (8,)
    assert pickled.count(size) == 1
    path = with_pickle(tmp_path / "a.pth", pickled.replace(size, b"J\x00\x00\x00\x40\x85q"), _0=bytes(32))
    with pytest.raises(FileFormatError, match=r"is truncated or damaged|promises"):
        read_checkpoint(path)


def test_storages_that_together_are_larger_than_the_file_are_refused(tmp_path: Path) -> None:
    """A file of before torch 1.6 allocates what it declares, and need not bring data for it."""
    saved = save(tmp_path / "a.pth", {"w": torch.zeros(64)}, legacy=True).read_bytes()
    declared = b"K@Ntq\x07Q"  # 64 entries, no view
    keys = b".\x80\x02]q"  # the last pickle: a list with the key of each storage; then the data
    assert saved.count(declared) == saved.count(keys) == 1
    path = tmp_path / "b.pth"
    path.write_bytes(saved[: saved.index(keys)].replace(declared, b"J\x00\x00\x10\x00Ntq\x07Q") + b".\x80\x02].")
    with pytest.raises(FileFormatError, match=r"promises 4,194,304 bytes of tensors, but has \d+"):
        read_checkpoint(path)


@pytest.mark.parametrize("levels", [100, 10_000])
def test_deep_nesting_is_refused(tmp_path: Path, levels: int) -> None:
    with pytest.raises(FileFormatError, match="is nested more than 64 deep"):
        read_checkpoint(with_pickle(tmp_path / "a.pth", b"\x80\x02" + b"]" * levels + b"a" * (levels - 1) + b"."))


def test_lists_that_multiply_are_refused(tmp_path: Path) -> None:
    twice = b"".join(b"](h\x00h\x00eq\x00" for _ in range(50))  # 2 to the power of 50 entries
    with pytest.raises(FileFormatError, match="or holds more than 200,000 values"):
        read_checkpoint(with_pickle(tmp_path / "a.pth", b"\x80\x02]q\x00" + twice + b"."))


def test_endless_pickles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("karat.encoders.pickles._MOST_INSTRUCTIONS", 1000)
    path = with_pickle(tmp_path / "a.pth", b"\x80\x02" + b"N0" * 1000 + b"N.")
    with pytest.raises(FileFormatError, match="has more than 1,000 instructions"):
        read_checkpoint(path)


def test_container_in_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="is nested more than 64 deep"):
        read_checkpoint(with_pickle(tmp_path / "a.pth", b"\x80\x02]q\x00h\x00a."))
