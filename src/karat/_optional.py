"""Optional libraries: the module, or one sentence that says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingDependencyError

_EXTRA_OF = {
    "torch": "torch",
    "torchvision": "torch",
    "captum": "torch",
    "timm": "torch",
    "huggingface_hub": "torch",
    "lightly": "train",
    "lightning": "train",
    "pytorch_lightning": "train",
    "torchmetrics": "train",
    "accelerate": "train",
    "tensorboard": "train",
    "transformers": "hf",
    "datasets": "data",
    "onnx": "fast",
    "onnxruntime": "fast",
    "onnxscript": "fast",
    "openvino": "fast",
    "PIL": "report",
    "jinja2": "report",
    "altair": "report",
    "vl_convert": "report",
    "fastapi": "explore",
    "uvicorn": "explore",
    "duckdb": "explore",
}


def require(name: str, purpose: str) -> ModuleType:
    """Import the library `name`, needed for `purpose`.

    Raises:
        MissingDependencyError: it is not installed; the message names the extra that brings it.

    >>> require("json", "an example").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = _EXTRA_OF.get(name.partition(".")[0])
        install = f"pip install 'karat[{extra}]'" if extra else f"pip install {name}"
        raise MissingDependencyError(
            f"{purpose} needs {name}, which cannot be imported ({error}): {install}"
        ) from error
