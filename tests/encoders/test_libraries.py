"""Models of other libraries: their weights, their preprocessing, and h as it is said to be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch
import torchvision
from onnx import TensorProto, helper
from PIL import Image
from timm.models import save_for_hf
from torch import Tensor, nn

from karat.encoders import Preprocessing, load_encoder
from karat.encoders.libraries import from_hf, from_onnx, from_timm, from_torchvision
from karat.errors import FileFormatError, InputError

PHOTO = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


def h_of(encoder: Any, image: np.ndarray = PHOTO) -> Tensor:
    with torch.inference_mode():
        return encoder.module(encoder.transform(image)[None])


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches, and no network."""
    import huggingface_hub.constants

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


# timm


def timm_folder(folder: Path, name: str, **config: Any) -> nn.Module:
    """A randomly initialised model in a folder, as timm saves it."""
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval()
    model.pretrained_cfg = {**model.pretrained_cfg, **config}
    save_for_hf(model, str(folder), safe_serialization=True)
    return model


@pytest.mark.parametrize(
    ("name", "dim", "h"),
    [
        ("resnet10t", 512, "timm's features before the classifier (global_pool: the average over space), 512 features"),
        ("test_vit", 64, "timm's features before the classifier (global_pool: the class token), 64 features"),
        (
            "test_convnext",
            64,
            "timm's features before the classifier (global_pool: the average over space), 64 features",
        ),
    ],
)
def test_timm_model_gives_what_its_classifier_would_see(tmp_path: Path, name: str, dim: int, h: str) -> None:
    model = timm_folder(tmp_path / "mine", name)
    encoder = load_encoder(f"timm:local-dir:{tmp_path / 'mine'}")
    assert (encoder.name, encoder.dim, encoder.h) == ("timm:mine", dim, h)
    assert encoder.weights_sha256 == sha256(tmp_path / "mine" / "model.safetensors")
    assert not encoder.module.training
    images = encoder.transform(PHOTO)[None]
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(images), pre_logits=True)
        assert torch.equal(encoder.module(images), expected)
        torch.testing.assert_close(model.get_classifier()(expected), model(images))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.95, 1.0])
def test_timm_preprocessing_is_timms_own(tmp_path: Path, interpolation: str, crop_pct: float) -> None:
    model = timm_folder(
        tmp_path / "m", "test_vit", interpolation=interpolation, crop_pct=crop_pct, mean=(0.5, 0.4, 0.3)
    )
    encoder = from_timm(f"local-dir:{tmp_path / 'm'}")
    own = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    assert isinstance(encoder.transform, Preprocessing)
    for shape in ((90, 120, 3), (333, 250, 3), (160, 160, 3)):
        image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        torch.testing.assert_close(encoder.transform(image), own(Image.fromarray(image)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("config", [{"crop_mode": "squash"}, {"crop_mode": "border"}, {"interpolation": "lanczos"}])
def test_timm_preprocessing_that_crops_otherwise_is_timms_own_too(tmp_path: Path, config: dict[str, Any]) -> None:
    model = timm_folder(tmp_path / "m", "test_vit", **config)
    encoder = from_timm(f"local-dir:{tmp_path / 'm'}")
    own = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    assert torch.equal(encoder.transform(PHOTO), own(Image.fromarray(PHOTO)))
    ((key, value),) = config.items()
    assert f'"{key}": "{value}"' in encoder.preprocessing
    assert "\n" not in encoder.preprocessing


def test_timm_names_that_do_not_exist_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"timm has no 'resnet500': did you mean .*resnet50"):
        from_timm("resnet500")


def test_timm_offline_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"https://huggingface\.co/timm/test_vit\.r160_in1k.*timm:local-dir:FOLDER"):
        from_timm("test_vit.r160_in1k")


def test_timm_model_is_taken_from_the_cache_of_the_hub(tmp_path: Path) -> None:
    model = timm_folder(tmp_path / "saved", "test_vit")
    repository = tmp_path / "hub" / "models--timm--test_vit.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc", encoding="utf-8")
    (repository / "snapshots").mkdir()
    (tmp_path / "saved").rename(repository / "snapshots" / "abc")
    encoder = from_timm("test_vit.r160_in1k")
    assert encoder.name == "timm:test_vit.r160_in1k"
    assert encoder.weights_sha256 == sha256(repository / "snapshots" / "abc" / "model.safetensors")
    images = encoder.transform(PHOTO)[None]
    assert torch.equal(encoder.module(images), model.forward_head(model.forward_features(images), pre_logits=True))


def test_timm_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    timm_folder(tmp_path / "m", "test_vit")
    config = json.loads((tmp_path / "m" / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "architecture": "test_vit2"}), encoding="utf-8")
    with pytest.raises(InputError, match="cannot be loaded"):
        from_timm(f"local-dir:{tmp_path / 'm'}")


# torchvision


def torchvision_weights(tmp_path: Path, name: str, weights: str = "DEFAULT") -> nn.Module:
    """A randomly initialised model in torch.hub's cache, under the name of the published weights."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None)
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    url = getattr(torchvision.models.get_model_weights(name), weights).url
    path = tmp_path / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    return model.eval()


def inputs_of(layer: nn.Module, run: Callable[[], object]) -> Tensor:
    """What a layer is given."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].clone()))
    with torch.inference_mode():
        run()
    hook.remove()
    return seen[-1]


@pytest.mark.parametrize(
    ("name", "layer", "dim"),
    [("resnet18", "fc", 512), ("squeezenet1_0", "", 0), ("shufflenet_v2_x0_5", "fc", 1024)],
)
def test_torchvision_model_gives_the_input_of_its_last_linear_layer(
    tmp_path: Path, name: str, layer: str, dim: int
) -> None:
    model = torchvision_weights(tmp_path, name)
    if not layer:
        with pytest.raises(InputError, match="ends in no linear layer"):
            from_torchvision(name)
        return
    encoder = load_encoder(f"torchvision:{name}")
    images = encoder.transform(PHOTO)[None]
    expected = inputs_of(model.get_submodule(layer), lambda: model(images))
    assert torch.equal(h_of(encoder), expected)
    default = torchvision.models.get_model_weights(name).DEFAULT
    assert (encoder.name, encoder.dim) == (f"torchvision:{name}:{default.name}", dim)
    assert encoder.h == f"the input of {layer}, the last linear layer, {dim} features"
    assert encoder.weights_sha256 == sha256(next((tmp_path / "torch" / "hub" / "checkpoints").iterdir()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("mobilenet_v3_small", "classifier.3"),
        ("efficientnet_b0", "classifier.1"),
        ("densenet121", "classifier"),
        ("convnext_tiny", "classifier.2"),
        ("swin_t", "head"),
        ("vit_b_16", "heads.head"),
        ("regnet_y_400mf", "fc"),
    ],
)
def test_every_family_of_torchvision_gives_the_input_of_its_last_layer(tmp_path: Path, name: str, layer: str) -> None:
    model = torchvision_weights(tmp_path, name)
    encoder = from_torchvision(name)
    images = encoder.transform(PHOTO)[None]
    torch.testing.assert_close(h_of(encoder), inputs_of(model.get_submodule(layer), lambda: model(images)))
    assert encoder.h.startswith(f"the input of {layer},")


def test_torchvision_weights_can_be_named_and_bring_their_preprocessing(tmp_path: Path) -> None:
    for weights, resize in (("IMAGENET1K_V1", 256), ("IMAGENET1K_V2", 232)):
        torchvision_weights(tmp_path, "mobilenet_v3_large", weights)
        encoder = from_torchvision(f"mobilenet_v3_large:{weights}")
        own = getattr(torchvision.models.MobileNet_V3_Large_Weights, weights).transforms()
        assert encoder.transform == Preprocessing(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=resize)
        torch.testing.assert_close(encoder.transform(PHOTO), own(Image.fromarray(PHOTO)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet51", r"torchvision has no 'resnet51': did you mean resnet50"),
        ("fcn_resnet50", r"torchvision has no 'fcn_resnet50'"),
        ("resnet50:IMAGENET1K_V3", r"torchvision:resnet50 has no 'IMAGENET1K_V3': did you mean IMAGENET1K_V"),
    ],
)
def test_torchvision_names_that_do_not_exist_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_torchvision(name)


def test_torchvision_offline_says_exactly_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    with pytest.raises(InputError) as caught:
        from_torchvision("resnet18")
    path = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    assert str(caught.value) == (
        "https://download.pytorch.org/models/resnet18-f37072fd.pth cannot be downloaded (ConnectionError: no network): "
        f"put it at {path}"
    )
    assert not list(path.parent.iterdir())


def test_torchvision_file_that_runs_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    path.parent.mkdir(parents=True)
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(FileFormatError, match="asks for more than weights"):
        from_torchvision("resnet18")


def test_torchvision_file_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    path.parent.mkdir(parents=True)
    torch.save({"fc.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(InputError, match="does not fit torchvision's resnet18"):
        from_torchvision("resnet18")


# transformers


def transformers_folder(folder: Path, kind: str) -> nn.Module:
    """A tiny randomly initialised model and its processor in a folder."""
    import transformers

    torch.manual_seed(0)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    vision = {"image_size": 32, "patch_size": 8}
    configs = {
        "vit": lambda: transformers.ViTConfig(**small, **vision),
        "dinov2": lambda: transformers.Dinov2Config(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, **vision
        ),
        "resnet": lambda: transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
        ),
        "convnext": lambda: transformers.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
        "swin": lambda: transformers.SwinConfig(
            embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4, image_size=32, patch_size=4
        ),
        "mae": lambda: transformers.ViTMAEConfig(**small, **vision),
        "bert": lambda: transformers.BertConfig(**small, vocab_size=50),
    }
    model = transformers.AutoModel.from_config(configs[kind]()).eval()
    model.save_pretrained(folder)
    processor = transformers.ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.4]
    )
    processor.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    ("kind", "dim", "h"),
    [
        ("vit", 32, "the class token of the last hidden state, 32 features"),
        ("dinov2", 32, "what the model itself pools (pooler_output), 32 features"),
        ("resnet", 16, "what the model itself pools (pooler_output), 16 features"),
        ("convnext", 16, "what the model itself pools (pooler_output), 16 features"),
        ("swin", 32, "what the model itself pools (pooler_output), 32 features"),
    ],
)
def test_transformers_model_gives_its_pooled_output_or_its_class_token(
    tmp_path: Path, kind: str, dim: int, h: str
) -> None:
    model = transformers_folder(tmp_path / "mine", kind)
    encoder = load_encoder(f"hf:{tmp_path / 'mine'}")
    assert (encoder.name, encoder.dim, encoder.h) == ("hf:mine", dim, h)
    assert encoder.weights_sha256 == sha256(tmp_path / "mine" / "model.safetensors")
    with torch.inference_mode():
        output = model(pixel_values=encoder.transform(PHOTO)[None])
    last = output.last_hidden_state
    if kind == "convnext":
        expected = model.layernorm(last.mean(dim=(2, 3)))
    else:
        expected = {"resnet": last.flatten(2).mean(dim=-1), "swin": last.mean(dim=1)}.get(kind, last[:, 0])
    torch.testing.assert_close(h_of(encoder), expected)


def test_transformers_preprocessing_is_the_processors_own(tmp_path: Path) -> None:
    from transformers import AutoImageProcessor

    transformers_folder(tmp_path / "mine", "vit")
    encoder = from_hf(str(tmp_path / "mine"))
    processor = AutoImageProcessor.from_pretrained(tmp_path / "mine")
    expected = processor(images=Image.fromarray(PHOTO), return_tensors="pt")["pixel_values"][0]
    assert torch.equal(encoder.transform(PHOTO), expected)
    assert encoder.transform(PHOTO).shape == (3, 32, 32)
    assert '"image_mean": [0.5, 0.4, 0.3]' in encoder.preprocessing
    assert str(tmp_path) not in encoder.preprocessing
    assert from_hf(str(tmp_path / "mine")).preprocessing == encoder.preprocessing


def test_transformers_checkpoint_without_a_pooler_is_no_problem(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    transformers_folder(tmp_path / "mine", "vit")
    path = tmp_path / "mine" / "model.safetensors"
    weights = load_file(path)
    pooler = [name for name in weights if name.startswith("pooler.")]
    assert pooler
    before = h_of(from_hf(str(tmp_path / "mine")))
    save_file({name: value for name, value in weights.items() if name not in pooler}, path, {"format": "pt"})
    assert torch.equal(h_of(from_hf(str(tmp_path / "mine"))), before)


def test_transformers_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    transformers_folder(tmp_path / "mine", "vit")
    path = tmp_path / "mine" / "model.safetensors"
    weights = load_file(path)
    lost = next(name for name in weights if "layernorm_before" in name)
    save_file({name: value for name, value in weights.items() if name != lost}, path, {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks weights of its own model: .*layernorm_before"):
        from_hf(str(tmp_path / "mine"))


def test_transformers_model_that_draws_at_random_is_refused(tmp_path: Path) -> None:
    transformers_folder(tmp_path / "mine", "mae")
    with pytest.raises(InputError, match="makes another vector of the same image each time"):
        from_hf(str(tmp_path / "mine"))


def test_transformers_model_of_text_is_refused(tmp_path: Path) -> None:
    transformers_folder(tmp_path / "mine", "bert")
    with pytest.raises(InputError, match="hf:mine makes no features of an image"):
        from_hf(str(tmp_path / "mine"))


def test_transformers_offline_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"hf:nobody/nothing cannot be loaded .* in a folder, and give hf:FOLDER"):
        from_hf("nobody/nothing")


# ONNX


def graph(
    path: Path,
    *,
    source: tuple[Any, ...] = ("n", 3, 16, 16),
    outputs: tuple[tuple[str, tuple[Any, ...]], ...] = (("h", ("n", 3)),),
    kind: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A graph whose output is the average of each channel over space, [n, 3], or [n, 3, 1, 1] where it is said so."""
    nodes, infos = [], []
    for name, shape in outputs:
        nodes.append(helper.make_node("ReduceMean", ["images"], [name], axes=[2, 3], keepdims=int(len(shape) == 4)))
        infos.append(helper.make_tensor_value_info(name, kind, shape))
    inputs = [helper.make_tensor_value_info("images", kind, source)]
    model = helper.make_model(
        helper.make_graph(nodes, "means", inputs, infos), opset_imports=[helper.make_opsetid("", 17)], ir_version=10
    )
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


def test_onnx_file_computes_h_of_any_number_of_images(tmp_path: Path) -> None:
    path = graph(tmp_path / "means.onnx")
    encoder = load_encoder(path)
    assert (encoder.name, encoder.dim, encoder.weights_sha256) == ("means", 3, sha256(path))
    assert encoder.h == "output 'h' of the graph (ImageNet's mean and std are assumed), 3 features"
    assert encoder.transform == Preprocessing(16, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for n in (1, 5):
        images = torch.rand(n, 3, 16, 16).to(memory_format=torch.channels_last)
        torch.testing.assert_close(encoder.module(images), images.mean(dim=(2, 3)))
    assert encoder.module(torch.zeros(0, 3, 16, 16)).shape == (0, 3)


@pytest.mark.parametrize("batch", [1, 4])
def test_onnx_file_for_a_fixed_number_of_images_takes_any(tmp_path: Path, batch: int) -> None:
    path = graph(tmp_path / "a.onnx", source=(batch, 3, 16, 16), outputs=(("h", (batch, 3)),))
    encoder = from_onnx(path)
    for n in (1, 3, 4, 9):
        images = torch.rand(n, 3, 16, 16)
        torch.testing.assert_close(encoder.module(images), images.mean(dim=(2, 3)))


def test_onnx_metadata_say_what_the_input_is(tmp_path: Path) -> None:
    given = {"size": 24, "mean": [0, 0, 0], "std": [1, 1, 1], "resize": 32, "interpolation": "bicubic"}
    metadata = {"karat": json.dumps({"input": given})}
    encoder = from_onnx(graph(tmp_path / "a.onnx", source=("n", 3, "h", "w"), metadata=metadata))
    assert encoder.transform == Preprocessing(24, (0, 0, 0), (1, 1, 1), resize=32, interpolation="bicubic")
    assert encoder.h == "output 'h' of the graph, 3 features"


def test_onnx_output_called_h_is_taken_among_several(tmp_path: Path) -> None:
    encoder = from_onnx(graph(tmp_path / "a.onnx", outputs=(("logits", ("n", 3)), ("h", ("n", 3)))))
    assert encoder.h.startswith("output 'h'")


def test_torch_module_that_was_exported_computes_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    path = tmp_path / "net.onnx"
    with pytest.warns(DeprecationWarning):
        torch.onnx.export(net, (torch.zeros(1, 3, 16, 16),), path, dynamo=False, opset_version=17)
    images = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(from_onnx(path).module(images), net(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"outputs": (("h", ("n", 3, 1, 1)),)},
            r"gives h tensor\(float\) \['n', 3, 1, 1\], .*pool over space in the graph",
        ),
        ({"outputs": (("a", ("n", 3)), ("b", ("n", 3)))}, "or one called 'h', is needed"),
        ({"source": ("n", 3, "h", "w")}, r"takes images of \['h', 'w'\], but a fixed square"),
        ({"source": ("n", 3, 16, 20)}, r"takes images of \[16, 20\], but a fixed square"),
        ({"source": ("n", 16, 16, 3)}, r"takes images tensor\(float\) \['n', 16, 16, 3\], but one input"),
        ({"kind": TensorProto.DOUBLE}, r"takes images tensor\(double\)"),
        ({"metadata": {"karat": "{"}}, "its metadata under 'karat' are no JSON with an 'input'"),
        ({"metadata": {"karat": "{}"}}, "its metadata under 'karat' are no JSON with an 'input'"),
        ({"metadata": {"karat": '{"input": {"size": 3}}'}}, "do not describe the input"),
        (
            {"metadata": {"karat": '{"input": {"size": 0, "mean": [0, 0, 0], "std": [1, 1, 1]}}'}},
            "do not describe the input: size is 0",
        ),
    ],
)
def test_onnx_files_that_are_no_encoders_are_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_onnx(graph(tmp_path / "a.onnx", **fields))


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    for name, content in (("empty.onnx", b""), ("page.onnx", b"<html>"), ("noise.onnx", bytes(range(256)))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileFormatError, match=f"{name} cannot be read as ONNX"):
            from_onnx(tmp_path / name)
    with pytest.raises(InputError, match="is no file: an ONNX file is needed"):
        from_onnx(tmp_path / "nowhere.onnx")
