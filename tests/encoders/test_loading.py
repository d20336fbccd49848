"""Loading: h of a loaded encoder is h of the network that was published; what is asked for is what is loaded."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm import create_model
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import Bottleneck, ResNet

from karat.encoders import Encoder, Preprocessing, inspect, load_encoder
from karat.encoders.architectures import BUILDERS
from karat.encoders.layouts import BICUBIC, CIFAR, IMAGENET, LAYOUTS, UNSCALED_224, UNSCALED_256
from karat.errors import InputError, InputTypeError

from ..reference.networks import pad_same, resnet_h, simclr_v2_h, vit_h, xcit_h
from .published import cifar_resnet18, drawn, linear, resnet, simclr_v2, vit, wide_resnet, xcit

Weights = dict[str, Tensor]

TABLES = "swin_tiny_patch4_window7_224"  # computes tables of positions that are in no file


def saved(path: Path, tree: Any) -> Path:
    torch.save(tree, path)
    return path


def prefixed(weights: Weights, prefix: str) -> Weights:
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def h_of(encoder: Encoder, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return encoder.module(images)


def images(size: int, n: int = 2) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def assert_same_h(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert expected.std() > 1e-3  # or anything would be close to it
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-4 * float(expected.abs().max()))


# h, architecture by architecture


@pytest.mark.parametrize(
    "build",
    [
        models.resnet18,
        models.resnet50,
        lambda: ResNet(Bottleneck, [1, 2, 1, 1], width_per_group=128),
        lambda: ResNet(Bottleneck, [1, 1, 2, 1], groups=32, width_per_group=4),
    ],
    ids=["resnet18", "resnet50", "as wide_resnet50_2", "as resnext50_32x4d"],
)
def test_h_of_a_resnet_is_torchvisions(tmp_path: Path, build: Callable[[], nn.Module]) -> None:
    source = build().eval()
    source.load_state_dict(drawn({name: tuple(tensor.shape) for name, tensor in source.state_dict().items()}))
    keys = prefixed(source.state_dict(), "module.encoder_q.")
    encoder = load_encoder(saved(tmp_path / "moco.pth.tar", {"state_dict": keys}))
    source.fc = nn.Identity()
    with torch.inference_mode():
        assert torch.equal(h_of(encoder, images(64)), source(images(64)))
    assert (encoder.layout, encoder.transform) == ("moco", IMAGENET)
    assert encoder.h == f"global average pooling of layer4, after its last ReLU, {encoder.dim:,} features"


@pytest.mark.parametrize(
    ("blocks", "width"),
    [((1, 2, 1, 1), 1), ((1, 1, 1, 1), 2), pytest.param((1, 1, 1, 1), 4, marks=pytest.mark.slow)],
)
def test_h_of_a_widened_resnet_is_the_formulas(tmp_path: Path, blocks: tuple[int, ...], width: int) -> None:
    weights = drawn(wide_resnet(blocks, width))
    encoder = load_encoder(saved(tmp_path / "vicreg.pth", {"model": prefixed(weights, "module.backbone.")}))
    assert encoder.dim == 2048 * width
    assert_same_h(h_of(encoder, images(48)), resnet_h(weights, images(48)))


def test_h_of_solo_learns_cifar_resnet_has_its_stem(tmp_path: Path) -> None:
    weights = drawn(cifar_resnet18())
    encoder = load_encoder(saved(tmp_path / "byol.ckpt", {"state_dict": prefixed(weights, "backbone.")}))
    assert (encoder.layout, encoder.transform, encoder.dim) == ("solo-learn-cifar", CIFAR, 512)
    expected = resnet_h(weights, images(32), stem=(1, 2), pool=False)
    assert_same_h(h_of(encoder, images(32)), expected)


@pytest.mark.parametrize("side", [64, 65])
def test_h_of_a_converted_byol_pads_as_tensorflow_does(tmp_path: Path, side: int) -> None:
    weights = drawn(wide_resnet((1, 1, 1, 2), 1))
    description = {
        "architecture": "resnet_same",
        "arguments": {"blocks": [1, 1, 1, 2], "width": 1},
        "input": {"size": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "resize": 256},
    }
    description["input"]["interpolation"] = "bicubic"  # type: ignore[index]
    save_file(weights, tmp_path / "byol.safetensors", {"karat": json.dumps(description)})
    encoder = load_encoder(tmp_path / "byol.safetensors")
    assert (encoder.layout, encoder.transform, encoder.dim) == ("karat", BICUBIC, 2048)
    found = h_of(encoder, images(side))
    assert_same_h(found, resnet_h(weights, images(side), same=True))
    if side % 2 == 0:
        assert not torch.allclose(found, resnet_h(weights, images(side)), rtol=1e-2)


def test_same_padding_of_even_sides_is_one_pixel_at_the_end() -> None:
    padded = pad_same(torch.ones(1, 1, 4, 4), 3, 2)
    assert padded.shape == (1, 1, 5, 5)
    assert padded[0, 0, :4, :4].min() == 1
    assert padded[0, 0, 4].max() == padded[0, 0, :, 4].max() == 0


@pytest.mark.parametrize("selective", [False, True])
def test_h_of_simclr_v2_is_its_converters(tmp_path: Path, selective: bool) -> None:
    weights = drawn(simclr_v2((2, 1, 1, 1), selective=selective))
    path = saved(tmp_path / "r50_1x.pth", {"resnet": weights, "head": {}})
    encoder = load_encoder(path)
    assert encoder.transform == UNSCALED_224
    assert_same_h(h_of(encoder, images(64)), simclr_v2_h(weights, images(64), selective=selective))


def test_h_of_dinos_vit_is_its_class_token(tmp_path: Path) -> None:
    weights = drawn(vit(384, 2, 16, tokens=197))
    encoder = load_encoder(saved(tmp_path / "dino.pth", weights))
    assert (encoder.layout, encoder.transform, encoder.dim) == ("dino", BICUBIC, 384)
    assert encoder.h == "class token of the last block, after the last norm, 384 features"
    assert_same_h(h_of(encoder, images(224, 1)), vit_h(weights, images(224, 1), heads=6))


def test_h_of_moco_v3s_small_vit_has_twelve_heads(tmp_path: Path) -> None:
    weights = drawn(vit(384, 2, 16, tokens=197))
    keys = prefixed(weights, "module.base_encoder.")
    encoder = load_encoder(saved(tmp_path / "vit-s-300ep.pth.tar", {"state_dict": keys}))
    found = h_of(encoder, images(224, 1))
    assert_same_h(found, vit_h(weights, images(224, 1), heads=12))
    assert not torch.allclose(found, vit_h(weights, images(224, 1), heads=6), rtol=1e-2)


@pytest.mark.parametrize(("registers", "gated"), [(0, 0), (4, 0), (0, 512), (4, 512)])
def test_h_of_dinov2_resamples_positions_as_its_authors_do(tmp_path: Path, registers: int, gated: int) -> None:
    shapes = vit(384, 2, 14, tokens=1370, registers=registers, scaled=True, gated=gated)
    weights = drawn(shapes)
    path = saved(tmp_path / "dinov2.pth", {**weights, "mask_token": torch.zeros(1, 384)})
    encoder = load_encoder(path)
    assert (encoder.layout, encoder.transform) == ("dinov2", BICUBIC)
    assert_same_h(h_of(encoder, images(224, 1)), vit_h(weights, images(224, 1), heads=6))


@pytest.mark.parametrize("patch", [8, 16])
def test_h_of_dinos_xcit_is_its_class_token(tmp_path: Path, patch: int) -> None:
    weights = drawn(xcit(128, 2, patch))
    encoder = load_encoder(saved(tmp_path / "dino_xcit.pth", weights))
    assert encoder.dim == 128
    assert_same_h(h_of(encoder, images(64)), xcit_h(weights, images(64), heads=8))


def test_teacher_is_the_default_and_the_student_on_request(tmp_path: Path) -> None:
    teacher, student = drawn(resnet("resnet18"), seed=1), drawn(resnet("resnet18"), seed=2)
    tree = {"student": prefixed(student, "module.backbone."), "teacher": prefixed(teacher, "backbone.")}
    path = saved(tmp_path / "full.pth", tree)
    assert "the teacher" in inspect(path).why
    for layout, weights in ((None, teacher), ("dino-full-student", student)):
        assert_same_h(h_of(load_encoder(path, layout=layout), images(48)), resnet_h(weights, images(48)))


# what travels with the weights


@pytest.mark.parametrize(
    ("layout", "preprocessing"),
    [
        ("swav", Preprocessing(224, (0.485, 0.456, 0.406), (0.228, 0.224, 0.225), resize=256)),
        ("simclr-v1", Preprocessing(256, (0, 0, 0), (1, 1, 1), resize=256)),
        ("simclr-v2", Preprocessing(224, (0, 0, 0), (1, 1, 1), resize=256)),
        ("solo-learn-cifar", Preprocessing(32, (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))),
        (
            "dino",
            Preprocessing(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=256, interpolation="bicubic"),
        ),
        ("lightly", Preprocessing(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=256)),
    ],
)
def test_preprocessing_is_the_authors(layout: str, preprocessing: Preprocessing) -> None:
    assert {row.name: row.preprocessing for row in LAYOUTS}[layout] == preprocessing


def test_layout_decides_where_keys_fit_several(tmp_path: Path) -> None:
    weights = drawn(resnet("resnet18") | linear("fc", 512, 1000))
    path = saved(tmp_path / "resnet18.pth", {"state_dict": weights, "epoch": 90, "arch": "resnet18"})
    with pytest.raises(InputError, match=r"(?s)layouts that differ.*--layout simclr-v1 or --layout torchvision"):
        load_encoder(path)
    for layout, preprocessing in (("simclr-v1", UNSCALED_256), ("torchvision", IMAGENET)):
        assert load_encoder(path, layout=layout).transform == preprocessing


def test_layouts_that_agree_are_named_and_the_first_is_taken(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", {"state_dict": prefixed(drawn(resnet("resnet18")), "backbone.")})
    coverage = inspect(path)
    assert (coverage.layout, coverage.also) == ("lightly", ("solo-learn", "mmpretrain"))
    assert "the first of several that agree, the others being solo-learn, mmpretrain" in coverage.why
    assert load_encoder(path).transform == IMAGENET


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    weights = drawn(resnet("resnet18"))
    half = {name: tensor.to(torch.bfloat16) if tensor.ndim else tensor for name, tensor in weights.items()}
    path = saved(tmp_path / "half.pth", half)
    assert inspect(path, layout="torchvision").dtypes == {"bfloat16": 100, "int64": 20}
    state = load_encoder(path, layout="torchvision").module.state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32, torch.int64}
    assert torch.equal(state["conv1.weight"], half["conv1.weight"].float())


def test_counters_that_old_files_lack_are_reported_and_zero(tmp_path: Path) -> None:
    weights = {name: tensor for name, tensor in drawn(resnet("resnet18")).items() if not name.endswith("_tracked")}
    path = saved(tmp_path / "old.pth", weights)
    coverage = inspect(path, layout="torchvision")
    assert coverage.complete
    assert len(coverage.absent) == 20
    assert "absent, without effect on h  20 (num_batches_tracked)" in str(coverage)
    assert load_encoder(path, layout="torchvision").module.bn1.num_batches_tracked == 0


def test_what_the_file_says_is_shown(tmp_path: Path) -> None:
    tree = {"epoch": 800, "arch": "resnet18", "optimizer": {}, "state_dict": {}}
    tree["state_dict"] = prefixed(drawn(resnet("resnet18")), "encoder_q.")
    coverage = inspect(saved(tmp_path / "moco.pth", tree))
    assert coverage.says == {"epoch": "800", "arch": "resnet18"}
    assert coverage.beside == ("epoch", "arch", "optimizer")
    for part in (r"the file says +arch resnet18, epoch 800", r"layout +moco\n", r"120 of 120\n", coverage.sha256):
        assert re.search(part, str(coverage))


def test_coverage_is_plain_values_and_print_has_the_first_keys(tmp_path: Path) -> None:
    weights = {name: tensor for name, tensor in drawn(resnet("resnet18")).items() if not name.startswith("layer4")}
    coverage = inspect(saved(tmp_path / "cut.pth", {**weights, "layer4.0.conv1.weight": torch.zeros(1)}), layout="dino")
    plain = json.loads(json.dumps(coverage.to_dict()))
    assert (plain["layout"], plain["complete"]) == ("dino", False)
    assert len(plain["missing"]) == len(coverage.missing) > 10
    assert re.search(
        rf"missing \({len(coverage.missing)}\)\n(layer4\..*\n){{10}}and {len(coverage.missing) - 10} more",
        str(coverage),
    )


def test_loaded_encoder_does_not_depend_on_its_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "dino.pth", drawn(vit(384, 1, 16, tokens=197)))
    encoder = load_encoder(path)
    expected = h_of(encoder, images(224, 1))
    path.write_bytes(b"")
    assert torch.equal(h_of(encoder, images(224, 1)), expected)


# arch


def test_arch_overrides_what_is_inferred(tmp_path: Path) -> None:
    path = saved(tmp_path / "moco.pth", {"state_dict": prefixed(drawn(resnet("resnet18")), "encoder_q.")})
    assert load_encoder(path, arch="resnet18").dim == 512
    coverage = inspect(path, arch="resnet50")
    assert coverage.architecture == "resnet50"
    assert coverage.missing
    assert coverage.misfits


@pytest.mark.parametrize("name", ["test_convnext", pytest.param(TABLES, marks=pytest.mark.slow)])
def test_arch_may_be_a_model_of_timm(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    source = create_model(name, num_classes=0, pretrained=False).eval()
    path = saved(tmp_path / "solo.ckpt", {"state_dict": prefixed(source.state_dict(), "backbone.")})
    with pytest.raises(InputError, match="no architecture that karat knows"):
        load_encoder(path, layout="solo-learn")
    encoder = load_encoder(path, arch=f"timm:{name}", layout="solo-learn")
    with torch.inference_mode():
        assert torch.equal(h_of(encoder, images(224, 1)), source(images(224, 1)))


@pytest.mark.parametrize(
    ("arch", "name"),
    [
        ("resnet34", "resnet34"),
        ("resnet50x2", "resnet50x2"),
        ("vit_small_patch14", "vit_small_patch14"),
        ("xcit_small_12_p8", "xcit_small_12_p8"),
    ],
)
def test_architectures_can_be_named(tmp_path: Path, arch: str, name: str) -> None:
    path = saved(tmp_path / "any.pth", {"a.weight": torch.zeros(1)})
    assert inspect(path, arch=arch, layout="dino").architecture == name


@pytest.mark.parametrize(
    ("arch", "near"),
    [
        ("resnet51", "resnet50"),
        ("vit_tall_patch16", "vit_small_patch16"),
        ("xcit_small_13_p16", "xcit_small_12_p16"),
        ("timm:resnet5o", "resnet50"),
        ("?", "resnet18"),
    ],
)
def test_unknown_architecture_is_refused_with_the_nearest(tmp_path: Path, arch: str, near: str) -> None:
    path = saved(tmp_path / "any.pth", {"a.weight": torch.zeros(1)})
    with pytest.raises(InputError, match=near):
        load_encoder(path, arch=arch, layout="dino")


# refusals


def test_unknown_layout_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = saved(tmp_path / "any.pth", {"a.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="layout is 'mocov3', but there is moco-v3"):
        load_encoder(path, layout="mocov3")


@pytest.mark.parametrize("tree", [{"a.weight": torch.zeros(1)}, {"state_dict": {}}, [1, 2], {1: torch.zeros(1)}, 3.0])
def test_file_of_another_kind_is_refused(tmp_path: Path, tree: Any) -> None:
    path = saved(tmp_path / "other.pth", tree)
    with pytest.raises(InputError, match=r"(?s)no layout \(moco, moco-v3.* has any of the keys that the file holds"):
        load_encoder(path)


def test_resnet_with_another_stem_is_no_torchvision_resnet(tmp_path: Path) -> None:
    path = saved(tmp_path / "moco_cifar.pth", {"state_dict": prefixed(drawn(cifar_resnet18()), "encoder_q.")})
    with pytest.raises(InputError, match=r"encoder_q\.conv1\.weight is float32 \[64, 3, 3, 3\], not .*\[64, 3, 7, 7\]"):
        load_encoder(path)


def test_vit_of_another_image_size_is_refused_where_its_authors_do_not_resample(tmp_path: Path) -> None:
    path = saved(tmp_path / "dino96.pth", drawn(vit(384, 1, 16, tokens=37)))
    with pytest.raises(InputError, match=r"pos_embed is float32 \[1, 37, 384\], not float32 \[1, 197, 384\]"):
        load_encoder(path)


def test_key_with_and_without_module_is_left_over(tmp_path: Path) -> None:
    weights = drawn(resnet("resnet18"))
    path = saved(tmp_path / "twice.pth", {**weights, "module.conv1.weight": weights["conv1.weight"]})
    assert inspect(path, layout="torchvision").left_over == ("module.conv1.weight",)


def test_index_without_end_builds_no_network(tmp_path: Path) -> None:
    weights = drawn(resnet("resnet18"))
    path = saved(tmp_path / "bomb.pth", {**weights, "layer1.999999999.conv1.weight": torch.zeros(1)})
    assert not inspect(path, layout="torchvision").complete


def test_tensors_that_are_none_are_left_over(tmp_path: Path) -> None:
    path = saved(tmp_path / "text.pth", {**drawn(resnet("resnet18")), "name": "resnet"})
    assert inspect(path, layout="torchvision").left_over == ("name",)


# dispatch


def test_encoder_is_returned_as_it_is() -> None:
    encoder = Encoder(nn.Flatten(), dim=3, transform=CIFAR, name="pixels")
    assert load_encoder(encoder) is encoder


@pytest.mark.parametrize("source", ["timm:resnet18", "torchvision:resnet18", "hf:owner/name", "net.onnx"])
def test_arch_and_layout_are_for_checkpoints_only(source: str) -> None:
    with pytest.raises(InputError, match="arch and layout are for checkpoints"):
        load_encoder(source, layout="moco")


def test_something_that_is_no_path_is_refused() -> None:
    with pytest.raises(InputTypeError, match="encoder is a int"):
        load_encoder(3)  # type: ignore[arg-type]


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"moco-v2-resnet50"):
        load_encoder("moco-v2-resnet5")


def test_published_name_brings_its_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = drawn(resnet("resnet50"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    path = tmp_path / "hub" / "checkpoints" / "dino_resnet50_pretrain.pth"
    path.parent.mkdir(parents=True)
    saved(path, weights)
    encoder = load_encoder("dino-resnet50")
    assert (encoder.name, encoder.layout, encoder.transform) == ("dino-resnet50", "dino", BICUBIC)


@pytest.mark.parametrize(
    ("source", "function"),
    [
        ("timm:a", "from_timm"),
        ("torchvision:b:C", "from_torchvision"),
        ("hf:d/e", "from_hf"),
        ("f/g.onnx", "from_onnx"),
    ],
)
def test_prefixes_go_to_their_library(monkeypatch: pytest.MonkeyPatch, source: str, function: str) -> None:
    from karat.encoders import libraries

    encoder = Encoder(nn.Flatten(), dim=3, transform=CIFAR, name="found")
    asked: list[str] = []

    def load(name: str) -> Encoder:
        asked.append(name)
        return encoder

    monkeypatch.setattr(libraries, function, load)
    assert load_encoder(source) is encoder
    assert asked == [source if source.endswith(".onnx") else source.partition(":")[2]]


def test_every_builder_says_what_h_is() -> None:
    assert all(words for _, _, words in BUILDERS.values())


# transforms travel to workers


@pytest.mark.parametrize("row", LAYOUTS, ids=lambda row: row.name)
def test_preprocessing_of_layouts_can_be_pickled(row: Any) -> None:
    copy = pickle.loads(pickle.dumps(row.preprocessing))
    assert copy == row.preprocessing
    assert repr(copy) == repr(row.preprocessing)
    image = np.random.default_rng(0).integers(0, 256, (300, 280, 3), np.uint8)
    assert torch.equal(copy(image), row.preprocessing(image))
