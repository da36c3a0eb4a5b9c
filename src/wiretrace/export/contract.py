"""What an exporter is. A format is added by adding its file; nothing else is edited."""

from abc import ABC, abstractmethod
from typing import BinaryIO, ClassVar

from wiretrace.case.reader import Case

VALUES_KEPT = "wiretrace.values_kept"
"""Name of the mark of a case whose captured values were kept readable, where a format has a place for it."""


class Exporter(ABC):
    """Writes a case in the format of another tool.

    The same case gives the same bytes. What it holds of calls is what the case holds: redacted, unless the user kept
    values when the case was made.
    """

    name: ClassVar[str]
    """What the user calls it: `--format NAME`."""
    sentence: ClassVar[str]
    """What it is for, in one short sentence."""
    is_text: ClassVar[bool] = True
    """Whether it may be written to a terminal."""

    @abstractmethod
    def write(self, case: Case, stream: BinaryIO) -> None:
        """Write the whole case to `stream`. Raises UserError for a damaged case; OSError is the caller's."""
