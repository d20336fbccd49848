"""A zip file whose members are read in place: nothing is extracted, nothing may lead out, nothing may grow."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ..._files import reason
from ...errors import FileFormatError, InputError

_MOST_MEMBERS = 5_000_000
_ENCRYPTED = 0x1


class Archive:
    """A zip file, open for reading.

    Attributes:
        path: where it is.
        members: name -> what the archive's directory says of it.

    Raises:
        FileFormatError: truncated, damaged, or no zip.
        InputError: missing, unreadable, with a name that leads out of it, or with more than 5 million members.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {reason(error)}") from error
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise FileFormatError(f"{path} is truncated, damaged or no zip: {error}") from error
        entries = self._zip.infolist()
        if len(entries) > _MOST_MEMBERS:
            raise InputError(f"{path} holds {len(entries):,} members, more than the {_MOST_MEMBERS:,} allowed")
        for entry in entries:
            _refuse_climbing(path, entry.filename)
        self.members = {entry.filename: entry for entry in entries if not entry.is_dir()}

    def read(self, name: str, *, most: int) -> bytes:
        """The bytes of a member, of which there may be at most `most`.

        Raises:
            InputError: there is none of this name, it is encrypted, or larger.
            FileFormatError: it is truncated or damaged.
        """
        entry = self.members.get(name)
        if entry is None:
            raise InputError(f"{self.path} holds no {name}")
        if entry.flag_bits & _ENCRYPTED:
            raise InputError(f"{self.path}: {name} is encrypted: make the zip without a password")
        if entry.file_size > most:
            raise InputError(f"{self.path}: {name} has {entry.file_size:,} bytes, more than the {most:,} allowed")
        try:
            with self._zip.open(entry) as file:
                return file.read(most)  # the directory may lie; zipfile itself reads no more than it says
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise FileFormatError(f"{self.path}: {name} is truncated or damaged: {error}") from error


def _refuse_climbing(path: Path, name: str) -> None:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in (pure.parts or ("",))[0]:
        raise InputError(f"{path} holds {name!r}, whose name leads out of the archive: such a zip is not read")
