"""SQL over Arrow columns, which are not copied: DuckDB without access to files, extensions or Python's variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from .._optional import require

_SETTINGS = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "memory_limit": "700MB",
    "lock_configuration": True,
}


class Database:
    """Asks about columns of n rows. Any number of threads may ask at once."""

    def __init__(self, n: int) -> None:
        self._connection = require("duckdb", "the explorer").connect(config=_SETTINGS)
        self._rows = numbers(np.arange(n, dtype=np.int32))

    def ask(self, sql: str, bound: Sequence[Any], columns: Mapping[str, pa.ChunkedArray]) -> dict[str, np.ndarray]:
        """The columns of the result of a statement over the table `samples`: r, the number of the row, and `columns`.

        Args:
            sql: built from constants alone.
            bound: the values of its question marks.
            columns: name -> [n].
        """
        cursor = self._connection.cursor()
        try:
            cursor.register("samples", pa.table({"r": self._rows, **columns}))
            found: dict[str, np.ndarray] = cursor.execute(sql, list(bound)).fetchnumpy()
            return found
        finally:
            cursor.close()


def numbers(values: np.ndarray) -> pa.Array:
    """Row numbers int32 [m] as Arrow has them. `pa.array` would import pandas first, which the first page waits for."""
    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values, np.int32))])
