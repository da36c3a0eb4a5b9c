"""Captures that are not files here: standard input, and URLs. Both become files in a temporary folder.

Rules: a capture is read more than once, and in several processes; a pipe can be read once, and a network fails in the
middle. So all of it is copied first. What is remembered of a URL holds neither its password nor its query, where signed
links have their secret. Libraries for remote files are loaded only where a URL is given.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from wiretrace.model.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STANDARD_INPUT = "-"
URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
COPY_BYTES = 1 << 20
FETCHED_NAME = "stdin"
"""Name of the vantage point that came by standard input."""
UNSAFE = re.compile(r"[^\w.@+-]")


def is_elsewhere(given: str) -> bool:
    """Whether what the user gave names no file here, but standard input or a URL."""
    return given == STANDARD_INPUT or URL.match(given) is not None


def fetch(given: str, folder: Path) -> dict[Path, str]:
    """Copy standard input, or the file or folder at a URL, into `folder`. Returns the copies, and what each is known as.

    Copies from one place have one parent, so that the files of a rotation stay together. Raises UserError.
    """
    if given == STANDARD_INPUT:
        return {_standard_input(_free(folder, "-", FETCHED_NAME)): STANDARD_INPUT}
    return _remote(given, folder)


def _free(folder: Path, place: str, name: str) -> Path:
    """A path for a copy that is called `name` where it comes from, beside others from that place."""
    digest = hashlib.blake2b(place.encode(), digest_size=8).hexdigest()
    for number in itertools.count():
        path = folder / f"fetched-{digest}-{number}" / name
        if not path.exists():
            break
    path.parent.mkdir(exist_ok=True)
    return path


def without_secrets(url: str) -> str:
    """`url` without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _standard_input(path: Path) -> Path:
    """All of standard input, until it ends, however long another program writes to it."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UserError("-: standard input is a terminal. Pipe a capture into it: tcpdump -w - | wiretrace analyze -")
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, COPY_BYTES)
    return path


def _remote(url: str, folder: Path) -> dict[Path, str]:
    shown = without_secrets(url)
    try:
        import fsspec
    except ImportError:
        raise UserError(f"{shown}: remote captures need fsspec: pip install 'wiretrace[remote]'") from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise UserError(f"{shown}: {_line(error)} (pip install 'wiretrace[remote]' brings what https needs)") from None
    except ValueError as error:
        raise UserError(f"{shown}: can not be read: {_line(error)}") from None
    found: dict[Path, str] = {}
    errors: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError, *_network_errors())
    try:
        for remote in _files(system, path, url):
            place, _, name = urlsplit(remote).path.rpartition("/")
            copy = _free(folder, urlsplit(remote).netloc + place, UNSAFE.sub("_", name).strip(".") or "capture")
            system.get_file(remote, str(copy))
            known = without_secrets(remote)
            found[copy] = known if URL.match(known) else f"{shown.partition('://')[0]}://{known}"
    except errors as error:
        raise UserError(
            f"{shown}: can not be read: {_line(error)}. Check the address and that you may read it."
        ) from None
    return found


def _files(system: Any, path: str, url: str) -> Sequence[str]:
    """The file at `path` of an fsspec file system, or the files in the folder there. The web knows no folders."""
    if not url.lower().startswith(("http://", "https://")) and system.isdir(path):
        return sorted(system.find(path, maxdepth=1))
    return [path]


def _network_errors() -> tuple[type[Exception], ...]:
    """Errors of the libraries behind fsspec that are not errors of the operating system, where they are loaded."""
    known = (("aiohttp", "ClientError"), ("botocore.exceptions", "BotoCoreError"))
    return tuple(getattr(sys.modules[module], name) for module, name in known if module in sys.modules)


def _line(error: BaseException) -> str:
    """What an error says, in one line without what could be a secret."""
    text = str(error).partition("\n")[0] or type(error).__name__
    return re.sub(r"\S+://\S+", lambda match: without_secrets(match[0].strip("'\"")), text)
