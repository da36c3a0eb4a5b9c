"""What happened to an exchange. Values are fixed: they appear in every output and in users' scripts."""

import enum


class Outcome(enum.StrEnum):
    """What happened to an exchange, proved by its frames.

    Listed as in the design, section 6. They map onto Zeek's ``conn_state`` and OpenTelemetry's ``error.type``.
    """

    OK = "ok"
    """The server answered, and its answer is not an error."""
    ERROR = "error"
    """The server answered with an error: HTTP 4xx or 5xx, an SQL error, an error reply."""
    REQUEST_LOST = "request_lost"
    """The request was sent and never reached the server."""
    RESPONSE_LOST = "response_lost"
    """The server answered and the answer never reached the client."""
    SERVER_SILENT = "server_silent"
    """The server's host acknowledged the request and never answered it."""
    SERVER_RESET = "server_reset"
    """The server's end reset the connection before it had answered in full."""
    SERVER_CLOSED = "server_closed"
    """The server's end closed the connection in order before it had answered in full."""
    CLIENT_ABORTED = "client_aborted"
    """The client's end closed or reset the connection before the answer was complete."""
    CLIENT_TIMEOUT = "client_timeout"
    """The client gave up after a wait that it shows again and again."""
    REFUSED = "refused"
    """The server's host refused the connection."""
    UNREACHABLE = "unreachable"
    """Nobody answered the attempt to connect."""
    TLS_FAILED = "tls_failed"
    """The TLS handshake failed."""
    DNS_FAILED = "dns_failed"
    """The name of the server could not be looked up."""
    MALFORMED = "malformed"
    """A message breaks the rules of its protocol."""
    UNFINISHED = "unfinished"
    """The capture ended before the answer did."""
    NOT_CAPTURED = "not_captured"
    """The other half happened, and the capture lacks it."""
