"""Several processes that share one extraction: torchrun's, or any group of torch.distributed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from .._optional import require
from ..errors import InputError, KaratError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Result = TypeVar("Result")
# One process may be done with its part long before another.
_PATIENCE = timedelta(days=30)


@contextmanager
def torchrun_group() -> Iterator[ProcessGroup | None]:
    """The processes that torchrun started, each with a GPU of its own where there are any; None: there is only this."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield None
        return
    torch = require("torch", "extract")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    torch.distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield torch.distributed.group.WORLD
    finally:
        torch.distributed.destroy_process_group()


class Team:
    """This process among those of a group; of None, it alone.

    Attributes:
        rank: its number; 0 leads.
        size: how many there are.
    """

    def __init__(self, group: ProcessGroup | None) -> None:
        self._group = group
        self.rank = 0 if group is None else self._distributed.get_rank(group)
        self.size = 1 if group is None else self._distributed.get_world_size(group)

    @property
    def leads(self) -> bool:
        """Whether this is the process that begins, finishes and tells."""
        return self.rank == 0

    def led(self, action: Callable[[], Result]) -> Result:
        """Let the leader do something: every process returns what that returned, or raises what it raised."""
        outcome: list[Any] = [None]
        if self.leads:
            try:
                outcome[0] = action()
            except KaratError as error:
                outcome[0] = error
        if self._group is not None:
            leader = self._distributed.get_global_rank(self._group, 0)
            self._distributed.broadcast_object_list(outcome, src=leader, group=self._group)
        if isinstance(outcome[0], KaratError):
            raise outcome[0]
        return outcome[0]

    def leader_first(self, action: Callable[[], Result]) -> Result:
        """Let the leader do something, then all others (which find what it has downloaded)."""
        mine: list[Result] = []
        self.led(lambda: mine.append(action()))
        return mine[0] if self.leads else action()

    def together(self, work: Callable[[], None]) -> None:
        """Do this process's part, and wait for the others.

        Raises:
            InputError: another process failed (what it raised, it raises itself).
        """
        error: KaratError | None = None
        try:
            work()
        except KaratError as caught:
            error = caught
        failures = self._gathered(None if error is None else str(error))
        if error is not None:
            raise error
        for rank, failure in enumerate(failures):
            if failure is not None:
                raise InputError(f"process {rank} of {self.size} failed: {failure}")

    def _gathered(self, value: str | None) -> list[str | None]:
        if self._group is None:
            return [value]
        values: list[str | None] = [None] * self.size
        self._distributed.all_gather_object(values, value, group=self._group)
        return values

    @property
    def _distributed(self) -> Any:
        return require("torch.distributed", "several processes")
