"""Published encoders by name: finding a row, and the file that it names, downloaded once."""

from __future__ import annotations

import difflib
import hashlib
import http.client
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

from .._files import atomic_path, writing
from .._optional import require
from ..errors import FileFormatError, InputError, KaratError
from .haiku import convert
from .published import PUBLISHED, PublishedEncoder

_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without an answer
_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
_SHARED_NAMES = {file for file, count in Counter(row.file for row in PUBLISHED).items() if count > 1}

Progress = Callable[[int, int], None]


def find(name: str) -> PublishedEncoder:
    """The published encoder of this name.

    Raises:
        InputError: there is none; the message has the nearest names.

    >>> find("simsiam-resnet50").linear_top1
    68.1
    """
    rows = {row.name: row for row in PUBLISHED}
    if name not in rows:
        near = difflib.get_close_matches(name, rows, n=5, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else "karat encoders lists all names"
        raise InputError(f"{name} is neither a file nor the name of a published encoder: {hint}")
    return rows[name]


def fetch(row: PublishedEncoder, *, progress: Progress | None = None) -> Path:
    """The file of a published encoder, from the cache of torch.hub or of the Hugging Face hub, downloaded if missing.

    A download that ends early leaves nothing. BYOL's pickles are converted once, to a safetensors file beside them, in
    a reader that can execute nothing.

    Args:
        row: the encoder.
        progress: called with (bytes done, bytes in all) while the official file is downloaded; the hub's own library
            shows its own bar.

    Returns:
        The file of weights; of a repository that transformers reads, its folder.

    Raises:
        InputError: it cannot be downloaded; the message says which file to put where.
        FileFormatError: the file is not the one that was published.
        OutputError: the cache cannot be written.
    """
    path = local_path(row)
    if row.url is not None and row.url.endswith(".pkl"):
        converted = path.with_suffix(".safetensors")
        return converted if converted.is_file() else convert(_fetch(row, path, progress), converted)
    return _fetch(row, path, progress)


def local_path(row: PublishedEncoder) -> Path:
    """Where the file of an encoder is looked for first: in the cache of torch.hub."""
    folder = Path(require("torch.hub", "published encoders").get_dir()) / "checkpoints"
    if row.layout == "transformers":
        return folder / row.name
    file = row.file or f"{row.name}.pth"
    return folder / (f"{row.name}-{file}" if row.file in _SHARED_NAMES and row.file else file)


def _fetch(row: PublishedEncoder, path: Path, progress: Progress | None) -> Path:
    if not path.exists():
        if row.hub is not None:
            return _from_hugging_face(row, row.hub, path)
        if row.url is None:
            raise InputError(_instead(row, path, "no source gives the address of its file"))
        _download(row, row.url, path, progress)
    _check(row, path)
    return path


def _download(row: PublishedEncoder, url: str, path: Path, progress: Progress | None) -> None:
    """Download to a temporary file, check it, and only then give it its name."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    request = urllib.request.Request(url, headers={"User-Agent": "karat"})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(_instead(row, path, f"{url} cannot be downloaded ({_reason(error)})")) from error
    with response, atomic_path(path) as temporary, open(temporary, "wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        done = 0
        while chunk := _read(row, path, response):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, max(total, done))
        if done < total:
            raise InputError(_instead(row, path, f"the download of {url} ended after {done:,} of {total:,} bytes"))
        file.flush()
        _check(row, temporary)


def _read(row: PublishedEncoder, path: Path, response: IO[bytes]) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(_instead(row, path, f"the download of {row.url} broke off ({_reason(error)})")) from error


def _check(row: PublishedEncoder, path: Path) -> None:
    """Refuse a file that is not the published one, where its MD5 is known."""
    if row.md5 is None:
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if not found.startswith(row.md5):
        raise FileFormatError(
            f"{path} is not the file of {row.name}: its MD5 is {found}, but {row.md5}... was published; remove it, and "
            "download it again"
        )


def _from_hugging_face(row: PublishedEncoder, repository: str, path: Path) -> Path:
    """From the hub, through its own cache."""
    hub = require("huggingface_hub", f"downloading {row.name}")
    try:
        if row.layout == "transformers":
            return Path(hub.snapshot_download(repository))
        file = row.file or _only_weights(hub.list_repo_files(repository), repository)
        return Path(hub.hf_hub_download(repository, file))
    except KaratError:
        raise
    except Exception as error:  # of the hub, or of the library with which it speaks HTTP
        reason = str(error).partition("\n")[0]
        raise InputError(_instead(row, path, f"{repository} cannot be downloaded from the hub ({reason})")) from error


def _only_weights(files: list[str], repository: str) -> str:
    weights = [file for file in files if file.endswith(_WEIGHTS)]
    if len(weights) != 1:
        raise InputError(f"{repository} has {len(weights)} files of weights ({', '.join(weights)}), but one is needed")
    return weights[0]


def _instead(row: PublishedEncoder, path: Path, problem: str) -> str:
    """What to do where a file cannot be had."""
    what = row.file or ("the files" if row.layout == "transformers" else "the file of weights")
    where = row.url or (f"https://huggingface.co/{row.hub}" if row.hub else row.source)
    note = f" ({row.note})" if row.note and not row.url else ""
    put = f"them in the folder {path}" if row.layout == "transformers" else f"it at {path}"
    return f"{row.name}: {problem}. Get {what} from {where}{note}, and put {put}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error) or type(error).__name__
