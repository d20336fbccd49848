"""Cross-entropy of a softmax: the one formula that every linear probe is trained and judged by."""

from __future__ import annotations

from typing import Any


def softmax_error(xp: Any, logits: Any, y: Any) -> Any:
    """Turn logits into softmax(logits) - onehot(y), in place; return -log softmax(logits)[y].

    The first is the gradient of the second by the logits.

    Args:
        xp: NumPy or torch.
        logits: float [m, heads, k].
        y: integers [m] in [0, k).

    Returns:
        Losses [m, heads], in nats.
    """
    rows = xp.arange(len(y), device=logits.device)
    logits -= xp.amax(logits, axis=-1, keepdims=True)
    picked = logits[rows, :, y]  # [m, heads]
    xp.exp(logits, out=logits)
    total = xp.sum(logits, axis=-1, keepdims=True)
    losses = xp.log(total[..., 0]) - picked
    logits /= total
    logits[rows, :, y] -= 1
    return losses
