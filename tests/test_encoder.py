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
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import transforms

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
    assert encoder.preprocessing == (
        "Preprocessing(size=8, mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.1), resize=None, interpolation='bilinear')"
    )
    assert (encoder.layout, encoder.h) == (
        "karat",
        "global average pooling of the head, after its last ReLU, 10 features",
    )
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
    ("change", "report"),
    [
        (renamed, r"missing \(1\)\nhead\.0\.weight\n\nleft over \(1\)\nhead\.0\.kernel\n"),
        (removed, r"missing \(1\)\nstem\.1\.running_mean\n"),
        (added, r"left over \(1\)\nprojector\.weight\n"),
        (reshaped, r"type \(1\)\nhead\.0\.weight is float32 \[10, 7, 1, 1\], not float32 \[10, 6, 1, 1\]\n"),
        (retyped, r"type \(1\)\nhead\.0\.weight is int64 \[10, 6, 1, 1\], not float32"),
    ],
)
def test_weights_that_do_not_fit_are_listed(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], None], report: str
) -> None:
    weights = dict(tiny().state_dict())
    change(weights)
    with pytest.raises(InputError, match=report):
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
        {**DESCRIPTION, "input": {"size": 8, "mean": [0, 0, 0], "std": [1, 1, 1], "resize": 4}},
        {**DESCRIPTION, "arguments": {**ARGUMENTS, "blocks": 10**9}},
        {**DESCRIPTION, "architecture": "resnet", "arguments": {"blocks": [10**9, 1, 1, 1], "block": "basic"}},
        {**DESCRIPTION, "architecture": "timm", "arguments": {"name": "hf-hub:someone/else"}},
    ],
)
def test_metadata_that_describe_no_encoder_are_refused(tmp_path: Path, description: Any) -> None:
    with pytest.raises(FileFormatError, match=r"does not describe an encoder of karat .*small_resnet"):
        load_encoder(save(tmp_path / "bad.safetensors", tiny().state_dict(), description))


def test_safetensors_without_a_description_are_of_a_known_layout_or_refused(tmp_path: Path) -> None:
    for metadata in (None, {"format": "pt"}):
        save_file(tiny().state_dict(), tmp_path / "other.safetensors", metadata)
        with pytest.raises(InputError, match=r"no layout \(moco, .* has any of the keys that the file holds"):
            load_encoder(tmp_path / "other.safetensors")


def test_layout_karat_needs_a_description(tmp_path: Path) -> None:
    save_file(tiny().state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(FileFormatError, match="does not describe an encoder of karat"):
        load_encoder(tmp_path / "other.safetensors", layout="karat")


def test_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    content = save(tmp_path / "tiny.safetensors", tiny().state_dict()).read_bytes()
    for name, part in (("empty", b""), ("truncated", content[:-1]), ("header", content[:100]), ("text", b"hello" * 9)):
        (tmp_path / name).write_bytes(part)
        with pytest.raises(FileFormatError, match=f"{name} (cannot be read as safetensors|is empty|is no checkpoint)"):
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


@given(
    sides=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    size=st.integers(1, 40),
    more=st.integers(0, 20),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)
@settings(deadline=None, max_examples=60)
def test_preprocessing_is_torchvisions(sides: tuple[int, int], size: int, more: int, interpolation: Any) -> None:
    image = np.random.default_rng(sum(sides)).integers(0, 256, (*sides, 3), np.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.228, 0.224, 0.225)
    expected = transforms.Compose(
        [
            transforms.Resize(size + more, transforms.InterpolationMode(interpolation)),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )(Image.fromarray(image))
    found = Preprocessing(size, mean, std, resize=size + more, interpolation=interpolation)(image)
    assert torch.equal(found, expected)


def test_preprocessing_without_resize_fits_the_shorter_side() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    fitted, same = (Preprocessing(20, (0, 0, 0), (1, 1, 1), resize=resize) for resize in (None, 20))
    assert torch.equal(fitted(image), same(image))


def test_preprocessing_leaves_the_image_alone() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image.setflags(write=False)
    tensor = Preprocessing(8, (0, 0, 0), (1, 1, 1))(image)
    tensor += 1
    assert image.max() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"resize": 7}, r"resize is 7, but a whole number of at least size \(8\)"),
        ({"resize": 8.5}, r"resize is 8\.5"),
        ({"interpolation": "lanczos"}, "interpolation is 'lanczos', but one of"),
        ({"std": (0.1, 0, 0.1)}, "std is"),
        ({"mean": (0.1, 0.1)}, "mean is"),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Preprocessing(**{"size": 8, "mean": (0, 0, 0), "std": (1, 1, 1), **change})


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
