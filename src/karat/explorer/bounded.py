"""A cache that forgets what was not asked for longest; any number of threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

_Kept = TypeVar("_Kept")


class Bounded(Generic[_Kept]):
    """Values by key, as long as their weights together are within a limit.

    >>> cache = Bounded(limit=10)
    >>> cache.put("a", 1, 6), cache.put("b", 2, 6)
    (None, None)
    >>> cache.get("a"), cache.get("b")
    (None, 2)
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._weight = limit, 0
        self._kept: OrderedDict[Hashable, tuple[_Kept, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> _Kept | None:
        """What was put under a key; None where there is nothing (any more)."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: Hashable, value: _Kept, weight: int) -> None:
        """Keep a value; what weighs more than the limit is not kept."""
        with self._lock:
            if key in self._kept:
                self._weight -= self._kept.pop(key)[1]
            if weight > self._limit:
                return
            self._kept[key] = value, weight
            self._weight += weight
            while self._weight > self._limit:
                self._weight -= self._kept.popitem(last=False)[1][1]
