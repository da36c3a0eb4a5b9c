"""What both directions of a TLS connection know together: the hellos, the keys, and how they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.model.limits import Limits
from wiretrace.model.side import Side
from wiretrace.protocols.tls_handshake import (
    CERTIFICATE,
    CLIENT_HELLO,
    ENCRYPTED_EXTENSIONS,
    SERVER_HELLO,
    TLS_1_3,
    ClientHello,
    ServerHello,
    read_certificate,
    read_chosen_protocol,
    read_client_hello,
    read_server_hello,
    version_name,
)
from wiretrace.protocols.tls_key_log import KeyLog
from wiretrace.protocols.tls_unsealing import Unsealer, unsealer_1_2, unsealer_1_3

if TYPE_CHECKING:
    from wiretrace.protocols.contract import Context

KEY_LOG = "key log"
"""Under this name the driver puts the KeyLog into `Context.shared`."""
MOST_LOST_RECORDS = Limits().lost_records
HTTP_1, HTTP_2 = "http/1.1", "h2"


class Session:
    """The connection."""

    def __init__(self, context: Context) -> None:
        log = context.shared.get(KEY_LOG)
        self._log = log if isinstance(log, KeyLog) and len(log) else None
        self.client_hello: ClientHello | None = None
        self.server_hello: ServerHello | None = None
        self.version = 0
        """As the server chose it; 0: not known."""
        self.protocol = ""
        """What ALPN chose, where that is visible."""
        self._subject = ""
        self._names: tuple[str, ...] = ()
        self.keyed: bool | None = None
        """Whether the keys are known; None: it is too early to say."""
        self._attributes: dict[str, str | int] | None = None

    def hear(self, side: Side, kind: int, body: bytes) -> None:
        """Take a handshake message."""
        if kind == CLIENT_HELLO and side is Side.CLIENT:
            self.client_hello = read_client_hello(body) or self.client_hello
        elif kind == SERVER_HELLO and side is Side.SERVER:
            hello = read_server_hello(body)
            if hello is not None:
                self.version = hello.version
                self.protocol = hello.protocol
                self.server_hello = None if hello.retries else hello
        elif kind == ENCRYPTED_EXTENSIONS and side is Side.SERVER:
            self.protocol = read_chosen_protocol(body) or self.protocol
        elif kind == CERTIFICATE and side is Side.SERVER:
            self._subject, self._names = read_certificate(body, self.version)
        else:
            return
        self._attributes = None

    def decide(self) -> None:
        """Both hellos are there, or will never be: find out whether the keys are known."""
        asked, answered, log = self.client_hello, self.server_hello, self._log
        self.keyed = False
        if asked is None or answered is None or log is None or not answered.suite.way:
            return
        self.keyed = all(self.unsealer(side) is not None for side in Side)

    def unsealer(self, side: Side) -> Unsealer | None:
        """What opens the records of a direction from here on; None where the keys are not known."""
        asked, answered, log = self.client_hello, self.server_hello, self._log
        if asked is None or answered is None or log is None:
            return None
        if self.version >= TLS_1_3:
            return unsealer_1_3(log, side, asked.random, answered.suite, MOST_LOST_RECORDS)
        return unsealer_1_2(
            log, side, (asked.random, answered.random), answered.suite, self.version, MOST_LOST_RECORDS,
            encrypt_then_mac=answered.encrypt_then_mac,
        )  # fmt: skip

    @property
    def may_be_http2(self) -> bool:
        """Whether HTTP/2 was chosen, or was offered by the client and what was chosen is encrypted."""
        if self.version >= TLS_1_3 and not self.protocol and self.client_hello is not None:
            return HTTP_2 in self.client_hello.protocols
        return self.protocol == HTTP_2

    @property
    def may_be_http1(self) -> bool:
        """Whether the client offered HTTP/1.1, or a server chose it."""
        return self.protocol == HTTP_1 or (self.client_hello is not None and HTTP_1 in self.client_hello.protocols)

    def named(self, operation: str, word: str) -> str:
        """'operation word NAME', with the name that the client asked for, if it asked for one."""
        name = self.client_hello.server_name if self.client_hello is not None else ""
        return f"{operation} {word} {name}" if name else operation

    def attributes(self) -> dict[str, str | int]:
        """OpenTelemetry attributes of the connection: one dict for all who ask, until more is known."""
        if self._attributes is None:
            self._attributes = self._told()
        return self._attributes

    def _told(self) -> dict[str, str | int]:
        found: dict[str, str | int] = {}
        asked, answered = self.client_hello, self.server_hello
        if asked is not None and asked.server_name:
            found["server.address"] = asked.server_name
        if self.version:
            found["tls.protocol.version"] = version_name(self.version)
        if answered is not None:
            found["tls.cipher"] = answered.suite.name
            if asked is not None:
                by_session = self.version < TLS_1_3 and bool(answered.session) and answered.session == asked.session
                found["tls.resumed"] = answered.resumed or by_session
        if self.protocol:
            found["tls.next_protocol"] = self.protocol
        if self._subject:
            found["tls.server.subject"] = f"CN={self._subject}"
        if self._names:
            found["wiretrace.tls.server.names"] = " ".join(self._names)
        return found
