"""The papers' losses in plain loops over rows of floats."""

from __future__ import annotations

import math
from collections.abc import Sequence

Matrix = Sequence[Sequence[float]]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def log_softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    total = top + math.log(sum(math.exp(x - top) for x in logits))
    return [x - total for x in logits]


def cross_entropy(target: Sequence[float], logits: Sequence[float]) -> float:
    return -dot(target, log_softmax(logits))


def nt_xent(first: Matrix, second: Matrix, temperature: float) -> float:
    """SimCLR, equation 1, over both views of every image."""
    rows, n = [*first, *second], len(first)
    losses = []
    for i, row in enumerate(rows):
        positive = math.exp(cosine(row, rows[(i + n) % (2 * n)]) / temperature)
        others = sum(math.exp(cosine(row, other) / temperature) for k, other in enumerate(rows) if k != i)
        losses.append(-math.log(positive / others))
    return sum(losses) / len(losses)


def info_nce(queries: Matrix, keys: Matrix, queue: Matrix, temperature: float) -> float:
    """MoCo, equation 1."""
    losses = []
    for query, key in zip(queries, keys, strict=True):
        positive = math.exp(cosine(query, key) / temperature)
        negatives = sum(math.exp(cosine(query, old) / temperature) for old in queue)
        losses.append(-math.log(positive / (positive + negatives)))
    return sum(losses) / len(losses)


def byol(predictions: Sequence[Matrix], targets: Sequence[Matrix]) -> float:
    """BYOL, equation 2, both ways: the squared distance of rows of length 1."""
    total = 0.0
    for p_rows, t_rows in ((predictions[0], targets[1]), (predictions[1], targets[0])):
        for p, t in zip(p_rows, t_rows, strict=True):
            p_length, t_length = math.sqrt(dot(p, p)), math.sqrt(dot(t, t))
            total += sum((x / p_length - y / t_length) ** 2 for x, y in zip(p, t, strict=True))
    return total / len(predictions[0])


def simsiam(predictions: Sequence[Matrix], projections: Sequence[Matrix]) -> float:
    """SimSiam, equation 4."""
    n = len(predictions[0])
    return (
        -sum(
            cosine(predictions[0][i], projections[1][i]) / 2 + cosine(predictions[1][i], projections[0][i]) / 2
            for i in range(n)
        )
        / n
    )


def sinkhorn(scores: Matrix, epsilon: float, iterations: int) -> list[list[float]]:
    """SwAV, equations 3 to 5: the codes of each sample; every prototype gets the same share in all."""
    n, k = len(scores), len(scores[0])
    q = [[math.exp(score / epsilon) for score in row] for row in scores]
    for _ in range(iterations):
        for j in range(k):
            total = sum(q[i][j] for i in range(n))
            for i in range(n):
                q[i][j] /= total * k
        for i in range(n):
            total = sum(q[i])
            q[i] = [value / (total * n) for value in q[i]]
    return [[value * n for value in row] for row in q]


def swav(
    full: Sequence[Matrix],
    local: Sequence[Matrix],
    *,
    temperature: float,
    epsilon: float,
    iterations: int,
    queue: Sequence[Matrix] | None = None,
) -> float:
    """SwAV, equation 1 with multi-crop: predict the codes of each full view from each other view."""
    losses = []
    for s, scores in enumerate(full):
        codes = sinkhorn([*scores, *(queue[s] if queue else [])], epsilon, iterations)[: len(scores)]
        for t, others in enumerate([*full, *local]):
            if t != s:
                losses += [
                    cross_entropy(code, [x / temperature for x in other])
                    for code, other in zip(codes, others, strict=True)
                ]
    return sum(losses) / len(losses)


def dino(
    teacher: Sequence[Matrix],
    student: Sequence[Matrix],
    centre: Sequence[float],
    *,
    teacher_temperature: float,
    student_temperature: float,
) -> float:
    """DINO, equations 1 to 3: views of the student follow each other view of the teacher."""
    losses = []
    for s, targets in enumerate(teacher):
        for t, predictions in enumerate(student):
            if s == t:
                continue
            for target, prediction in zip(targets, predictions, strict=True):
                sharp = [(x - c) / teacher_temperature for x, c in zip(target, centre, strict=True)]
                probabilities = [math.exp(x) for x in log_softmax(sharp)]
                losses.append(cross_entropy(probabilities, [x / student_temperature for x in prediction]))
    return sum(losses) / len(losses)


def centred(z: Matrix) -> list[list[float]]:
    """The columns of z, each minus its mean."""
    columns = [list(column) for column in zip(*z, strict=True)]
    return [[x - sum(column) / len(column) for x in column] for column in columns]


def vicreg(first: Matrix, second: Matrix, *, invariance: float, variance: float, covariance: float) -> float:
    """VICReg, equations 1 to 6, with s as a mean over features and v halved, as in the authors' code."""
    n, p = len(first), len(first[0])
    s = sum((x - y) ** 2 for a, b in zip(first, second, strict=True) for x, y in zip(a, b, strict=True)) / (n * p)
    v = c = 0.0
    for z in (first, second):
        columns = centred(z)
        for i, column in enumerate(columns):
            v += max(0.0, 1 - math.sqrt(dot(column, column) / (n - 1) + 1e-4)) / p
            c += sum((dot(column, other) / (n - 1)) ** 2 for j, other in enumerate(columns) if i != j) / p
    return invariance * s + variance * v / 2 + covariance * c


def barlow(first: Matrix, second: Matrix, *, redundancy: float, scale: float) -> float:
    """Barlow Twins, equations 1 and 2; 1e-5 is added to the variances, as batch normalisation does."""
    n = len(first)
    a, b = ([[x / math.sqrt(dot(c, c) / n + 1e-5) for x in c] for c in centred(z)] for z in (first, second))
    total = 0.0
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            correlation = dot(left, right) / n
            total += (1 - correlation) ** 2 if i == j else redundancy * correlation**2
    return scale * total
