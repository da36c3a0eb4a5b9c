"""The bytes of a capture file, decompressed as a stream, and the digest of the file as stored.

Rules: memory is bounded by the size of what is asked for, whatever the compression ratio. A compressed stream that ends
early or is corrupt ends the bytes and is remembered in `ending`; all that could be decompressed before it is given out.
"""

from __future__ import annotations

import enum
import hashlib
import sys
import zlib
from typing import TYPE_CHECKING

from wiretrace.model.errors import UserError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
STORED_CHUNK_BYTES = 1 << 18
GZIP_WINDOW = 31  # zlib: a gzip header and trailer around deflate


class Ending(enum.Enum):
    """How the bytes of a file came to an end."""

    WHOLE = "whole"
    """As they should."""
    CUT = "cut"
    """Inside a compressed stream: the file was cut off, or is still being written."""
    CORRUPT = "corrupt"
    """The compressed stream is not readable any further."""


class ByteSource:
    """Reads one file from beginning to end. Raises UserError where it can not be opened or read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.compression = ""
        """gzip, zstd, or empty."""
        self.ending = Ending.WHOLE
        self.stored_bytes = 0
        """Bytes of the file read so far."""
        self._digest = hashlib.sha256()
        self._file = self._open()
        self._waiting = self._read_stored(STORED_CHUNK_BYTES)
        self._decompressor: zlib._Decompress | zstd.ZstdDecompressor | None = None
        if self._waiting.startswith(GZIP_MAGIC):
            self.compression = "gzip"
        elif self._waiting.startswith(ZSTD_MAGIC):
            self.compression = "zstd"

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        """Digest of the bytes read so far, in hexadecimal."""
        return self._digest.hexdigest()

    def readinto(self, target: memoryview) -> int:
        """Fill `target` with the next bytes. Returns how many: fewer than its length only at the end."""
        filled = 0
        while filled < len(target):
            count = self._read_plain(target[filled:]) if not self.compression else self._decompress(target[filled:])
            if not count:
                break
            filled += count
        return filled

    def finish(self) -> None:
        """Read what is left of the file, for its digest and size."""
        while self._read_stored(STORED_CHUNK_BYTES):
            pass

    def _open(self) -> BinaryIO:
        try:
            if not self.path.is_file():
                raise UserError(f"{self.path}: {_what_it_is(self.path)}. Give a capture file (pcap or pcapng).")
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise _unreadable(self.path, error) from None

    def _read_stored(self, count: int) -> bytes:
        try:
            data = self._file.read(count) or b""
        except OSError as error:
            raise _unreadable(self.path, error) from None
        self._digest.update(data)
        self.stored_bytes += len(data)
        return data

    def _read_plain(self, target: memoryview) -> int:
        count = len(self._waiting)
        if count:
            count = min(count, len(target))
            target[:count] = self._waiting[:count]
            self._waiting = self._waiting[count:]
            return count
        try:
            count = self._file.readinto(target) or 0  # type: ignore[attr-defined]  # a raw file has it
        except OSError as error:
            raise _unreadable(self.path, error) from None
        self._digest.update(target[:count])
        self.stored_bytes += count
        return count

    def _decompress(self, target: memoryview) -> int:
        """At least one byte into `target`, or 0 at the end."""
        wanted = min(len(target), STORED_CHUNK_BYTES * 4)
        while self.ending is Ending.WHOLE:
            if self._decompressor is None and not self._next_stream():
                return 0
            try:
                data = self._decompress_some(wanted)
            except (zlib.error, zstd.ZstdError):
                self.ending = Ending.CORRUPT
                return 0
            if data:
                target[: len(data)] = data
                return len(data)
        return 0

    def _next_stream(self) -> bool:
        """Begin the next member or frame. False at the end of the file; zeros behind a stream are padding."""
        if len(self._waiting) < len(ZSTD_MAGIC):
            self._waiting += self._read_stored(STORED_CHUNK_BYTES)
        if not self._waiting.strip(b"\0"):
            self.finish()
            return False
        if self.compression == "gzip":
            self._decompressor = zlib.decompressobj(GZIP_WINDOW)
        else:
            self._decompressor = zstd.ZstdDecompressor()
        return True

    def _decompress_some(self, wanted: int) -> bytes:
        """Up to `wanted` bytes; none where more has to be read, or a stream has ended."""
        stream = self._decompressor
        assert stream is not None
        if isinstance(stream, zstd.ZstdDecompressor):
            if stream.needs_input and not self._waiting:
                self._waiting = self._read_stored(STORED_CHUNK_BYTES)
                if not self._waiting:
                    self.ending = Ending.CUT
                    return b""
            data: bytes = stream.decompress(self._waiting, wanted)
            self._waiting = b""
        else:
            if not self._waiting:
                self._waiting = self._read_stored(STORED_CHUNK_BYTES)
            at_end = not self._waiting
            data = stream.decompress(self._waiting, wanted)
            self._waiting = stream.unconsumed_tail
            if at_end and not data and not stream.eof:
                self.ending = Ending.CUT
        if stream.eof:
            self._waiting = stream.unused_data
            self._decompressor = None
        return data


def _what_it_is(path: Path) -> str:
    if path.is_dir():
        return "is a directory"
    return "is not a plain file" if path.exists() else "there is no such file"


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: can not be read ({error.strerror}). Check that it is there and that you may read it.")
