"""The binary protocol of memcached: a header of 24 bytes and a body.

Rules: replies come in the order of their requests, but quiet commands are answered only on a hit or on an error. A
client that numbers its requests (opaque) is paired by number and opcode, which replies repeat. One that leaves the number
at 0 is paired by order: what its quiet commands bring is then part of the next reply, for nothing says whose it is. The
first packet shows which. SASL bodies are neither shown nor handed on.
Format: https://github.com/memcached/memcached/wiki/BinaryProtocolRevamped.
"""

from __future__ import annotations

import struct

from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Violation
from wiretrace.protocols.memcached_text import readable

HEADER = struct.Struct(">BBHBBHIIQ")
"""Magic, opcode, key length, extras length, data type, status or vbucket, body length, opaque, CAS."""
HEADER_BYTES = 24
MAGIC = (0x80, 0x81)
"""First byte by side: request, response."""
KEY_BYTES = 250
"""Longest key that memcached takes."""
BODY_BYTES = 1 << 30
"""Longest body that is believed."""

OPERATIONS = {
    0x00: "get",
    0x01: "set",
    0x02: "add",
    0x03: "replace",
    0x04: "delete",
    0x05: "increment",
    0x06: "decrement",
    0x07: "quit",
    0x08: "flush",
    0x09: "get",
    0x0A: "noop",
    0x0B: "version",
    0x0C: "getk",
    0x0D: "getk",
    0x0E: "append",
    0x0F: "prepend",
    0x10: "stat",
    0x11: "set",
    0x12: "add",
    0x13: "replace",
    0x14: "delete",
    0x15: "increment",
    0x16: "decrement",
    0x17: "quit",
    0x18: "flush",
    0x19: "append",
    0x1A: "prepend",
    0x1B: "verbosity",
    0x1C: "touch",
    0x1D: "gat",
    0x1E: "gat",
    0x20: "sasl list mechanisms",
    0x21: "sasl auth",
    0x22: "sasl step",
    0x23: "gatk",
    0x24: "gatk",
}
QUIET = frozenset({0x09, 0x0D, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1E, 0x24})
SASL = frozenset({0x20, 0x21, 0x22})
STAT = 0x10
WITH_VALUE = frozenset({0x01, 0x02, 0x03, 0x05, 0x06, 0x0E, 0x0F, 0x11, 0x12, 0x13, 0x15, 0x16, 0x19, 0x1A})
"""Commands that say more than a key."""
ATTRIBUTES: dict[str, dict[str, str | int]] = {
    name: {"db.system.name": "memcached", "db.operation.name": name} for name in OPERATIONS.values()
}
STATUSES = {
    0x00: ("OK", Result.OK),
    0x01: ("KEY_NOT_FOUND", Result.OK),
    0x02: ("KEY_EXISTS", Result.OK),
    0x03: ("VALUE_TOO_LARGE", Result.CLIENT_ERROR),
    0x04: ("INVALID_ARGUMENTS", Result.CLIENT_ERROR),
    0x05: ("NOT_STORED", Result.OK),
    0x06: ("NON_NUMERIC_VALUE", Result.CLIENT_ERROR),
    0x07: ("WRONG_VBUCKET", Result.SERVER_ERROR),
    0x08: ("AUTH_ERROR", Result.CLIENT_ERROR),
    0x09: ("AUTH_CONTINUE", Result.OK),
    0x20: ("AUTH_ERROR", Result.CLIENT_ERROR),
    0x21: ("AUTH_CONTINUE", Result.OK),
    0x81: ("UNKNOWN_COMMAND", Result.CLIENT_ERROR),
    0x82: ("OUT_OF_MEMORY", Result.SERVER_ERROR),
    0x83: ("NOT_SUPPORTED", Result.CLIENT_ERROR),
    0x84: ("INTERNAL_ERROR", Result.SERVER_ERROR),
    0x85: ("BUSY", Result.SERVER_ERROR),
    0x86: ("TEMPORARY_FAILURE", Result.SERVER_ERROR),
}
REQUEST, ONE_WAY, RESPONSE = Role.REQUEST, Role.ONE_WAY, Role.RESPONSE


class BinaryReader:
    """Both directions of one connection that speaks the binary protocol."""

    def __init__(self, context: Context, requests: list[Message], responses: list[Message]) -> None:
        self.context = context
        self.messages = (requests, responses)
        self._numbered: bool | None = None
        """Whether the client numbers its requests."""
        self._held: Message | None = None
        """The beginning of a reply of several packets: entries of `stat`, or what unnumbered quiet commands brought."""

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read packets from `data[at:]`; returns the index behind them, as `Protocol.parse` does."""
        size = len(data)
        position = at
        value_bytes = self.context.value_bytes
        unpack = HEADER.unpack_from
        append = self.messages[side].append
        make = self._request if side == Side.CLIENT else self._reply
        magic = MAGIC[side]
        while position < size:
            if data[position] != magic:
                raise Violation("not a packet of memcached")
            body = position + HEADER_BYTES
            if body > size:
                return position
            _, opcode, key_length, extras_length, data_type, status, body_length, opaque, _ = unpack(data, position)
            if key_length + extras_length > body_length or data_type or body_length > BODY_BYTES:
                raise Violation("not a packet of memcached")
            key_start = body + extras_length
            content_end = body + min(body_length, extras_length + value_bytes)
            if content_end > size:
                return position
            end = body + body_length
            content = data[key_start:content_end]
            if key_length:
                # Key and value follow each other without a mark; as values they are two.
                content = b"%b %b" % (content[:key_length], content[key_length:])
            if self._numbered is None:
                self._numbered = opaque != 0
            message = make(base + position, base + end, opcode, key_length, content, status)
            if self._numbered:
                message.key = opcode << 32 | opaque
            position = end
            held = self._held is not None or (side == Side.SERVER and self._begins(opcode, status, body_length))
            if held and side == Side.SERVER and not self._complete(message, opcode, status, body_length):
                continue
            append(message)
        return position

    def _request(self, start: int, end: int, opcode: int, key_length: int, content: bytes, status: int) -> Message:
        operation = OPERATIONS.get(opcode)
        if operation is None:
            raise Violation("not a command of memcached")
        summary = operation
        if opcode in SASL:
            content = b""
        elif key_length:
            summary = f"{operation} {readable(content[:key_length])}"
            if opcode in WITH_VALUE:
                value = content[key_length + 1 :]
                summary += f" {readable(value)}" if self.context.keep_values and value else " ?"
        return Message(
            ONE_WAY if opcode in QUIET or operation == "quit" else REQUEST,
            start,
            end,
            operation=operation,
            summary=summary,
            values=content,
            attributes=ATTRIBUTES[operation],
        )

    def _reply(self, start: int, end: int, opcode: int, key_length: int, content: bytes, status: int) -> Message:
        if opcode not in OPERATIONS and status != 0x81:
            raise Violation("not a reply of memcached")
        word, result = STATUSES.get(status, (f"0x{status:04x}", Result.SERVER_ERROR))
        return Message(
            RESPONSE,
            start,
            end,
            status=word,
            result=result,
            values=b"" if opcode in SASL or status else content,
        )

    def _begins(self, opcode: int, status: int, body_length: int) -> bool:
        """Whether a reply goes on in the next packet."""
        if opcode == STAT:
            return status == 0 and body_length > 0
        return opcode in QUIET and not self._numbered

    def _complete(self, message: Message, opcode: int, status: int, body_length: int) -> bool:
        """Join a packet to the reply that is held; False: more is to come."""
        held = self._held
        if held is not None:
            message.start, message.values = held.start, held.values
        self._held = message if self._begins(opcode, status, body_length) else None
        return self._held is None

    def end(self, side: Side, offset: int) -> None:
        """Nothing of `side` comes behind stream offset `offset`, or bytes from there on are missing."""
        if side == Side.SERVER and self._held is not None:
            message, self._held = self._held, None
            message.end = offset
            message.damaged = True
            self.messages[side].append(message)

    def resync(self, side: Side, data: bytes, at: int) -> int | None:
        """The first header whose fields agree with each other, and behind whose body another one begins."""
        magic = MAGIC[side]
        position = data.find(magic, at)
        while 0 <= position <= len(data) - HEADER_BYTES:
            following = next_header(data, position)
            if following > 0 and (following >= len(data) or data[following] == magic):
                return position
            position = data.find(magic, position + 1)
        return None


def next_header(data: bytes, position: int) -> int:
    """The index behind the packet whose header is at `position`; 0 if that is no header."""
    if len(data) < position + HEADER_BYTES:
        return 0
    _, opcode, key_length, extras_length, data_type, _, body_length, _, _ = HEADER.unpack_from(data, position)
    if opcode not in OPERATIONS or data_type or key_length > KEY_BYTES or extras_length > 20:
        return 0
    if key_length + extras_length > body_length or body_length > BODY_BYTES:
        return 0
    return position + HEADER_BYTES + int(body_length)
