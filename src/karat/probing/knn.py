"""kNN probe: the nearest training samples vote, each with a weight that grows with its similarity."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..embeddings import Embeddings
from ..errors import InputError
from ..records import ProbeResult
from ..stats.neighbors import unit_rows
from .devices import Device, open_device
from .judging import digests, result_of
from .labelled import classes_of, known, labelled_pair
from .protocols import whole
from .samples import Blocks, refuse_bad
from .sweeps import Progress

# The logit of a class without a vote: its share would be 1e-13, where that of the winner is at least 1 / k.
NO_VOTE = -30.0
_ROWS, _CANDIDATES = 4096, 2048  # of val and of train in one product
_VOTES = 1 << 22  # entries of a block of votes


def knn_probe(
    train: Embeddings,
    val: Embeddings,
    *,
    k: int = 20,
    temperature: float = 0.07,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> ProbeResult:
    """Classify each sample of `val` by its k nearest samples of `train`, by cosine similarity.

    votes_c = sum over those of class c among the k nearest: exp(cos / temperature)

    The logits are log(votes_c / sum of all votes), so that softmax(logits) is the share of the votes; -30 for a class
    without one. Rows are divided by their norm (a row of zeros has similarity 0 to all), not centred. Of equally near
    samples the earlier in `train` is not preferred: any may be taken, always the same one. Nothing is fitted, and
    nothing chosen. Memory: `train` is kept as float32 up to 4 GiB (half of a GPU's free memory), and beyond that read
    again for each 4,096 samples of `val`; the logits are float32 [m, classes].

    Args:
        train: h [n, d] with labels, two classes or more; samples without a label do not vote.
        val: h [m, d] with labels. Samples of a class that `train` does not have count as wrong (a warning says so).
        k: neighbours, from 1 to n.
        temperature: of the weights, above 0; small: the nearest decides; infinity: all k votes are equal.
        device, threads: as in `probe`.
        progress: called with (samples of val done, samples in all).

    Returns:
        As `probe`: accuracy in [0, 1], higher is better, top5, accuracy by class, and each sample's prediction and
        logits.

    Raises:
        InputError: no labels, one class, another d, NaN or infinity in h, more neighbours than labelled samples.
        InputTypeError: not embeddings.

    >>> import numpy as np
    >>> from karat.embeddings import Embeddings
    >>> train = Embeddings(np.array([[2.0, 0.0], [0.0, 3.0]]), labels=["cat", "dog"])
    >>> val = Embeddings(np.array([[1.0, 0.2], [0.1, 1.0]]), labels=["cat", "cat"])
    >>> knn_probe(train, val, k=1).columns["prediction"].tolist()
    ['cat', 'dog']

    Reference: Wu et al., CVPR 2018 (InstDisc), section 3.4, as Caron et al., ICCV 2021 (DINO), use it.
    """
    samples, judged = labelled_pair(train, val)
    classes, y = classes_of(samples)
    k, temperature = _checked(k, temperature, len(y))
    y_val = known(judged, classes)
    refuse_bad(samples)
    refuse_bad(judged)
    place = open_device(device, threads, work=len(y) * train.d * min(len(y_val), _ROWS))
    logits = np.empty((len(y_val), len(classes)), np.float32)
    with place.working():
        kept = 4 * len(y) * train.d <= place.room()
        candidates = Blocks(samples.h, samples.rows, y, unit_rows, place, size=_CANDIDATES, kept=kept)
        start = 0
        for x, _ in Blocks(judged.h, judged.rows, y_val, unit_rows, place, size=_ROWS, kept=False):
            _vote(*_nearest(x, candidates, k, place), temperature, logits[start : start + len(x)])
            start += len(x)
            if progress is not None:
                progress(start, len(y_val))
    return result_of(
        judged,
        y_val,
        classes,
        logits,
        function="knn_probe",
        parameters={"k": k, "temperature": temperature, **place.record()},
        inputs=digests(train, val),
        n_train=len(y),
        head={"k": k, "temperature": temperature},
        heads=(),
    )


def _checked(k: int, temperature: float, n: int) -> tuple[int, float]:
    k = whole("k", k, least=1)
    if k > n:
        raise InputError(f"k is {k}, but train has {n} labelled samples: the largest possible k is {n}")
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}, but a number above 0 is needed")
    return k, float(temperature)


def _nearest(x: Any, candidates: Blocks, k: int, device: Device) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and classes of the k nearest of each row, both [m, k] in no order."""
    xp = device.xp
    best = device.zeros(len(x), 0)
    of_class = device.put(np.zeros((len(x), 0), np.int64))
    for unit, y in candidates:
        cosine = xp.concatenate([best, x @ unit.T], axis=1)  # [m, d] @ [d, m'] -> [m, m']
        found = xp.concatenate([of_class, xp.broadcast_to(y, (len(x), len(y)))], axis=1)
        best, of_class = _largest(cosine, found, k, device)
    return device.fetch(best), device.fetch(of_class)


def _largest(values: Any, companions: Any, k: int, device: Device) -> tuple[Any, Any]:
    """The k largest of each row and what goes with them; all where there are fewer."""
    if values.shape[1] <= k:
        return values, companions
    if device.xp is not np:
        largest, columns = values.topk(k, dim=1)
        return largest, companions.gather(1, columns)
    columns = np.argpartition(values, -k, axis=1)[:, -k:]
    return np.take_along_axis(values, columns, axis=1), np.take_along_axis(companions, columns, axis=1)


def _vote(similarity: np.ndarray, of_class: np.ndarray, temperature: float, logits: np.ndarray) -> None:
    """Fill in the log of each class's share of the votes: [m, k] -> [m, classes]."""
    classes = logits.shape[1]
    size = max(16, _VOTES // classes)
    for first in range(0, len(logits), size):
        near, voted = similarity[first : first + size].astype(np.float64), of_class[first : first + size]
        weights = np.exp((near - near.max(axis=1, keepdims=True)) / temperature)
        place = np.arange(len(near))[:, None] * classes + voted
        votes = np.bincount(place.ravel(), weights.ravel(), len(near) * classes).reshape(-1, classes)
        with np.errstate(divide="ignore"):  # of no votes the log is -infinity
            shares = np.log(votes / weights.sum(axis=1, keepdims=True))
        logits[first : first + size] = np.maximum(shares, NO_VOTE)
