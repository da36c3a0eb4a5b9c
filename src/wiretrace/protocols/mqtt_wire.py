"""The encoding of MQTT: fixed headers, strings, properties, and the names of reason codes.

Rules: a reader raises `CutOff` where it would read behind its packet. Facts: MQTT 5.0 (OASIS) sections 1.5, 2.1, 2.2 and
2.4; return codes of CONNACK before version 5: MQTT 3.1.1 section 3.2.2.3.
"""

from __future__ import annotations

from typing import NamedTuple

from wiretrace.model.message import Result

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC = 1, 2, 3, 4, 5
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT, AUTH = 12, 13, 14, 15

FIXED = {0x01: 1, 0x17: 1, 0x19: 1, 0x24: 1, 0x25: 1, 0x28: 1, 0x29: 1, 0x2A: 1, 0x13: 2, 0x21: 2, 0x22: 2, 0x23: 2,
         0x02: 4, 0x11: 4, 0x18: 4, 0x27: 4}  # fmt: skip
"""Length of the properties that have one (section 2.2.2.2)."""
STRINGS = frozenset({0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F})
SUBSCRIPTION, CORRELATION, ALIAS, USER = 0x0B, 0x09, 0x23, 0x26
MOST_PROPERTIES = 128

RETURN_CODES = {
    1: "unacceptable protocol version", 2: "identifier rejected", 3: "server unavailable",
    4: "bad user name or password", 5: "not authorized",
}  # fmt: skip
REASONS = {
    0x10: "No matching subscribers", 0x11: "No subscription existed",
    0x80: "Unspecified error", 0x81: "Malformed Packet", 0x82: "Protocol Error", 0x83: "Implementation specific error",
    0x84: "Unsupported Protocol Version", 0x85: "Client Identifier not valid", 0x86: "Bad User Name or Password",
    0x87: "Not authorized", 0x88: "Server unavailable", 0x89: "Server busy", 0x8A: "Banned", 0x8B: "Server shutting down",
    0x8C: "Bad authentication method", 0x8D: "Keep Alive timeout", 0x8E: "Session taken over",
    0x8F: "Topic Filter invalid", 0x90: "Topic Name invalid", 0x91: "Packet Identifier in use",
    0x92: "Packet Identifier not found", 0x93: "Receive Maximum exceeded", 0x94: "Topic Alias invalid",
    0x95: "Packet too large", 0x96: "Message rate too high", 0x97: "Quota exceeded", 0x98: "Administrative action",
    0x99: "Payload format invalid", 0x9A: "Retain not supported", 0x9B: "QoS not supported", 0x9C: "Use another server",
    0x9D: "Server moved", 0x9E: "Shared Subscriptions not supported", 0x9F: "Connection rate exceeded",
    0xA0: "Maximum connect time", 0xA1: "Subscription Identifiers not supported",
    0xA2: "Wildcard Subscriptions not supported",
}  # fmt: skip
SERVERS_FAULT = frozenset({0x80, 0x83, 0x88, 0x89, 0x8B, 0x97, 0x9C, 0x9D, 0x9F, 0xA0})
"""Reasons that are none of the client's."""


class CutOff(Exception):  # noqa: N818 - a turn in reading, not an error of ours
    """What was to be read lies behind the end of the packet."""


class Properties(NamedTuple):
    """What is read of the properties of a packet."""

    user: list[tuple[bytes, bytes]]
    correlation: bytes
    alias: int
    """0: none."""


class Fields:
    """Reads the fields of one packet, of which the end may not have come."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    @property
    def left(self) -> int:
        """Bytes of the packet that were not read."""
        return self.end - self.at

    def _take(self, length: int) -> bytes:
        at = self.at
        if at + length > min(self.end, len(self.data)):
            raise CutOff
        self.at = at + length
        return self.data[at : self.at]

    def number(self, size: int) -> int:
        """An unsigned number of `size` bytes."""
        return int.from_bytes(self._take(size), "big")

    def text(self) -> bytes:
        """A string, or binary data, with its length before it."""
        return self._take(self.number(2))

    def varint(self) -> int:
        """A number of variable length (section 1.5.5)."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise CutOff

    def rest(self, most: int) -> bytes:
        """What is left of the packet, at most so many bytes of it."""
        return self.data[self.at : min(self.at + most, self.end)]

    def properties(self) -> Properties:
        """The properties that stand here (section 2.2.2)."""
        length = self.varint()
        behind = self.at + length
        if behind > self.end:
            raise CutOff
        inside = Fields(self.data, self.at, behind)
        self.at = behind
        user: list[tuple[bytes, bytes]] = []
        correlation, alias = b"", 0
        for _ in range(MOST_PROPERTIES):
            if not inside.left:
                break
            kind = inside.number(1)
            if kind in FIXED:
                value = inside.number(FIXED[kind])
                alias = value if kind == ALIAS else alias
            elif kind in STRINGS:
                text = inside.text()
                correlation = text if kind == CORRELATION else correlation
            elif kind == USER:
                user.append((inside.text(), inside.text()))
            elif kind == SUBSCRIPTION:
                inside.varint()
            else:
                raise CutOff
        return Properties(user, correlation, alias)


def fixed_header(data: bytes, at: int) -> tuple[int, int, int] | None:
    """First byte, index behind the header, and length of what follows (-1: no header); None: more bytes are needed."""
    length = 0
    for place in range(4):
        index = at + 1 + place
        if index >= len(data):
            return None
        byte = data[index]
        length |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return data[at], index + 1, length
    return data[at], at + 5, -1


def reason(code: int, version: int) -> tuple[str, Result]:
    """A reason code, or a return code before version 5, as word and judgement."""
    if version < 5 and code in RETURN_CODES:
        return RETURN_CODES[code], Result.SERVER_ERROR if code == 3 else Result.CLIENT_ERROR
    if code < 0x80:
        return REASONS.get(code, "ok"), Result.OK
    word = REASONS.get(code, f"0x{code:02x}")
    return word, Result.SERVER_ERROR if code in SERVERS_FAULT else Result.CLIENT_ERROR
