"""DNS over TCP (RFC 1035 section 4.2.2, RFC 7766) and over UDP, and what has its form: mDNS, LLMNR, NetBIOS names.

Rules: a query and a response belong together where their numbers and their questions are equal; over TCP they may come in
any order, and several responses (a zone transfer) may have one number: the first is the response, the others go with it.
What asks everybody on a link is answered by whoever knows, from an address that was not asked: such a question is one-way,
and such an answer a push.
"""

from __future__ import annotations

import re
from typing import ClassVar

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, DatagramProtocol, Protocol, Violation
from wiretrace.protocols.dns_message import (
    HEADER_BYTES,
    QUESTION_BITS,
    RESPONSE,
    looks_like_message,
    plausible_header,
    read_message,
    skip_name,
)

DNS_PORT, MDNS_PORT, LLMNR_PORT, NETBIOS_PORT = 53, 5353, 5355, 137
LENGTH_BYTES = 2
LEAST_BYTES = HEADER_BYTES + 5
"""Bytes of a message with the shortest question."""
FLAGS_AT = 2
PENDING_MESSAGES = Limits().pending_messages
BROADCAST = 0x0010
"""Flag of NetBIOS: the question is sent to all (RFC 1002 section 4.2.1.1)."""
NETBIOS_OPERATIONS = {
    0: "NB query",
    5: "NB register",
    6: "NB release",
    7: "NB wait",
    8: "NB refresh",
    9: "NB refresh",
    15: "NB register",
}
"""Opcodes of RFC 1002 section 4.2.1.1 (and 15, the registration of a name with several addresses)."""
NETBIOS_NAME = re.compile(rb"\x20([A-P]{32})\x00")
"""A name in half bytes, each as a letter from A on (RFC 1001 section 14.1)."""


class Dns(Protocol):
    """One TCP connection to a name server."""

    name = "dns"
    ports: ClassVar[frozenset[int]] = frozenset({DNS_PORT})
    blocking = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._answered: set[int] = set()
        """Keys of questions that the server has begun to answer, at most as many as messages may wait."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """A whole message behind its length is likely, one on each side with one number unmistakable."""
        asks, answers = _opens(client, 0), _opens(server, RESPONSE)
        if asks is None or answers is None:
            return 0.0
        if asks and answers:
            return 1.0
        return 0.8 if asks or answers else 0.0

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read message after message; each stands behind its length."""
        while len(data) - at >= LENGTH_BYTES:
            size = data[at] << 8 | data[at + 1]
            begin, end = at + LENGTH_BYTES, at + LENGTH_BYTES + size
            if size < HEADER_BYTES:
                raise Violation("a message without a header")
            if len(data) < begin + HEADER_BYTES:
                break
            if not plausible_header(data, begin, size) or (data[begin + FLAGS_AT] >> 7) != side:
                raise Violation("not the header of a message")
            if end > len(data):
                break
            message = read_message(data, begin, end, base + begin, self.context.keep_values)
            if message is None:
                raise Violation("a question that can not be read")
            message.start = base + at
            self._append(side, message)
            at = end
        return at

    def _append(self, side: Side, message: Message) -> None:
        if side is Side.CLIENT:
            self._answered.discard(message.key)
            self.requests.append(message)
            return
        if message.key in self._answered:
            message.role = Role.CONTROL
        elif len(self._answered) < PENDING_MESSAGES:
            self._answered.add(message.key)
        self.responses.append(message)

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """A length with the whole message behind it."""
        for start in range(at, len(data) - LENGTH_BYTES - LEAST_BYTES + 1):
            begin = start + LENGTH_BYTES
            end = begin + (data[start] << 8 | data[start + 1])
            if (
                end <= len(data)
                and end - begin >= LEAST_BYTES
                and data[begin + FLAGS_AT] >> 7 == side
                and looks_like_message(data[begin:end])
            ):
                return start
        return None

    def lost(self, side: Side, start: int, end: int) -> None:
        """Nothing to forget: a message that is not whole was never read."""

    def finish(self, side: Side, offset: int) -> None:
        """Nothing ends with the connection."""


def _opens(data: bytes, response: int) -> bool | None:
    """Whether a direction begins with a message of its side; False where there is too little of it; None if it does not."""
    if len(data) < LENGTH_BYTES + HEADER_BYTES:
        return False if not data or _may_begin(data) else None
    size = data[0] << 8 | data[1]
    if size < LEAST_BYTES or (data[LENGTH_BYTES + FLAGS_AT] << 8) & RESPONSE != response:
        return None
    if not plausible_header(data, LENGTH_BYTES, size):
        return None
    if len(data) >= LENGTH_BYTES + size:
        return True if looks_like_message(data[LENGTH_BYTES : LENGTH_BYTES + size], exact=False) else None
    return True if skip_name(data, LENGTH_BYTES + HEADER_BYTES, len(data)) > 0 else None


def _may_begin(data: bytes) -> bool:
    """Whether so few bytes can be the beginning of a message: its length alone may come first (RFC 7766 section 8)."""
    return len(data) <= LENGTH_BYTES and (len(data) < LENGTH_BYTES or data[0] << 8 | data[1] >= LEAST_BYTES)


class DnsDatagrams(DatagramProtocol):
    """A resolver and its clients over UDP."""

    name = "dns"
    ports: ClassVar[frozenset[int]] = frozenset({DNS_PORT})
    detail_bits = QUESTION_BITS

    @classmethod
    def probe(cls, datagram: bytes, ports: tuple[int, int]) -> float:
        """A message that fits the datagram is likely on any port; on the port of DNS a header and a question are enough."""
        if DNS_PORT not in ports and not {MDNS_PORT, LLMNR_PORT, NETBIOS_PORT}.isdisjoint(ports):
            return 0.0
        if DNS_PORT in ports:
            return 0.9 if _is_readable(datagram) else 0.0
        return 0.9 if looks_like_message(datagram) else 0.0

    def read(self, datagram: bytes, length: int) -> Message | None:
        """One message a datagram."""
        return read_message(datagram, 0, length, 0, self.context.keep_values)


class MulticastDns(DatagramProtocol):
    """Names of a link without a server (RFC 6762)."""

    name = "mdns"
    ports: ClassVar[frozenset[int]] = frozenset({MDNS_PORT})

    @classmethod
    def probe(cls, datagram: bytes, ports: tuple[int, int]) -> float:
        """The port is part of the protocol (RFC 6762 section 3)."""
        return 0.9 if MDNS_PORT in ports and DNS_PORT not in ports and _is_readable(datagram) else 0.0

    def read(self, datagram: bytes, length: int) -> Message | None:
        """One message a datagram."""
        return _to_everybody(read_message(datagram, 0, length, 0, self.context.keep_values), "announce")


class Llmnr(DatagramProtocol):
    """Names of a link as Windows asks for them (RFC 4795)."""

    name = "llmnr"
    ports: ClassVar[frozenset[int]] = frozenset({LLMNR_PORT})

    @classmethod
    def probe(cls, datagram: bytes, ports: tuple[int, int]) -> float:
        """The port is part of the protocol (RFC 4795 section 2)."""
        return 0.9 if LLMNR_PORT in ports and _is_readable(datagram) else 0.0

    def read(self, datagram: bytes, length: int) -> Message | None:
        """One message a datagram."""
        return _to_everybody(read_message(datagram, 0, length, 0, self.context.keep_values), "answer")


class NetbiosNames(DatagramProtocol):
    """The name service of NetBIOS (RFC 1002 section 4.2)."""

    name = "nbns"
    ports: ClassVar[frozenset[int]] = frozenset({NETBIOS_PORT})

    @classmethod
    def probe(cls, datagram: bytes, ports: tuple[int, int]) -> float:
        """A name in half bytes behind the header, on the port of the service."""
        return 0.9 if NETBIOS_PORT in ports and _netbios_name(datagram) is not None else 0.0

    def read(self, datagram: bytes, length: int) -> Message | None:
        """One message a datagram. What is asked of all asks for nothing from the address that it is sent to."""
        name = _netbios_name(datagram)
        if name is None:
            return None
        flags = datagram[FLAGS_AT] << 8 | datagram[FLAGS_AT + 1]
        opcode = flags >> 11 & 0xF
        operation = NETBIOS_OPERATIONS.get(opcode, NETBIOS_OPERATIONS[0])
        everybody = bool(flags & BROADCAST)
        role = Role.RESPONSE if flags & RESPONSE else Role.ONE_WAY if everybody else Role.REQUEST
        number = datagram[0] << 8 | datagram[1]
        message = Message(role, 0, length, operation=operation, summary=f"{operation} {name}", key=number)
        if role is Role.RESPONSE:
            code = flags & 0xF
            message.status = "OK" if not code else f"error {code}"
            message.result = Result.CLIENT_ERROR if code else Result.OK
        else:
            message.attributes = {"dns.question.name": name}
        return message


def _is_readable(datagram: bytes) -> bool:
    """Whether a datagram begins as a message does, and its question can be read."""
    return read_message(datagram, 0, len(datagram), 0, False) is not None


def _to_everybody(message: Message | None, answers: str) -> Message | None:
    """A question to all is one-way; an answer that may be to another question is a push, called `answers`."""
    if message is None:
        return None
    if message.role is Role.REQUEST:
        message.role = Role.ONE_WAY
    else:
        message.role = Role.PUSH
        message.summary = f"{answers} {message.summary.partition(' ')[2]}".rstrip()
        message.operation = answers
    return message


def _netbios_name(datagram: bytes) -> str | None:
    """The name that a NetBIOS message is about, without the byte that says what kind of name it is."""
    found = NETBIOS_NAME.match(datagram, HEADER_BYTES)
    if found is None:
        return None
    halves = found[1]
    name = bytes((halves[at] - 0x41) << 4 | (halves[at + 1] - 0x41) for at in range(0, len(halves), 2))
    return name[:-1].decode("latin-1").rstrip() or "*"
