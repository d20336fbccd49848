"""Linear probe: how well a linear classifier on frozen features tells the classes apart, and where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..embeddings import Embeddings
from ..errors import InputError
from ..records import ProbeResult
from .devices import SMALL, Device, open_device
from .judging import digests, result_of
from .labelled import HELD_OUT, Labelled, classes_of, known, labelled_pair, listed
from .lbfgs import CLOSE, MAX_ITERATIONS, TOLERANCE
from .protocols import Lbfgs, Sgd, protocol_of, whole
from .samples import Blocks, block_rows, refuse_bad
from .sweeps import Progress, Task, Trained
from .sweeps import train as train_protocol


def probe(
    train: Embeddings,
    val: Embeddings,
    *,
    protocol: str = "lbfgs",
    strengths: Sequence[float] | None = None,
    learning_rates: Sequence[float] | None = None,
    weight_decays: Sequence[float] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> ProbeResult:
    """Train a linear probe on `train` and judge it on `val`, sample by sample.

    Softmax(W x + b) by cross-entropy. Where a protocol has several heads, a fifth of each training class (one sample of
    a small one) is held out, the heads are trained on the rest, the best on the held-out slice is chosen, and it is
    trained again on all of `train`; `val` chooses nothing. Samples without a label (None, NaN, "") are left out.

    * "lbfgs" (ours): min over W, b: ||W||^2 / 2 + C * sum_i -log softmax(W x_i + b)[y_i] on standardised columns (mean
      and standard deviation of `train`), by preconditioned L-BFGS. C grows from head to head until the held-out
      log-loss rises. Chosen is the lowest log-loss among the heads whose held-out accuracy is within one standard error
      of the best. (C is scikit-learn's; of two classes half of theirs, as both have weights here.)
    * "kalibhat2024": 100 epochs of SGD, as the paper of the Q-Score has it. What the paper leaves open is ours: columns
      standardised, batches of 256, momentum 0.9, a learning rate of 0.01 that falls to 0 along a half cosine, no weight
      decay: one head.
    * "dinov2": 13 learning rates at once, 10 epochs of SGD in batches of 128, momentum 0.9, a half cosine, features as
      they are. The published one chooses on its validation set; here the held-out slice does, by accuracy.

    Memory: L-BFGS keeps the training set as float32 up to 4 GiB (half of a GPU's free memory), and reads it again at
    each step beyond that; its search takes about 300 bytes for each of the d * k weights. SGD reads and widens one
    batch at a time; heads of more than 2^28 weights in all are trained in groups. The logits are float32 [m, k].

    Args:
        train: h [n, d] with labels, two classes or more.
        val: h [m, d] with labels. Samples of a class that `train` does not have count as wrong (a warning says so).
        protocol: "lbfgs", "kalibhat2024" or "dinov2"; None below means the protocol's own.
        strengths: values of C, each a head, above 0 (L-BFGS).
        learning_rates, weight_decays: each pair is a head; rates are for a batch of 256 and grow with it (SGD).
        epochs, batch_size: of SGD.
        seed: of the held-out slice, and of the start and the batches of SGD.
        device: "auto" (a GPU for a problem that is not small, where torch sees one), "cpu", "cuda", "cuda:1" ...
        threads: on the processor (default: KARAT_NUM_THREADS, else all; one for a small problem).
        progress: called with (heads done, heads in all), or the same of epochs.

    Returns:
        Accuracy in [0, 1], higher is better; top5, accuracy by class, the chosen head, the table of all heads, and of
        each labelled sample of `val` id, label, prediction, whether it is right, and its logits. The same input, seed,
        device and threads give the same bytes.

    Raises:
        InputError: no labels, one class, labels that are real numbers, another d, NaN or infinity in h, settings that
            the protocol does not have, SGD that diverges.
        InputTypeError: not embeddings.

    >>> import numpy as np
    >>> from karat.embeddings import Embeddings
    >>> h = np.repeat([[0.0, 1.0], [1.0, 0.0]], 5, axis=0)
    >>> emb = Embeddings(h, labels=np.repeat(["cat", "dog"], 5))
    >>> probe(emb, emb).accuracy
    1.0

    Reference: Kalibhat et al., AAAI 2024 ("kalibhat2024"); Oquab et al., TMLR 2024, and its eval/linear.py ("dinov2").
    """
    changes = {
        "strengths": strengths,
        "learning_rates": learning_rates,
        "weight_decays": weight_decays,
        "epochs": epochs,
        "batch_size": batch_size,
    }
    settings, seed = protocol_of(protocol, changes), whole("seed", seed, least=0)
    samples, judged = labelled_pair(train, val)
    classes, y = classes_of(samples)
    y_val = known(judged, classes)
    refuse_bad(judged)
    work = len(y) * train.d * len(classes)
    place, tolerance = open_device(device, threads, work=work), CLOSE if work < SMALL else TOLERANCE
    with place.working():
        trained = train_protocol(Task(samples, y, len(classes), tolerance, place, seed, progress), settings)
        logits = _logits(trained, judged, y_val, len(classes), place)
    fixed = {"max_iterations": MAX_ITERATIONS, "tolerance": tolerance} if isinstance(settings, Lbfgs) else {}
    return result_of(
        judged,
        y_val,
        classes,
        logits,
        function="probe",
        parameters={
            "protocol": protocol, **_plain(settings), **fixed, "held_out": HELD_OUT, "seed": seed, **place.record()
        },
        inputs=digests(train, val),
        n_train=len(y),
        head=trained.head,
        heads=trained.heads,
    )  # fmt: skip


def _plain(settings: Lbfgs | Sgd) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()}


def _logits(trained: Trained, val: Labelled, y: np.ndarray, k: int, device: Device) -> np.ndarray:
    """float32 [m, k], block by block."""
    logits, start = np.empty((len(val), k), np.float32), 0
    size = block_rows(max(val.h.shape[1], k))
    for x, _ in Blocks(val.h, val.rows, y, trained.transform, device, size=size, kept=False):
        logits[start : start + len(x)] = device.fetch(x @ trained.weight + trained.bias)
        start += len(x)
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise InputError(
            f"the features of val are too far from those of train for finite logits, first in ids "
            f"{listed(val.ids[bad])}: both must come from the same encoder"
        )
    return logits
