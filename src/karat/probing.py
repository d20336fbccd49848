"""Linear probe: how well a linear classifier on frozen features tells the classes apart, and where it fails."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ._array import as_float
from ._version import version
from .embeddings import Embeddings
from .errors import InputError, InputTypeError, KaratWarning
from .records import ProbeResult, Provenance
from .stats.digest import digest_rows
from .stats.threads import thread_count

# Inverse strength of the L2 penalty, scikit-learn's C: from strong to weak.
GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
HELD_OUT = 0.2
MAX_ITERATIONS = 1000
_SMALL = 10**9  # multiplications in one step


def probe(train: Embeddings, val: Embeddings, *, seed: int = 0) -> ProbeResult:
    """Train a linear probe on `train` and judge it on `val`, sample by sample.

    Multinomial logistic regression with an L2 penalty on standardised columns (mean and standard deviation of `train`):

        min over W, b:  ||W||^2 / 2 + C * sum_i -log softmax(W x_i + b)[y_i]

    by L-BFGS. C comes from 1e-4, 1e-3, ... 1: a fifth of each training class (one sample of a small one) is held out, C
    grows until the log-loss there rises, and the probe with the best C is fitted again on all of `train`. Samples
    without a label (None, NaN, "") are left out.

    Args:
        train: h [n, d] with labels, two classes or more.
        val: h [m, d] with labels. Samples of a class that `train` does not have count as wrong (a warning says so).
        seed: of the held-out slice.

    Returns:
        Accuracy in [0, 1], higher is better, and of each labelled sample of `val` id, label, prediction, whether it is
        right, and logits float32 [m, k]. head["converged"] says whether L-BFGS ended at a minimum.

    Raises:
        InputError: no labels, one class, labels that are real numbers, another d, NaN or infinity in h.
        InputTypeError: not embeddings.

    >>> import numpy as np
    >>> from karat.embeddings import Embeddings
    >>> h = np.repeat([[0.0, 1.0], [1.0, 0.0]], 5, axis=0)
    >>> emb = Embeddings(h, labels=np.repeat(["cat", "dog"], 5))
    >>> probe(emb, emb).accuracy
    1.0
    """
    x, y_names, _ = _labelled(train, "train")
    x_val, y_val_names, ids = _labelled(val, "val")
    if x.shape[1] != x_val.shape[1]:
        raise InputError(f"train has {x.shape[1]} features, val {x_val.shape[1]}: both must come from the same encoder")
    classes, y = np.unique(y_names, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"all {len(y)} labelled samples of train are of class {classes[0]!s}, but two classes are needed"
        )
    y_val = _known(y_val_names, classes)
    scaler = StandardScaler().fit(x)
    x, x_val = (scaler.transform(part).astype(np.float32) for part in (x, x_val))
    # A small problem gains nothing from more threads, and on a busy machine it waits for them forty times as long.
    with threadpool_limits(1 if x.size * len(classes) < _SMALL else thread_count(), "blas"):
        head = _chosen(x, y, seed)
        model, converged = _fitted(x, y, head["C"])
        logits = _logits(model, x_val)
    prediction = logits.argmax(axis=1)
    correct = prediction == y_val
    return ProbeResult(
        provenance=Provenance(
            function="probe",
            parameters={"seed": seed, "grid": list(GRID), "held_out": HELD_OUT, "max_iterations": MAX_ITERATIONS},
            inputs={"train": digest_rows(train.h), "val": digest_rows(val.h)},
            karat=version(),
        ),
        accuracy=float(correct.mean()),
        n_train=len(y),
        n_val=len(y_val),
        classes=tuple(classes.tolist()),
        head={**head, "converged": converged},
        columns={
            "id": ids,
            "label": y_val_names,
            "prediction": classes[prediction],
            "correct": correct,
            "logits": logits,
        },
    )


def _labelled(emb: Embeddings, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """h, labels and ids of the samples that have a label."""
    if not isinstance(emb, Embeddings):
        raise InputTypeError(f"{name} is a {type(emb).__name__}, but Embeddings(h, labels=y) are needed")
    if emb.labels is None:
        raise InputError(f"{name} has no labels, but a probe needs one a sample: load it with labels")
    rows = np.flatnonzero([not _missing(label) for label in emb.labels.tolist()])
    if not len(rows):
        raise InputError(f"{name} has {emb.n} samples, but none of them has a label")
    labels = np.array(emb.labels[rows].tolist())
    if labels.dtype.kind == "f":
        if not np.all(labels == np.rint(labels)):
            raise InputError(f"the labels of {name} are real numbers ({labels[0]}, ...), but a probe needs classes")
        labels = labels.astype(np.int64)
    kept = emb[rows]
    h, ids = as_float(kept.h[:]), kept.sample_ids
    bad = np.flatnonzero(~np.isfinite(h).all(axis=1))
    if len(bad):
        raise InputError(f"h of {name} holds NaN or infinity, first in ids {_listed(ids[bad])}: remove these samples")
    return h, labels, ids


def _missing(label: Any) -> bool:
    return label is None or label == "" or label != label


def _known(names: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Labels -> their columns among the classes, -1 for a class that training never saw."""
    column = {name: index for index, name in enumerate(classes.tolist())}
    y = np.array([column.get(name, -1) for name in names.tolist()])
    unseen = np.unique(names[y < 0])
    if (y < 0).all():
        raise InputError(
            f"no label of val ({_listed(unseen)}) is a class of train ({_listed(classes)}): use the same names in both"
        )
    if len(unseen):
        warnings.warn(
            f"{(y < 0).sum()} of {len(y)} samples of val are of classes that train does not have ({_listed(unseen)}): "
            "they count as wrong",
            KaratWarning,
            stacklevel=3,
        )
    return y


def _listed(names: Iterable[Any]) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:5]) + (" ..." if len(shown) > 5 else "")


def _chosen(x: np.ndarray, y: np.ndarray, seed: int) -> dict[str, Any]:
    """The C with the lowest log-loss on the held-out slice, and what it reached there."""
    out = _held_out(y, seed)
    if not out.any():
        raise InputError(f"train has {len(y)} labelled samples, one a class, but at least two of some class are needed")
    best: dict[str, Any] = {}
    for strength in GRID:
        model, _ = _fitted(x[~out], y[~out], strength)
        logits = _logits(model, x[out])
        loss = log_loss(y[out], model.predict_proba(x[out]), labels=model.classes_)
        if best and loss >= best["held_out_log_loss"]:
            break  # the loss has one minimum in C, and weaker penalties take ever longer
        accuracy = float(np.mean(logits.argmax(axis=1) == y[out]))
        best = {"C": strength, "held_out_log_loss": float(loss), "held_out_accuracy": accuracy}
    return best


def _held_out(y: np.ndarray, seed: int) -> np.ndarray:
    """A fifth of each class, at least one of two, as a mask [n]: every class stays in the rest."""
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]  # the classes one after the other, each shuffled
    mask = np.zeros(len(y), bool)
    for members in np.split(order, np.cumsum(np.bincount(y))[:-1]):
        mask[members[: max(int(HELD_OUT * len(members)), min(1, len(members) - 1))]] = True
    return mask


def _fitted(x: np.ndarray, y: np.ndarray, strength: float) -> tuple[LogisticRegression, bool]:
    """The model, and whether L-BFGS converged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS).fit(x, y)
    others = [warning for warning in caught if not issubclass(warning.category, ConvergenceWarning)]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return model, len(others) == len(caught)


def _logits(model: LogisticRegression, x: np.ndarray) -> np.ndarray:
    """float32 [n, k]; of two classes, whose model has one logit z, -z/2 and z/2."""
    z = model.decision_function(x)
    if z.ndim == 1:
        z = np.stack([-z / 2, z / 2], axis=1)
    return z.astype(np.float32)
