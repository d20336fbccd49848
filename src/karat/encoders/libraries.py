"""Encoders of other libraries: timm, torchvision and transformers, each with its own preprocessing."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._optional import require
from ..errors import InputError
from .checkpoint import read_checkpoint, sha256_of
from .encoder import Encoder, Preprocessing
from .foreign import OnPillow, checked_encoder, first_line, output_of
from .onnx_files import from_onnx

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["from_hf", "from_onnx", "from_timm", "from_torchvision"]

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # as timm and transformers call one file of weights
# What a processor of transformers does to an image, of all that its description holds.
_PROCESSING = ("do_", "size", "crop", "resample", "rescale_factor", "image_mean", "image_std")


def from_timm(name: str) -> Encoder:
    """A pretrained model of timm; h is what its classifier would see (forward_features, forward_head(pre_logits=True)).

    Args:
        name: "resnet50.a1_in1k", "hf-hub:OWNER/REPO", or "local-dir:FOLDER" with config.json and the weights.

    Raises:
        InputError: timm has no such model, no weights of it, or they cannot be downloaded.
    """
    timm = require("timm", "a model of timm")
    folder = name.removeprefix("local-dir:") if name.startswith("local-dir:") else None
    if folder is None and ":" not in name and not timm.is_model(name.partition(".")[0]):
        raise _unknown("timm", name, timm.list_models() + timm.list_pretrained())
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # of timm, torch or the hub
        raise InputError(
            f"timm:{name} cannot be loaded ({first_line(error)}). Without a network, get config.json and the weights "
            f"from https://huggingface.co/{_timm_repository(name)}, put them in a folder, and give "
            "timm:local-dir:FOLDER"
        ) from error
    model.reset_classifier(0)
    config = timm.data.resolve_model_data_config(model)
    transform = _timm_preprocessing(config) or OnPillow(
        timm.data.create_transform(**config, is_training=False), f"timm {_plain(config)}"
    )
    pretrained = model.pretrained_cfg or {}
    repository = folder or pretrained.get("hf_hub_id") or _timm_repository(name)
    return checked_encoder(
        model,
        transform,
        name=f"timm:{Path(folder).name if folder else name}",
        h=f"timm's features before the classifier ({_timm_pooling(model)})",
        sha256=_digest(repository),
    )


def _timm_preprocessing(config: Mapping[str, Any]) -> Preprocessing | None:
    """timm's evaluation transform, where it resizes the shorter side and crops the centre, as nearly all do."""
    channels, height, width = config["input_size"]
    alike = (
        channels == 3
        and height == width
        and config["crop_mode"] == "center"
        and config["interpolation"] in ("bilinear", "bicubic")
    )
    if not alike:
        return None
    resize = math.floor(height / config["crop_pct"])
    mean, std = tuple(config["mean"]), tuple(config["std"])
    return Preprocessing(height, mean, std, resize=resize, interpolation=config["interpolation"])


def _timm_pooling(model: Any) -> str:
    pool = getattr(model, "global_pool", None) or getattr(getattr(model, "head", None), "global_pool", None)
    kind = pool if isinstance(pool, str) else getattr(pool, "pool_type", None)
    words = {"token": "the class token", "avg": "the average over space", "map": "attention pooling"}
    return f"global_pool: {words.get(kind, kind)}" if isinstance(kind, str) and kind else "its own pooling"


def _timm_repository(name: str) -> str:
    return name.removeprefix("hf-hub:") if name.startswith("hf-hub:") else f"timm/{name}"


def from_torchvision(name: str) -> Encoder:
    """A pretrained classifier of torchvision; h is the input of its last linear layer.

    Args:
        name: "resnet50", or "resnet50:IMAGENET1K_V1" for weights other than its default.

    Raises:
        InputError: torchvision has no such classifier or weights, or they cannot be downloaded.
        FileFormatError: the file in the cache is no checkpoint.
    """
    models, torch = (require(library, "a model of torchvision") for library in ("torchvision.models", "torch"))
    architecture, _, chosen = name.partition(":")
    known = models.list_models(module=models)
    if architecture not in known:
        raise _unknown("torchvision", architecture, known)
    choices = models.get_model_weights(architecture)
    if chosen and chosen not in choices.__members__:
        raise _unknown(f"torchvision:{architecture}", chosen, choices.__members__)
    weights = choices[chosen] if chosen else choices.DEFAULT
    path = _torchvision_file(weights.url)
    checkpoint = read_checkpoint(path)  # refused here, before torchvision loads it, if it asks for more than weights
    try:
        model = models.get_model(architecture, weights=weights)
    except RuntimeError as error:
        raise InputError(f"{path} does not fit torchvision's {architecture}: {first_line(error)}") from error
    last = [layer for layer, part in model.named_modules() if isinstance(part, torch.nn.Linear)][-1:]
    if not last:
        raise InputError(f"torchvision:{architecture} ends in no linear layer, so that h is not defined")
    parent, _, own = last[0].rpartition(".")
    setattr(model.get_submodule(parent), own, torch.nn.Identity())
    return checked_encoder(
        model,
        _torchvision_preprocessing(weights.transforms()),
        name=f"torchvision:{architecture}:{weights.name}",
        h=f"the input of {last[0]}, the last linear layer",
        sha256=checkpoint.sha256,
    )


def _torchvision_file(url: str) -> Path:
    """The file of weights in the cache of torch.hub, downloaded with torch's own progress bar where it is missing."""
    hub = require("torch.hub", "a model of torchvision")
    path = Path(hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2])
        except (OSError, RuntimeError) as error:
            raise InputError(f"{url} cannot be downloaded ({first_line(error)}): put it at {path}") from error
    return path


def _torchvision_preprocessing(preset: Any) -> Preprocessing:
    (size,), (resize,) = preset.crop_size, preset.resize_size
    interpolation = preset.interpolation.value
    return Preprocessing(size, tuple(preset.mean), tuple(preset.std), resize=resize, interpolation=interpolation)


def from_hf(repository: str) -> Encoder:
    """A vision model of transformers, from the Hugging Face hub or a folder, with its own image processor.

    h is what it pools itself (ResNet, ConvNeXt, Swin, DINOv2 ...). Where its pooler is a layer with weights for a task,
    or where it pools nothing, h is the class token of the last hidden state (ViT, DINO ...). Code in a repository is
    never run.

    Args:
        repository: "facebook/dino-vits16", or a folder with config.json, preprocessor_config.json and the weights.

    Raises:
        InputError: it cannot be downloaded, is no vision model, or lacks weights.
    """
    transformers, torch = (require(library, "a model of transformers") for library in ("transformers", "torch"))
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(repository, trust_remote_code=False)
        model, report = transformers.AutoModel.from_pretrained(
            repository, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # of transformers, the hub or torch
        raise InputError(
            f"hf:{repository} cannot be loaded ({first_line(error)}). Without a network, put config.json, "
            f"preprocessor_config.json and model.safetensors of it in a folder, and give hf:FOLDER"
        ) from error
    name = f"hf:{Path(repository).name if Path(repository).is_dir() else repository}"
    model, transform = model.float().eval(), _processing(processor)
    output = output_of(lambda images: model(pixel_values=images), transform, name=name)
    pooler = getattr(model, "pooler", None)
    layers = () if pooler is None else pooler.modules()
    pooled = getattr(output, "pooler_output", None) is not None
    pooled = pooled and not any(isinstance(layer, torch.nn.Linear) for layer in layers)
    missing = sorted(key for key in report["missing_keys"] if pooled or not key.startswith("pooler."))
    if missing:
        raise InputError(f"{name} lacks weights of its own model: {', '.join(missing)}")
    if not pooled and output.last_hidden_state.ndim != 3:
        raise InputError(f"{name} neither pools nor has a class token, so that h is not defined")
    from .wrapped import TransformersFeatures

    return checked_encoder(
        TransformersFeatures(model, pooled=pooled),
        transform,
        name=name,
        h="what the model itself pools (pooler_output)" if pooled else "the class token of the last hidden state",
        sha256=_digest(repository),
    )


def _processing(processor: Any) -> OnPillow:
    described = {key: value for key, value in processor.to_dict().items() if key.startswith(_PROCESSING)}

    def transform(image: Any) -> Tensor:
        pixels: Tensor = processor(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels

    return OnPillow(transform, f"{type(processor).__name__} {_plain(described)}")


def _unknown(library: str, name: str, known: Iterable[str]) -> InputError:
    near = difflib.get_close_matches(name, list(known), n=5, cutoff=0.4)
    return InputError(f"{library} has no {name!r}" + (f": did you mean {', '.join(near)}?" if near else ""))


def _digest(repository: str) -> str | None:
    """SHA-256 of the file of weights in a folder or in the hub's cache; None where there is none, or several."""
    for name in _WEIGHTS:
        path: object = Path(repository) / name
        if not Path(repository).is_dir():
            path = require("huggingface_hub", "the digest of an encoder").try_to_load_from_cache(repository, name)
        if isinstance(path, str | Path) and Path(path).is_file():
            return sha256_of(Path(path))
    return None


def _plain(values: Mapping[str, Any]) -> str:
    """As JSON, the same in every process."""
    return json.dumps(values, sort_keys=True, default=str)
