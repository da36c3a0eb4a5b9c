"""Files that users name for results: written aside and renamed, so that a reader never sees half of one."""

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wiretrace.model.errors import UserError


def check_file_target(path: Path) -> None:
    """Raise UserError where `written_aside` could not write `path` as things are: to be asked before long work."""
    try:
        target = path.resolve()
        if target.is_dir():
            raise UserError(f"{path}: is a directory; give the name of a file")
        if target.exists() and not target.is_file():
            return
        check_folder(path, target.parent)
    except OSError as error:
        raise UserError(f"{path}: can not be written: {reason(error)}") from None


def check_folder(path: Path, folder: Path) -> None:
    """Raise UserError where nothing can be made in `folder`, which may have to be made itself; `path` is what is named."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"{path}: can not be written: {folder} is not a directory; give another name")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path}: can not be written: you may not write in {folder}; give another name")


def reason(error: OSError) -> str:
    """Why the file system refused, in its own few words. Arrow's errors bury them in theirs."""
    if error.errno == errno.ENOSPC:
        return "no space is left on the device; make room, or give another place"
    return os.strerror(error.errno) if error.errno else str(error).partition("\n")[0]


@contextmanager
def written_aside(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the name `path` when the block ends without an error, replacing what had it.

    Pipes and devices are written directly, and a symbolic link keeps pointing where it does. Raises UserError for
    errors of the file system; nothing is left behind then.
    """
    target = path.resolve()
    try:
        mode = target.stat().st_mode
    except OSError:
        mode = None
    try:
        if mode is not None and stat.S_ISDIR(mode):
            raise UserError(f"{path}: is a directory; give the name of a file")
        if mode is not None and not stat.S_ISREG(mode):
            with path.open("wb") as stream:
                yield stream
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.partial")
        try:
            with partial.open("xb") as stream:
                if mode is not None:
                    os.fchmod(stream.fileno(), stat.S_IMODE(mode))
                yield stream
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{path}: can not be written: {reason(error)}") from None


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of our own, gone in the end. Raises UserError where the file system refuses what the block does."""
    try:
        with tempfile.TemporaryDirectory(prefix="wiretrace-") as folder:
            yield Path(folder)
    except OSError as error:
        where = os.environ.get("TMPDIR", "the directory for temporary files")
        why = os.strerror(error.errno) if error.errno else str(error).partition("\n")[0]
        raise UserError(
            f"{where}: temporary files can not be written: {why}; set TMPDIR to a directory with more room"
        ) from None
