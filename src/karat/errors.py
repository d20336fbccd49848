"""The errors of karat. Each message says what was given, what is needed, and what to do.

KaratError
├── InputError              also a ValueError: a value, shape or file that cannot be used
│   └── FileFormatError     a file that is not what its name says: empty, truncated, pickled, of another format
├── InputTypeError          also a TypeError: something that is no array, no table, no path
├── OutputError             also an OSError: nothing could be written (full disk, no permission); what was there is kept
│   └── OutputExistsError   also a FileExistsError: the output is there already and was left alone
├── TrainingError           a training that cannot go on: its loss is no number, or what it learns has collapsed
└── MissingDependencyError  also an ImportError: an optional library is not installed

KaratWarning                a UserWarning: the numbers are right, but may not mean what one hopes
"""

from __future__ import annotations


class KaratError(Exception):
    """Any error that karat raises on purpose."""


class InputError(KaratError, ValueError):
    """A value, shape or file that cannot be used."""


class FileFormatError(InputError):
    """A file that is empty, truncated, pickled or of another format than its name says."""


class InputTypeError(KaratError, TypeError):
    """Something of a type that cannot be used."""


class OutputError(KaratError, OSError):
    """An output that could not be written; what was there before is untouched."""

    def __str__(self) -> str:  # OSError would print "(errno, text)"
        return str(self.args[0]) if self.args else ""


class OutputExistsError(OutputError, FileExistsError):
    """An output that exists already; it was left alone."""


class TrainingError(KaratError):
    """A training that cannot go on; the last good checkpoint is kept."""


class MissingDependencyError(KaratError, ImportError):
    """An optional library that is not installed."""


class KaratWarning(UserWarning):
    """The numbers are right, but may not mean what one hopes."""
