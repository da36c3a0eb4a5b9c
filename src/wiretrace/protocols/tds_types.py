"""Data types of TDS ([MS-TDS] 2.2.5.4 to 2.2.5.6): how long a value is, and its text where it may link calls.

Rules: a reader goes through type descriptions and values, and raises `Unreadable` at what it does not know or what is not
there; who calls it uses what came before.
"""

from __future__ import annotations

import struct
import uuid
from typing import NamedTuple

_FIXED = {
    0x1F: 0, 0x30: 1, 0x32: 1, 0x34: 2, 0x38: 4, 0x3A: 4, 0x3B: 4, 0x3C: 8, 0x3D: 8, 0x3E: 8, 0x7A: 4, 0x7F: 8,
}  # fmt: skip
"""Types without a length, and the bytes of their values."""
_BYTE_LENGTH = frozenset({0x24, 0x26, 0x68, 0x6D, 0x6E, 0x6F, 0x2F, 0x27, 0x2D, 0x25})
_DECIMALS = frozenset({0x6A, 0x6C, 0x37, 0x3F})
_SCALED_TIMES = frozenset({0x29, 0x2A, 0x2B})
_DATE, _VARIANT, _XML, _USER_DEFINED = 0x28, 0x62, 0xF1, 0xF0
_SHORT_LENGTH = frozenset({0xA5, 0xAD, 0xA7, 0xAF, 0xE7, 0xEF})
_WITH_COLLATION = frozenset({0xA7, 0xAF, 0xE7, 0xEF, 0x23, 0x63})
LONG = frozenset({0x22, 0x23, 0x63})
"""image, text and ntext."""
_INTEGERS = frozenset({0x26, 0x30, 0x34, 0x38, 0x7F})
_WIDE_TEXT = frozenset({0xE7, 0xEF, 0x63, _XML})
_NARROW_TEXT = frozenset({0xA7, 0xAF, 0x23, 0x2F, 0x27})
_FLOATS = {4: struct.Struct("<f"), 8: struct.Struct("<d")}
_GUID_BYTES = 16
_PARTLY = 0xFFFF
"""As the longest length: the value comes in parts (PLP)."""
_NO_PARTS = (1 << 64) - 1
_KEPT_BYTES = 1 << 16


class Unreadable(Exception):  # noqa: N818 - the end of what can be read, no error of ours
    """What follows is of an unknown type, or is not there."""


class Type(NamedTuple):
    """A described type."""

    code: int
    length: int = 0
    """The longest value, where the description says so."""
    scale: int = 0


class Reader:
    """Goes through bytes."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        end = self.at + count
        if count < 0 or end > len(self.data):
            raise Unreadable
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def number(self, size: int) -> int:
        """The next unsigned number of so many bytes."""
        return int.from_bytes(self.take(size), "little")

    def text(self, size_of_length: int) -> bytes:
        """A text in UTF-16 behind its length in characters, as UTF-8."""
        return utf8(self.take(2 * self.number(size_of_length)))

    def type(self, *, in_columns: bool) -> Type:
        """The description of a type, as it stands in a list of columns or in front of a parameter."""
        code = self.number(1)
        if code in _FIXED or code == _DATE:
            return Type(code)
        if code in _BYTE_LENGTH:
            return Type(code, self.number(1))
        if code in _DECIMALS:
            length, _, scale = self.take(3)
            return Type(code, length, scale)
        if code in _SCALED_TIMES:
            return Type(code, 0, self.number(1))
        if code in _SHORT_LENGTH:
            length = self.number(2)
            if code in _WITH_COLLATION:
                self.take(5)
            return Type(code, length)
        if code in LONG:
            length = self.number(4)
            if code in _WITH_COLLATION:
                self.take(5)
            return Type(code, length)
        if code == _VARIANT:
            return Type(code, self.number(4))
        if code == _XML:
            if self.number(1):
                self.text(1)
                self.text(1)
                self.text(2)
            return Type(code, _PARTLY)
        if code == _USER_DEFINED:
            if in_columns:
                self.take(2)
            for _ in range(3):
                self.text(1)
            if in_columns:
                self.text(2)
            return Type(code, _PARTLY)
        raise Unreadable

    def value(self, kind: Type) -> bytes | None:
        """The bytes of a value; None: NULL."""
        code = kind.code
        if code in _FIXED:
            return self.take(_FIXED[code])
        if code in _BYTE_LENGTH or code in _DECIMALS or code in _SCALED_TIMES or code == _DATE:
            return self.take(self.number(1)) or None
        if code in LONG:
            pointer = self.number(1)
            if not pointer:
                return None
            self.take(pointer + 8)
            return self.take(self.number(4))
        if code == _VARIANT:
            return self.take(self.number(4)) or None
        if kind.length == _PARTLY:
            return self._parts()
        length = self.number(2)
        return None if length == _PARTLY else self.take(length)

    def _parts(self) -> bytes | None:
        if self.number(8) == _NO_PARTS:
            return None
        value = b""
        while length := self.number(4):
            part = self.take(length)
            if len(value) < _KEPT_BYTES:
                value += part
        return value


def text_of(kind: Type, value: bytes | None) -> bytes:
    """A value as text; b"" where it can not link anything (dates, money, bits, binary data)."""
    if not value:
        return b""
    code = kind.code
    if code in _INTEGERS:
        # tinyint has no sign
        return b"%d" % int.from_bytes(value, "little", signed=len(value) > 1)
    if code in _WIDE_TEXT:
        return utf8(value)
    if code in _NARROW_TEXT:
        return value
    if code == 0x24 and len(value) == _GUID_BYTES:
        return str(uuid.UUID(bytes_le=value)).encode()
    if code in _DECIMALS and len(value) > 1:
        digits = b"%d" % int.from_bytes(value[1:], "little")
        if kind.scale:
            digits = digits.rjust(kind.scale + 1, b"0")
            digits = digits[: -kind.scale] + b"." + digits[-kind.scale :]
        return digits if value[0] else b"-" + digits
    unpacker = _FLOATS.get(len(value)) if code in (0x3B, 0x3E, 0x6D) else None
    return repr(unpacker.unpack(value)[0]).encode() if unpacker is not None else b""


def integer(value: bytes | None) -> int:
    """The value of a parameter that is a number; -1 where there is none."""
    return int.from_bytes(value, "little", signed=True) if value and len(value) <= 8 else -1


def utf8(text: bytes) -> bytes:
    """UTF-16 text, of which the last byte may be missing, in UTF-8."""
    return text.decode("utf-16-le", "replace").encode("utf-8", "replace")
