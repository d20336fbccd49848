"""What a file of weights is, told by its content; and what it is instead, where it is none."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path
from typing import Literal

from ..errors import FileFormatError, InputError

Format = Literal["safetensors", "torch zip", "torch legacy"]

# How a file begins that torch.save wrote before version 1.6: its magic number, pickled.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_LARGEST_HEADER = 100_000_000  # of a safetensors file, as the library itself has it
_MOST_MEMBERS = 100_000  # of a zip; torch writes one for each tensor
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}
_LFS = b"version https://git-lfs.github.com/spec/"
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head")


def format_of(path: Path) -> Format:
    """The format of a file of weights, by its content; its name does not count.

    Raises:
        InputError: there is no file.
        FileFormatError: it is something else (what, and what to do), is truncated, or is larger inside than outside.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file: the weights of an encoder are needed (.safetensors, .pth, .ckpt ...)")
    with open(path, "rb") as file:
        start = file.read(1024)
    if start.startswith(b"PK\x03\x04"):
        _check_zip(path)
        return "torch zip"
    if start.startswith(_LEGACY):
        return "torch legacy"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _LARGEST_HEADER:
        return "safetensors"
    raise FileFormatError(f"{path} {_instead(path, start)}")


def _instead(path: Path, start: bytes) -> str:
    """What a file is that is no checkpoint, and what to do."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "is empty: download it again"
    if start.startswith(_LFS):
        return "is a pointer of git-lfs, not the weights: fetch them with git lfs pull"
    if text.startswith(_MARKUP):
        return "is a web page, not a checkpoint: the download went wrong (a login page, a wrong address); repeat it"
    for magic, (name, tool) in _COMPRESSED.items():
        if start.startswith(magic):
            return f"is compressed with {name}: unpack it first ({tool})"
    if any(start) and _is_tar(path):  # to tarfile, zeros are an archive of nothing
        return (
            "is a tar archive, which is never loaded: unpack it, and give the file of weights in it. (What torch.save "
            "writes is no tar archive, even if it is called .pth.tar)"
        )
    if start[0] == 0x80 and start[1:2] <= b"\x05":
        return (
            "is a pickle, but none that torch.save wrote: it is not loaded. BYOL's own file is converted once, without "
            "being executed: karat encoders convert FILE -o OUT.safetensors"
        )
    if start.startswith(b"PK\x05\x06"):
        return "is an empty zip archive: download it again"
    return f"is no checkpoint (it begins with {start[:8]!r}): a safetensors file or one that torch.save wrote is needed"


def _is_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:"):
            return True
    except (tarfile.TarError, OSError, ValueError):
        return False


def _check_zip(path: Path) -> None:
    """A zip archive as torch writes it: whole, nothing compressed, so that nothing is larger inside than outside."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise FileFormatError(
            f"{path} is truncated or damaged: the directory at the end of the zip archive cannot be read ({error}); "
            "download it again"
        ) from error
    names = [member.filename.partition("/")[2] for member in members]
    if names.count("data.pkl") != 1:
        raise FileFormatError(f"{path} is a zip archive, but not of torch (it has not one data.pkl): unpack it first")
    if "constants.pkl" in names:
        raise FileFormatError(f"{path} is a TorchScript program: save the state_dict() of its module instead")
    if len(members) > _MOST_MEMBERS:
        raise FileFormatError(f"{path} has {len(members):,} members, but at most {_MOST_MEMBERS:,} are read")
    compressed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
    if compressed:
        raise FileFormatError(
            f"{path} is compressed inside ({compressed[0]}), which torch never writes: save it again with torch.save"
        )
    size, promised = path.stat().st_size, sum(member.file_size for member in members)
    if promised > size:
        raise FileFormatError(f"{path} promises {promised:,} bytes, but has {size:,}: it is damaged or made to harm")
