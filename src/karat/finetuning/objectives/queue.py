"""The last rows that were seen."""

from __future__ import annotations

import torch
from lightly.models.utils import concat_all_gather
from lightly.utils import dist
from torch import Tensor, nn
from torch.nn.functional import normalize


class Queue(nn.Module):
    """A ring of the last `size` rows, the same on all processes, kept in the state_dict.

    It takes the place of the memory bank of lightly's NTXentLoss, which is not in the state_dict, drops rows where the
    ring closes, and would take the keys of a batch before the batch's other view has been compared with it.

    Args:
        size: number of rows.
        dim: length of a row.

    Attributes:
        rows: [size, dim]; random directions until they are replaced.
        start: where the next row goes.
        filled: number of rows that were pushed, at most `size`.
    """

    rows: Tensor
    start: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("rows", normalize(torch.randn(size, dim)))
        self.register_buffer("start", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def forward(self, output: Tensor, update: bool = False) -> tuple[Tensor, Tensor]:
        """What lightly's loss asks its memory bank: (output, the rows as columns [dim, size])."""
        return output, self.rows.clone().to(output.dtype).T  # the rows may change before the backward pass

    def full(self) -> bool:
        return int(self.filled) == len(self.rows)

    def share(self) -> Tensor:
        """The rows of this process: all of them together, each once, are those of the queue."""
        each = len(self.rows) // dist.world_size()
        return self.rows[dist.rank() * each :][:each].clone()

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Replace the oldest rows by new ones, those of all processes."""
        rows = concat_all_gather(rows) if dist.world_size() > 1 else rows
        rows = rows[-len(self.rows) :]
        places = (self.start + torch.arange(len(rows), device=self.rows.device)) % len(self.rows)
        self.rows[places] = rows.to(self.rows.dtype)
        self.start.copy_((self.start + len(rows)) % len(self.rows))
        self.filled.copy_((self.filled + len(rows)).clamp(max=len(self.rows)))
