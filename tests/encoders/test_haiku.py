"""BYOL's pickles: converted without being executed; the converted encoder computes what Haiku's network computes."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import dill
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from karat.encoders import Encoder, load_encoder
from karat.encoders.haiku import convert, read_haiku
from karat.errors import FileFormatError, InputError, OutputExistsError

from ..commands import Command
from ..reference.haiku_resnet import haiku_resnet_forward

BLOCKS = (1, 2, 1, 1)
FIELDS = ("online_params", "target_params", "online_state", "target_state", "opt_state")


class FlatMapping(dict[str, Any]):
    """As Haiku pickles its mappings: its name, and a plain dictionary."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


class DeviceArray:
    """As jax pickled an array that was not fetched from its device: a function of jax, with NumPy's own recipe."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reconstruct, (np.zeros(2, np.uint32).__reduce__(),)


def reconstruct(recipe: object) -> object:
    return recipe


@pytest.fixture(autouse=True)
def libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules of the names that the pickles mention, while they are made."""
    for module, content in (("haiku._src.data_structures", FlatMapping), ("jax.interpreters.xla", reconstruct)):
        whole = ""
        for part in module.split("."):
            parent, whole = whole, f"{whole}.{part}".lstrip(".")
            monkeypatch.setitem(sys.modules, whole, ModuleType(whole))
            if parent:
                setattr(sys.modules[parent], part, sys.modules[whole])
        setattr(sys.modules[module], content.__name__, content)
        monkeypatch.setattr(content, "__module__", module)
    yield


def batch_norm(rng: np.random.Generator, name: str, width: int, params: dict[str, Any], state: dict[str, Any]) -> None:
    shape = (1, 1, 1, width)
    params[name] = {"scale": rng.uniform(0.5, 1.5, shape), "offset": rng.normal(0, 0.1, shape)}
    for kind, average in (("mean", rng.normal(0, 0.1, shape)), ("var", rng.uniform(0.5, 1.5, shape))):
        moments = {"counter": np.array(7, np.int32), "hidden": average, "average": average}
        state[f"{name}/~/{kind}_ema"] = moments


def haiku_resnet(
    *, width: int = 1, bottleneck: bool = True, blocks: tuple[int, ...] = BLOCKS
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and state under Haiku's names (byol/utils/networks.py, haiku/_src/nets/resnet.py), float32."""
    rng = np.random.default_rng(0)
    params: dict[str, Any] = {}
    state: dict[str, Any] = {}

    def conv(name: str, kernel: int, inputs: int, outputs: int) -> None:
        params[name] = {"w": rng.normal(0, (2 / (kernel**2 * inputs)) ** 0.5, (kernel, kernel, inputs, outputs))}

    root, inputs, expansion = "res_net50/~/", 64 * width, 4 if bottleneck else 1
    conv(f"{root}initial_conv", 7, 3, inputs)
    batch_norm(rng, f"{root}initial_batchnorm", inputs, params, state)
    for group, count in enumerate(blocks):
        middle = 64 * width * 2**group
        for block in range(count):
            name = f"{root}block_group_{group}/~/block_{block}/~/"
            if block == 0:
                conv(f"{name}shortcut_conv", 1, inputs, middle * expansion)
                batch_norm(rng, f"{name}shortcut_batchnorm", middle * expansion, params, state)
            kernels = ((1, middle), (3, middle), (1, 4 * middle)) if bottleneck else ((3, middle), (3, middle))
            for number, (kernel, outputs) in enumerate(kernels):
                conv(f"{name}conv_{number}", kernel, inputs, outputs)
                batch_norm(rng, f"{name}batchnorm_{number}", outputs, params, state)
                inputs = outputs
    for head in ("projector", "predictor"):
        params[f"{head}/linear"] = {"w": np.zeros((inputs, 4)), "b": np.zeros(4)}
        batch_norm(rng, f"{head}/batch_norm", 4, params, state)
    params["classifier"] = {"w": np.zeros((inputs, 10)), "b": np.zeros(10)}
    return single(params), single(state)


def single(modules: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    return {
        name: {key: array.astype(np.float32) if array.dtype == float else array for key, array in arrays.items()}
        for name, arrays in modules.items()
    }


def checkpoint(params: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """As byol/utils/checkpointing.py gives it to dill."""
    other = {name: {key: np.zeros(1, np.float32) for key in arrays} for name, arrays in params.items()}
    lars, weight_decay = namedtuple("ScaleByLarsState", ["mu"]), namedtuple("AddWeightDecayState", [])
    experiment = namedtuple("_ByolExperimentState", FIELDS)
    for kind in (lars, weight_decay, experiment):
        kind.__module__ = "byol.byol_experiment"
    mapped = [FlatMapping({name: FlatMapping(arrays) for name, arrays in part.items()}) for part in (params, state)]
    values = (mapped[0], FlatMapping(other), mapped[1], mapped[1], [weight_decay(), lars(FlatMapping(other))])
    return {"experiment_state": experiment(*values), "step": 300_000, "rng": DeviceArray()}


def save(path: Path, content: object) -> Path:
    with open(path, "wb") as file:
        dill.dump(content, file, protocol=2)
    return path


def stem(width: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """Only what comes before the blocks, and the heads."""
    return haiku_resnet(blocks=(0, 0, 0, 0), width=width)


def features(encoder: Encoder, images: np.ndarray) -> np.ndarray:
    """h of images [n, h, w, 3], in float64."""
    with torch.inference_mode():
        return encoder.module.double()(torch.from_numpy(images).double().permute(0, 3, 1, 2)).numpy()


@pytest.mark.parametrize(("width", "side"), [(1, 64), (1, 97), pytest.param(2, 64, marks=pytest.mark.slow)])
def test_converted_encoder_computes_what_haiku_computes(tmp_path: Path, width: int, side: int) -> None:
    params, state = haiku_resnet(width=width)
    path = save(tmp_path / "pretrain.pkl", checkpoint(params, state))
    encoder = load_encoder(convert(path, tmp_path / "byol.safetensors"))
    images = np.random.default_rng(1).normal(size=(2, side, side, 3))
    h = features(encoder, images)
    assert h.shape == (2, 2048 * width) == (2, encoder.dim)
    np.testing.assert_allclose(h, haiku_resnet_forward(params, state, images), rtol=1e-9, atol=1e-12)
    assert encoder.preprocessing == (  # that of the authors' evaluation
        "Preprocessing(size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), resize=256, "
        "interpolation='bicubic')"
    )


def test_values_go_where_they_belong(tmp_path: Path) -> None:
    params, state = haiku_resnet()
    tensors = read_haiku(save(tmp_path / "a.pkl", checkpoint(params, state)))
    name = "res_net50/~/block_group_1/~/block_0/~/"
    kernel = tensors["layer2.0.conv2.weight"]
    assert kernel.shape == (128, 128, 3, 3) and kernel.is_contiguous()
    assert kernel[5, 7, 0, 2] == float(params[f"{name}conv_1"]["w"][0, 2, 7, 5])
    for ours, haikus in (
        ("layer2.0.bn3", f"{name}batchnorm_2"),
        ("layer2.0.downsample.1", f"{name}shortcut_batchnorm"),
    ):
        for key, part in (("weight", "scale"), ("bias", "offset")):
            np.testing.assert_array_equal(tensors[f"{ours}.{key}"], params[haikus][part].reshape(-1))
        for key, part in (("running_mean", "mean"), ("running_var", "var")):
            np.testing.assert_array_equal(tensors[f"{ours}.{key}"], state[f"{haikus}/~/{part}_ema"]["average"].ravel())
        assert tensors[f"{ours}.num_batches_tracked"] == 7
    assert not [key for key in tensors if not key.startswith(("conv1.", "bn1.", "layer"))]


def test_basic_blocks_are_converted_too(tmp_path: Path) -> None:
    """The ResNet-18 of BYOL's code has a projection in its first block; torchvision's has none: said, not loaded."""
    params, state = haiku_resnet(bottleneck=False)
    out = convert(save(tmp_path / "a.pkl", checkpoint(params, state)), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"layer1\.0\.downsample\.0\.weight"):
        load_encoder(out)
    kept = {key: value for key, value in params.items() if "group_0/~/block_0/~/shortcut" not in key}
    moments = {key: value for key, value in state.items() if "group_0/~/block_0/~/shortcut" not in key}
    encoder = load_encoder(convert(save(tmp_path / "b.pkl", checkpoint(kept, moments)), tmp_path / "b.safetensors"))
    images = np.random.default_rng(1).normal(size=(2, 64, 64, 3))
    np.testing.assert_allclose(
        features(encoder, images), haiku_resnet_forward(kept, moments, images), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("width", [1, 2, 4])
def test_width_is_told_by_the_shapes(tmp_path: Path, width: int) -> None:
    out = convert(save(tmp_path / "a.pkl", checkpoint(*stem(width))), tmp_path / "a.safetensors")
    with safe_open(out, "pt") as file:
        assert json.loads(file.metadata()["karat"])["arguments"]["width"] == width


def test_conversion_twice_makes_the_same_bytes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pkl", checkpoint(*stem()))
    first, second = (convert(path, tmp_path / name).read_bytes() for name in ("1.safetensors", "2.safetensors"))
    assert first == second


def test_karat_encoders_convert_writes_what_karat_encoders_inspect_accepts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, out = Command(capsys), tmp_path / "byol.safetensors"
    done = command("encoders", "convert", save(tmp_path / "a.pkl", checkpoint(*haiku_resnet())), "-o", out)
    assert (done.status, done.out, done.err) == (0, "", f"{tmp_path / 'a.pkl'} -> {out}\n")
    assert command("encoders", "inspect", out).status == 0


def test_published_encoder_is_converted_and_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    save(cache / "pretrain_res50x1.pkl", checkpoint(*haiku_resnet()))
    encoder = load_encoder("byol-resnet50")
    assert (encoder.name, encoder.layout, encoder.dim) == ("byol-resnet50", "karat", 2048)
    assert sorted(path.name for path in cache.iterdir()) == ["pretrain_res50x1.pkl", "pretrain_res50x1.safetensors"]


def test_existing_output_is_left_alone(tmp_path: Path) -> None:
    path, out = save(tmp_path / "a.pkl", checkpoint(*stem())), tmp_path / "a.safetensors"
    out.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        convert(path, out)
    assert out.read_bytes() == b"mine"
    assert convert(path, out, overwrite=True) == out
    assert out.read_bytes() != b"mine"


class Runs:
    """An object whose pickle runs a command when it is loaded."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.touched}",)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    touched, out = tmp_path / "touched", tmp_path / "out.safetensors"
    content = checkpoint(*stem()) | {"rng": Runs(touched)}
    (tmp_path / "a.pkl").write_bytes(dill.dumps(content, protocol=protocol))
    with pytest.raises(FileFormatError, match=r"more than BYOL's checkpoints do: posix\.system\. Nothing in it"):
        convert(tmp_path / "a.pkl", out)
    assert not touched.exists() and not out.exists()


@pytest.mark.parametrize(
    ("pickled", "asked"),
    [
        (b"\x80\x04\x8c\x02os\x94\x8c\x05posix\x94\x8c\x06system\x940h\x01h\x02\x93\x8c\x04true\x85R.", "posix.system"),
        (b'\x80\x02cbuiltins\neval\n(S\'open("x", "w")\'\ntR.', "builtins.eval"),
        (b"\x80\x02(S'touch x'\niposix\nsystem\n.", "posix.system"),
        (b"\x80\x02\x82\x01.", "copyreg extension 1"),
        (dill.dumps(eval("lambda: 1", {})), "dill._dill._create_function"),
        (pickle.dumps(np.array([print]), 2), "builtins.print"),
        (pickle.dumps(nn.Identity()), "torch.nn.modules.linear.Identity"),
    ],
)
def test_everything_else_that_is_asked_for_is_refused(tmp_path: Path, pickled: bytes, asked: str) -> None:
    (tmp_path / "a.pkl").write_bytes(pickled)
    with pytest.raises(FileFormatError, match=rf"than BYOL's checkpoints do: .*{asked}"):
        read_haiku(tmp_path / "a.pkl")


def test_pickle_that_misleads_the_list_of_what_it_asks_for_is_refused_when_it_is_read(tmp_path: Path) -> None:
    names = [b"posix", b"system", b"collections", b"OrderedDict"]  # the last two are taken from the stack again
    pushed = b"".join(b"\x8c" + bytes([len(name)]) + name for name in names)
    command = f"touch {tmp_path / 'touched'}".encode()
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + pushed + b"00\x93\x8c" + bytes([len(command)]) + command + b"\x85R.")
    with pytest.raises(FileFormatError, match=r"posix\.system is asked for"):
        read_haiku(tmp_path / "a.pkl")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["haiku.x\nsystem", "jax\nos.system", "byol\nexec", "optax.os\nsystem"])
def test_names_of_known_libraries_are_never_imported(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02c" + name.encode() + b"\nX\x01\x00\x00\x00a\x85R.")
    before = set(sys.modules)
    with pytest.raises(FileFormatError, match="there is no experiment_state"):
        read_haiku(tmp_path / "a.pkl")
    assert set(sys.modules) == before


def zipped() -> bytes:
    file = io.BytesIO()
    torch.save({"state_dict": {}}, file)
    return file.getvalue()


def changed(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> bytes:
    params, state = stem()
    change(params, state)
    return dill.dumps(checkpoint(params, state), protocol=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"", "is empty: download it again"),
        (lambda: b"<html>", "is a web page, not a checkpoint"),
        (lambda: b"\x80\x02", "is truncated or damaged, or no pickle"),
        (zipped, r"is loaded as it is \(torch zip\): only BYOL's own pickles are converted"),
        (lambda: changed(lambda params, state: None)[:-1000], "is truncated or damaged, or no pickle"),
        (lambda: b"\x80\x02]r\xff\xff\xff\xff.", "it numbers more than 10,000,000 objects"),
        (lambda: pickle.dumps([1]), "there is no experiment_state"),
        (lambda: pickle.dumps({"experiment_state": 1}), "there is no experiment_state"),
        (lambda: pickle.dumps({"experiment_state": {}}), "has not the layout of BYOL's checkpoints: 'online_params'"),
        (lambda: pickle.dumps({"experiment_state": {"online_params": {}, "online_state": {}}}), "no initial_conv"),
        (lambda: pickle.dumps({"experiment_state": {"online_params": 3, "online_state": {}}}), "has not the layout"),
        (
            lambda: changed(lambda params, state: params.update({"vit/block": {"w": np.zeros(1)}})),
            "vit/block is a module that no ResNet of BYOL has",
        ),
        (
            lambda: changed(lambda params, state: params["res_net50/~/initial_conv"].update(b=np.zeros(1))),
            "has not the layout of BYOL's checkpoints: 'b'",
        ),
        (
            lambda: changed(lambda params, state: params.update({"res_net50/~/initial_conv": {"w": 3}})),
            "a int stands where an array is needed",
        ),
        (
            lambda: changed(lambda params, state: params.update({"res_net50/~/initial_conv": {"w": np.zeros(3)}})),
            "has not the layout",
        ),
        (
            lambda: changed(lambda params, state: state["res_net50/~/initial_batchnorm/~/mean_ema"].pop("average")),
            "has not the layout of BYOL's checkpoints: 'average'",
        ),
        (
            lambda: changed(lambda params, state: params.update({"res_net50/~/initial_conv": {"w": np.array([None])}})),
            "'O8' is no type of plain numbers",
        ),
    ],
)
def test_what_is_no_checkpoint_of_byol_is_refused(tmp_path: Path, make: Callable[[], bytes], message: str) -> None:
    (tmp_path / "a.pkl").write_bytes(make())
    with pytest.raises(FileFormatError, match=message):
        convert(tmp_path / "a.pkl", tmp_path / "out.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pkl"]


def test_missing_module_is_found_when_the_converted_file_is_loaded(tmp_path: Path) -> None:
    params, state = haiku_resnet()
    del params["res_net50/~/block_group_2/~/block_0/~/conv_1"]
    out = convert(save(tmp_path / "a.pkl", checkpoint(params, state)), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"layer3\.0\.conv2\.weight"):
        load_encoder(out)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file: a checkpoint of BYOL"):
        read_haiku(tmp_path / "nowhere.pkl")
