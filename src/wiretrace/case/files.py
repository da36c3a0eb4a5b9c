"""Files that users name for results: written aside and renamed, so that a reader never sees half of one."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wiretrace.model.errors import UserError


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
        raise UserError(f"{path}: can not be written: {error.strerror or error}") from None
