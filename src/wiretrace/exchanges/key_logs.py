"""Reads the key logs that the user gives: files with secrets of TLS connections.

Rules: a file is read line by line, and what is held of it is bounded. No message has a secret or a line of the file in it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wiretrace.model.errors import UserError
from wiretrace.model.note import NoteKind, Notes
from wiretrace.protocols.tls_key_log import LONGEST_LINE, KeyLog

if TYPE_CHECKING:
    from pathlib import Path

    from wiretrace.model.limits import Limits


def read_key_log(path: Path | None, limits: Limits) -> KeyLog:
    """The secrets in the file; none where no file is given.

    Raises UserError where it can not be read, or holds no secret of TLS.
    """
    log = KeyLog(limits.key_log_secrets)
    if path is None:
        return log
    try:
        with path.open("rb") as file:
            # A line that is longer comes in pieces, of which none is a line of a key log.
            log.add(iter(partial(file.readline, LONGEST_LINE + 1), b""))
    except OSError as error:
        raise UserError(f"{path}: can not be read ({error.strerror}).") from None
    if not len(log):
        raise UserError(f"{path}: holds no TLS secrets. Give a key log as SSLKEYLOGFILE makes it (NSS key log format).")
    return log


def note_refused(log: KeyLog, notes: Notes) -> None:
    """Tell how many secrets were too many."""
    if log.refused:
        notes.add(NoteKind.LIMIT_REACHED, "key_log_secrets", log.refused)
