"""Encoders: loading is strict, preprocessing is what it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from karat.encoders import Encoder, Preprocessing, load_encoder
from karat.encoders.small_resnet import SmallResNet
from karat.errors import FileFormatError, InputError, InputTypeError

ARGUMENTS: dict[str, Any] = {"widths": [4, 6], "blocks": 1, "dim": 10}
DESCRIPTION: dict[str, Any] = {
    "architecture": "small_resnet",
    "arguments": ARGUMENTS,
    "input": {"size": 8, "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.1]},
}


def tiny() -> SmallResNet:
    torch.manual_seed(0)
    module = SmallResNet((4, 6), 1, 10).eval()
    for buffer in module.buffers():  # as if it had been trained: statistics that are not 0 and 1
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return module


def save(path: Path, weights: dict[str, Tensor], description: Any = DESCRIPTION) -> Path:
    save_file({name: value.contiguous() for name, value in weights.items()}, path, {"karat": json.dumps(description)})
    return path


def identity(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image)


def test_loaded_encoder_computes_what_the_saved_module_computes(tmp_path: Path) -> None:
    module = tiny()
    encoder = load_encoder(save(tmp_path / "tiny.safetensors", module.state_dict()))
    images = torch.rand(3, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(encoder.module(images), module(images))
    assert not encoder.module.training
    assert all(parameter.requires_grad for parameter in encoder.module.parameters())


def test_loaded_encoder_knows_its_name_dim_input_and_digest(tmp_path: Path) -> None:
    path = save(tmp_path / "tiny.safetensors", tiny().state_dict())
    encoder = load_encoder(str(path))
    assert (encoder.name, encoder.dim) == ("tiny", 10)
    assert encoder.transform == Preprocessing(8, (0.5, 0.4, 0.3), (0.25, 0.2, 0.1))
    assert encoder.preprocessing == "Preprocessing(size=8, mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.1))"
    assert encoder.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    weights = {
        name: value.half() if value.is_floating_point() else value for name, value in tiny().state_dict().items()
    }
    loaded = load_encoder(save(tmp_path / "half.safetensors", weights)).module.state_dict()
    for name, value in weights.items():
        assert loaded[name].dtype == (torch.float32 if value.is_floating_point() else value.dtype)
        assert torch.equal(loaded[name], value.to(loaded[name].dtype))


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "tiny.safetensors", tiny().state_dict())
    before = torch.random.get_rng_state()
    load_encoder(path)
    assert torch.equal(torch.random.get_rng_state(), before)


def renamed(weights: dict[str, Tensor]) -> None:
    weights["head.0.kernel"] = weights.pop("head.0.weight")


def removed(weights: dict[str, Tensor]) -> None:
    del weights["stem.1.running_mean"]


def added(weights: dict[str, Tensor]) -> None:
    weights["projector.weight"] = torch.zeros(1)


def reshaped(weights: dict[str, Tensor]) -> None:
    weights["head.0.weight"] = torch.zeros(10, 7, 1, 1)


def retyped(weights: dict[str, Tensor]) -> None:
    weights["head.0.weight"] = torch.zeros(10, 6, 1, 1, dtype=torch.int64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, r"architecture it names: head\.0\.kernel has no place; head\.0\.weight is missing$"),
        (removed, r"names: stem\.1\.running_mean is missing$"),
        (added, r"names: projector\.weight has no place$"),
        (reshaped, r"names: head\.0\.weight is float32 \[10, 7, 1, 1\], not float32 \[10, 6, 1, 1\]$"),
        (retyped, r"names: head\.0\.weight is int64 \[10, 6, 1, 1\], not float32"),
    ],
)
def test_weights_that_do_not_fit_are_listed(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    weights = dict(tiny().state_dict())
    change(weights)
    with pytest.raises(InputError, match=message):
        load_encoder(save(tmp_path / "bad.safetensors", weights))


@pytest.mark.parametrize(
    "description",
    [
        [],
        {**DESCRIPTION, "architecture": "vit"},
        {**DESCRIPTION, "arguments": {"widths": [4, 6]}},
        {**DESCRIPTION, "arguments": {**ARGUMENTS, "depth": 3}},
        {**DESCRIPTION, "arguments": {**ARGUMENTS, "dim": -1}},
        {**DESCRIPTION, "arguments": {**ARGUMENTS, "dim": "10"}},
        {**DESCRIPTION, "arguments": {**ARGUMENTS, "widths": []}},
        {key: value for key, value in DESCRIPTION.items() if key != "input"},
        {**DESCRIPTION, "input": {"size": 0, "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {**DESCRIPTION, "input": {"size": 8, "mean": [0, 0], "std": [1, 1, 1]}},
        {**DESCRIPTION, "input": {"size": 8, "mean": [0, 0, "x"], "std": [1, 1, 1]}},
        {**DESCRIPTION, "input": {"size": 8, "mean": [0, 0, 0], "std": [1, 0, 1]}},
    ],
)
def test_metadata_that_describe_no_encoder_are_refused(tmp_path: Path, description: Any) -> None:
    with pytest.raises(FileFormatError, match=r"does not describe an encoder of karat .*small_resnet"):
        load_encoder(save(tmp_path / "bad.safetensors", tiny().state_dict(), description))


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    for metadata in (None, {"format": "pt"}, {"karat": "no json"}):
        save_file(tiny().state_dict(), tmp_path / "other.safetensors", metadata)
        with pytest.raises(FileFormatError, match="does not describe an encoder of karat"):
            load_encoder(tmp_path / "other.safetensors")


def test_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    content = save(tmp_path / "tiny.safetensors", tiny().state_dict()).read_bytes()
    for name, part in (("empty", b""), ("truncated", content[:-1]), ("header", content[:100]), ("text", b"hello" * 9)):
        (tmp_path / name).write_bytes(part)
        with pytest.raises(FileFormatError, match=f"{name} cannot be read as safetensors"):
            load_encoder(tmp_path / name)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.safetensors", tmp_path):
        with pytest.raises(InputError, match="is no file"):
            load_encoder(path)


# preprocessing


def test_preprocessing_scales_and_normalises_each_channel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    tensor = Preprocessing(8, (0.5, 0.4, 0.3), (0.25, 0.2, 0.1))(image)
    assert tensor.shape == (3, 8, 8)
    assert tensor.dtype == torch.float32
    for channel, (mean, std) in enumerate([(0.5, 0.25), (0.4, 0.2), (0.3, 0.1)]):
        np.testing.assert_allclose(tensor[channel], (image[:, :, channel] / 255 - mean) / std, atol=1e-5)


def test_preprocessing_averages_when_it_shrinks() -> None:
    board = np.indices((32, 32)).sum(axis=0) % 2 * 255  # a chessboard: without antialiasing, 0 or 255
    tensor = Preprocessing(4, (0, 0, 0), (1, 1, 1))(np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8))
    assert tensor.shape == (3, 4, 4)
    assert (tensor - 0.5).abs().max() < 0.05


def test_preprocessing_takes_the_middle_square() -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 255
    assert torch.equal(Preprocessing(4, (0, 0, 0), (1, 1, 1))(wide), torch.ones(3, 4, 4))
    assert Preprocessing(4, (0, 0, 0), (1, 1, 1))(np.zeros((20, 9, 3), np.uint8)).shape == (3, 4, 4)


# encoders made by hand


def test_encoder_made_by_hand_has_no_digest_and_a_stable_preprocessing() -> None:
    encoder = Encoder(nn.Flatten(), dim=3, transform=identity, name="pixels")
    assert encoder.weights_sha256 is None
    assert encoder.preprocessing == "<function identity>"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"module": len}, InputTypeError, "module is a builtin_function_or_method"),
        ({"transform": None}, InputTypeError, "transform is a NoneType"),
        ({"dim": 0}, InputError, "dim is 0"),
        ({"dim": 2.0}, InputError, r"dim is 2\.0"),
        ({"name": ""}, InputError, "name is empty"),
    ],
)
def test_encoder_of_wrong_parts_is_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    parts = {"module": nn.Flatten(), "dim": 3, "transform": identity, "name": "pixels", **change}
    with pytest.raises(error, match=message):
        Encoder(parts.pop("module"), **parts)
