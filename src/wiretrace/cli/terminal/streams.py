"""Where results go: a named file, or standard output, where a terminal gets nothing that could move its cursor."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from wiretrace.cli.terminal.text import printable

STANDARD_OUTPUT = Path("-")
"""The name that users give for standard output."""


class HarmlessLines(io.RawIOBase):
    """Passes UTF-8 text on line by line, with everything escaped that is not a visible character."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._waiting = b""

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: object) -> int:
        """Pass on the lines that are complete."""
        text = bytes(cast("bytes", data))
        *lines, self._waiting = (self._waiting + text).split(b"\n")
        for line in lines:
            self._stream.write(printable(line.decode("utf-8", "backslashreplace")).encode() + b"\n")
        return len(text)

    def close(self) -> None:
        """Pass on a last line that was not ended."""
        if not self.closed and self._waiting:
            self._stream.write(printable(self._waiting.decode("utf-8", "backslashreplace")).encode())
            self._waiting = b""
        super().close()


@contextmanager
def result_stream(path: Path) -> Iterator[BinaryIO]:
    """Open the file that a result is written to; "-" is standard output. Raises UserError as `written_aside` does."""
    if path != STANDARD_OUTPUT:
        from wiretrace.case.files import written_aside

        with written_aside(path) as stream:
            yield stream
        return
    sys.stdout.flush()
    if sys.stdout.isatty():
        with HarmlessLines(sys.stdout.buffer) as harmless:
            yield cast("BinaryIO", harmless)
    else:
        yield sys.stdout.buffer
    sys.stdout.buffer.flush()
