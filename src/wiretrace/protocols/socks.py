"""SOCKS 4, 4a and 5 (RFC 1928, RFC 1929; SOCKS4.protocol): a client asks a proxy for a connection, and goes on inside it.

Rules: asking for the connection is an exchange; the choice of a method and a login before it are bytes of no exchange, and
credentials are neither shown nor handed on. Behind the proxy's consent the connection speaks whatever it was asked for,
which is found out by its bytes; where it leads is told of every request inside.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar

from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Succession, Violation

VERSION_4, VERSION_5, LOGIN = 4, 5, 1
COMMANDS = {1: "CONNECT", 2: "BIND", 3: "UDP ASSOCIATE"}
METHODS = frozenset({0, 1, 2, 3, 5, 6, 7, 8, 9, 0x80, 0x82, 0xFF})
"""Methods that clients offer (IANA SOCKS Methods), and some private ones."""
MOST_METHODS = 10
USER_AND_PASSWORD = 2
IPV4, NAME, IPV6 = 1, 3, 4
REPLIES_5 = (
    "succeeded", "general failure", "not allowed", "network unreachable", "host unreachable", "connection refused",
    "TTL expired", "command not supported", "address type not supported",
)  # fmt: skip
"""RFC 1928 section 6."""
REPLIES_4 = {90: "granted", 91: "rejected", 92: "rejected: no identd", 93: "rejected: another user"}
CLIENT_ERRORS = frozenset({2, 7, 8, 92, 93})
LONGEST_TEXT = 256
"""Bytes of a user's or a host's name of version 4 that are believed."""


class Socks(Protocol):
    """One connection to a SOCKS proxy, up to its consent."""

    name = "socks"
    ports: ClassVar[frozenset[int]] = frozenset({1080, 9050})
    reversible = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._version = 0
        self._step = [0, 0]
        """By side: messages read."""
        self._logs_in: bool | None = None
        """Whether the server chose a login; None: it has not chosen yet."""
        self._command = 0
        self._destination = ""
        self._asked = -1
        """Stream offset behind the client's request."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """An offer of methods with a choice of one of them, or a request of version 4 with its answer."""
        if client[:1] == b"\x05" and len(client) >= 3 and 1 <= client[1] <= MOST_METHODS:
            offered = client[2 : 2 + client[1]]
            if not METHODS.issuperset(offered):
                return 0.0
            if len(server) >= 2:
                return 0.95 if server[0] == VERSION_5 and (server[1] in offered or server[1] == 0xFF) else 0.0
            return 0.55 if len(client) == 2 + len(offered) and not server else 0.0
        if client[:1] == b"\x04" and len(client) >= 9 and client[1] in (1, 2) and _text_end(client, 8) > 0:
            if server:
                return 0.95 if server[0] == 0 and len(server) >= 2 and server[1] in REPLIES_4 else 0.0
            return 0.55
        return 0.0

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read one message after the other; each side waits where it needs the other's word."""
        while at < len(data) and self.succession is None:
            if not self._version:
                if side is Side.SERVER:
                    return at
                self._version = data[at]
                if self._version not in (VERSION_4, VERSION_5):
                    raise Violation("not a version of SOCKS")
            reader = (self._client, self._server)[side]
            end = reader(data, at, base)
            if end == at:
                return at
            self._step[side] += 1
            at = end
        return at

    def _client(self, data: bytes, at: int, base: int) -> int:
        """Offer, login, request; the index behind what was read, or `at`."""
        if self._asked >= 0:
            return at
        if self._version == VERSION_4:
            return self._request_4(data, at, base)
        if self._step[Side.CLIENT] == 0:
            end = at + 2 + data[at + 1] if len(data) >= at + 2 else len(data) + 1
            return self._control(Side.CLIENT, data, at, end, base)
        if self._logs_in is None:
            return at
        if self._logs_in and self._step[Side.CLIENT] == 1:
            # RFC 1929: version, length and name, length and password.
            if len(data) < at + 2 or len(data) < at + 3 + data[at + 1]:
                return at
            name_end = at + 2 + data[at + 1]
            return self._control(Side.CLIENT, data, at, name_end + 1 + data[name_end], base)
        return self._request_5(data, at, base)

    def _server(self, data: bytes, at: int, base: int) -> int:
        """Choice, consent to the login, reply; the index behind what was read, or `at`."""
        if self._version == VERSION_5:
            if self._step[Side.SERVER] == 0:
                end = self._control(Side.SERVER, data, at, at + 2, base)
                if end > at:
                    self._logs_in = data[at + 1] == USER_AND_PASSWORD
                return end
            if self._logs_in and self._step[Side.SERVER] == 1:
                return self._control(Side.SERVER, data, at, at + 2, base)
        if self._asked < 0:
            return at
        if self._version == VERSION_4:
            if len(data) < at + 8:
                return at
            code, end = data[at + 1], at + 8
            return self._reply(code, REPLIES_4.get(code, f"code {code}"), code == 90, at, end, base)
        end = _address_end(data, at + 3)
        if end < 0 or end + 2 > len(data):
            return at
        if data[at] != VERSION_5:
            raise Violation("not a reply of SOCKS 5")
        code = data[at + 1]
        word = REPLIES_5[code] if code < len(REPLIES_5) else f"code {code}"
        return self._reply(code, word, code == 0, at, end + 2, base)

    def _control(self, side: Side, data: bytes, at: int, end: int, base: int) -> int:
        """A message that is part of no exchange, if all of it is there."""
        if end > len(data):
            return at
        (self.requests, self.responses)[side].append(Message(Role.CONTROL, base + at, base + end))
        return end

    def _request_5(self, data: bytes, at: int, base: int) -> int:
        end = _address_end(data, at + 3)
        if end < 0 or end + 2 > len(data):
            return at
        if data[at] != VERSION_5 or data[at + 1] not in COMMANDS:
            raise Violation("not a request of SOCKS 5")
        port = data[end] << 8 | data[end + 1]
        return self._request(data[at + 1], f"{_address(data, at + 3, end)}:{port}", at, end + 2, base)

    def _request_4(self, data: bytes, at: int, base: int) -> int:
        if len(data) < at + 9:
            return at
        if data[at + 1] not in (1, 2):
            raise Violation("not a request of SOCKS 4")
        end = _text_end(data, at + 8)
        host = str(IPv4Address(data[at + 4 : at + 8]))
        if end > 0 and host.startswith("0.0.0.") and host != "0.0.0.0":
            # Version 4a: the name of the host stands behind that of the user.
            name_at, end = end, _text_end(data, end)
            host = data[name_at : end - 1].decode("ascii", "replace") if end > 0 else ""
        if end <= 0:
            if len(data) - at > 2 * LONGEST_TEXT + 9:
                raise Violation("a name that is too long")
            return at
        return self._request(data[at + 1], f"{host}:{data[at + 2] << 8 | data[at + 3]}", at, end, base)

    def _request(self, command: int, destination: str, at: int, end: int, base: int) -> int:
        self._command, self._destination, self._asked = command, destination, base + end
        operation = COMMANDS[command]
        self.requests.append(
            Message(
                Role.REQUEST,
                base + at,
                base + end,
                operation=operation,
                summary=f"{operation} {destination}",
                values=destination.encode(),
                attributes={"wiretrace.proxy.destination": destination},
            )
        )
        return end

    def _reply(self, code: int, word: str, granted: bool, at: int, end: int, base: int) -> int:
        result = Result.OK if granted else Result.CLIENT_ERROR if code in CLIENT_ERRORS else Result.SERVER_ERROR
        self.responses.append(Message(Role.RESPONSE, base + at, base + end, status=word, result=result))
        if granted and self._command == 1:
            attributes: dict[str, str | int] = {"wiretrace.proxy.destination": self._destination}
            self.succession = Succession("", self._asked, base + end, attributes=attributes)
        return end

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """Nothing tells where a message begins that is not the first."""
        return None

    def lost(self, side: Side, start: int, end: int) -> None:
        """Nothing to forget: a message that is not whole was never read."""

    def finish(self, side: Side, offset: int) -> None:
        """Nothing ends with the connection."""


def _address_end(data: bytes, at: int) -> int:
    """The index behind an address of version 5 (RFC 1928 section 5); -1 where it is not all there."""
    if len(data) < at + 2:
        return -1
    if data[at] == IPV4:
        end = at + 5
    elif data[at] == IPV6:
        end = at + 17
    elif data[at] == NAME:
        end = at + 2 + data[at + 1]
    else:
        raise Violation("not an address of SOCKS 5")
    return end if end <= len(data) else -1


def _address(data: bytes, at: int, end: int) -> str:
    """An address of version 5."""
    if data[at] == IPV4:
        return str(IPv4Address(data[at + 1 : end]))
    if data[at] == IPV6:
        return f"[{IPv6Address(data[at + 1 : end])}]"
    return data[at + 2 : end].decode("ascii", "replace")


def _text_end(data: bytes, at: int) -> int:
    """The index behind a text that ends with a zero byte; 0 where it does not end."""
    return data.find(b"\0", at, at + LONGEST_TEXT) + 1
