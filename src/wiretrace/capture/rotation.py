"""Names of capture files, when the next one begins, and which of them are kept.

Rules of this file: pure decisions and file names; no packet, no clock of its own. No file that exists is ever written over.
- With rotation by time a name may hold strftime(3) fields; they are filled in from the local time at which the file begins.
- With rotation by size, or by time with a name that holds no field, a number stands before the suffix: ``shop-00001.pcap``.
- Keeping N files means a ring in every combination: when one more begins, the oldest of this run is deleted.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from wiretrace.model.errors import UserError

STANDARD_OUTPUT = "-"
"""The file name that means the standard output."""


@dataclass(slots=True)
class Rotation:
    """The files of one capture."""

    pattern: str
    """The name as the user gave it."""
    file_bytes: int | None = None
    """A file that has reached this many bytes is followed by the next one."""
    file_seconds: int | None = None
    """A file that is this many seconds old is followed by the next one."""
    files_kept: int | None = None
    """Files that are left on disk; older ones of this run are deleted."""
    _written: deque[Path] = field(default_factory=deque)
    _number: int = 0

    @property
    def rotates(self) -> bool:
        """Whether there is ever a second file."""
        return self.file_bytes is not None or self.file_seconds is not None

    def begin_file(self, now: float) -> str:
        """Create the next file, empty and owned by this run, and return its name.

        ``now`` is seconds since the epoch. Raises `UserError` where the file exists or its directory can not be written.
        """
        if self.pattern == STANDARD_OUTPUT:
            return STANDARD_OUTPUT
        path = self._next_path(now)
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            raise UserError(
                f"{path} exists already and is not written over; move it away or choose another name"
            ) from None
        except OSError as error:
            raise UserError(f"can not write {path}: {error.strerror}") from None
        self._written.append(path)
        while self.files_kept is not None and len(self._written) > self.files_kept:
            self._written.popleft().unlink(missing_ok=True)
        return str(path)

    def _next_path(self, now: float) -> Path:
        self._number += 1
        name = self.pattern
        if self.file_seconds is not None:
            name = time.strftime(name, time.localtime(now))
        path = Path(name)
        if self.file_bytes is not None or (self.file_seconds is not None and "%" not in self.pattern):
            path = path.with_name(f"{path.stem}-{self._number:05d}{path.suffix}")
        return path

    def is_due(self, size: int, age: float) -> bool:
        """Whether a file of ``size`` bytes that began ``age`` seconds ago is complete."""
        return (self.file_bytes is not None and size >= self.file_bytes) or (
            self.file_seconds is not None and age >= self.file_seconds
        )
