"""The bytes of a capture file, decompressed as a stream, and the digest of the file as stored.

Rules: memory is bounded by the size of what is asked for, whatever the compression ratio. A compressed stream that ends
early or is corrupt ends the bytes and is remembered in `ending`; all that could be decompressed before it is given out.
"""

from __future__ import annotations

import bz2
import enum
import hashlib
import io
import lzma
import sys
import zlib
from typing import TYPE_CHECKING, Any

from wiretrace.model.errors import UserError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

COMPRESSIONS = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ\0",
    "lz4": b"\x04\x22\x4d\x18",
    "bzip2": b"BZh",
}
"""First bytes of a stream."""
LONGEST_MAGIC = 6
LZ4_BYTES = 1 << 16
XZ_MEMORY_BYTES = 128 << 20
"""What a file may ask for; the highest preset of xz needs 65 MiB."""
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
        """A key of COMPRESSIONS, or empty."""
        self.ending = Ending.WHOLE
        self.stored_bytes = 0
        """Bytes of the file read so far."""
        self._digest = hashlib.sha256()
        self._file = self._open()
        self._waiting = self._read_stored(STORED_CHUNK_BYTES)
        self._decompressor: Any = None
        """zlib's, or one that follows the interface of bz2's."""
        for name, magic in COMPRESSIONS.items():
            if self._waiting.startswith(magic):
                self.compression = name

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
            except (zlib.error, zstd.ZstdError, lzma.LZMAError, EOFError, OSError) as error:
                self.ending = Ending.CUT if "Truncated" in str(error) else Ending.CORRUPT  # so says lz4's reader
                return 0
            if data:
                target[: len(data)] = data
                return len(data)
        return 0

    def _next_stream(self) -> bool:
        """Begin the next member or frame. False at the end of the file; zeros behind a stream are padding."""
        if len(self._waiting) < LONGEST_MAGIC:
            self._waiting += self._read_stored(STORED_CHUNK_BYTES)
        if not self._waiting.strip(b"\0"):
            self.finish()
            return False
        self._decompressor = self._new_decompressor()
        return True

    def _new_decompressor(self) -> Any:
        match self.compression:
            case "gzip":
                return zlib.decompressobj(GZIP_WINDOW)
            case "zstd":
                return zstd.ZstdDecompressor()
            case "xz":
                return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)
            case "bzip2":
                return bz2.BZ2Decompressor()
        import pyarrow as pa  # loaded for lz4 only: it takes a second

        return pa.CompressedInputStream(pa.PythonFile(_Stored(self), mode="r"), "lz4")

    def _decompress_some(self, wanted: int) -> bytes:
        """Up to `wanted` bytes; none where more has to be read, or a stream has ended."""
        stream = self._decompressor
        if self.compression == "lz4":
            # Of a stream that is cut off, all that this call could have given is lost.
            data: bytes = stream.read(min(wanted, LZ4_BYTES))
            if not data:
                self.finish()
                self._decompressor, self._waiting = None, b""
            return data
        if self.compression != "gzip":
            if stream.needs_input and not self._waiting:
                self._waiting = self._read_stored(STORED_CHUNK_BYTES)
                if not self._waiting:
                    self.ending = Ending.CUT
                    return b""
            data = stream.decompress(self._waiting, wanted)
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


class _Stored(io.RawIOBase):
    """The stored bytes of a source, for a decompressor that reads for itself."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = STORED_CHUNK_BYTES) -> bytes:
        """Up to `size` of the next bytes of the file."""
        source = self._source
        if not source._waiting:
            source._waiting = source._read_stored(STORED_CHUNK_BYTES)
        data, source._waiting = source._waiting[:size], source._waiting[size:]
        return data


def _what_it_is(path: Path) -> str:
    if path.is_dir():
        return "is a directory"
    return "is not a plain file" if path.exists() else "there is no such file"


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: can not be read ({error.strerror}). Check that it is there and that you may read it.")
