"""How good is a self-supervised representation, sample by sample and without labels?

    import karat

    emb = karat.load("embeddings.npy")
    scores = karat.score(emb)  # scores.q_score [n]: higher = better represented

Every public name is loaded when it is first used: importing karat imports none of the heavy libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import stats
    from .attribution import explain
    from .calibration import calibrate
    from .comparison import compare
    from .compression import compress
    from .embeddings import Embeddings
    from .encoders import Encoder, load_encoder
    from .errors import KaratError
    from .estimators import DiscriminativeFeatures, QScorer
    from .evaluating import evaluate
    from .explorer import explore
    from .extraction import extract
    from .finetuning import finetune
    from .measuring import measure
    from .probing import knn_probe, probe
    from .reporting import report
    from .scoring import score
    from .selecting import select
    from .store import load

    __version__: str

__all__ = [
    "DiscriminativeFeatures",
    "Embeddings",
    "Encoder",
    "KaratError",
    "QScorer",
    "__version__",
    "calibrate",
    "compare",
    "compress",
    "evaluate",
    "explain",
    "explore",
    "extract",
    "finetune",
    "knn_probe",
    "load",
    "load_encoder",
    "measure",
    "probe",
    "report",
    "score",
    "select",
    "stats",
]

_MODULE_OF = {
    "DiscriminativeFeatures": "estimators",
    "Embeddings": "embeddings",
    "Encoder": "encoders",
    "KaratError": "errors",
    "QScorer": "estimators",
    "calibrate": "calibration",
    "compare": "comparison",
    "compress": "compression",
    "evaluate": "evaluating",
    "explain": "attribution",
    "explore": "explorer",
    "extract": "extraction",
    "finetune": "finetuning",
    "knn_probe": "probing",
    "load": "store",
    "load_encoder": "encoders",
    "measure": "measuring",
    "probe": "probing",
    "report": "reporting",
    "score": "scoring",
    "select": "selecting",
}

if not TYPE_CHECKING:  # a type checker would take any name for granted

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name == "stats":
            value = import_module(".stats", __name__)
        elif name == "__version__":
            value = import_module("._version", __name__).version()
        elif name in _MODULE_OF:
            value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
