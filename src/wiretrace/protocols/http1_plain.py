"""Runs of plain HTTP/1 messages, read in tight loops: what `Http1` reads one by one, where heads repeat.

Rules: a head is *plain* once it was read and nothing about it asks for care: nothing is noted or damaged, it changes no
protocol, and a body has a declared length and values that can be taken as they stand. What is not plain ends the run and is
left to `Http1`. Messages are exactly those that `Http1` makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from wiretrace.model.message import Message, Result, Role
from wiretrace.protocols.http1_head import UNDECLARED, read_fields, read_request_line, read_status_line
from wiretrace.protocols.http_semantics import response_attributes

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from wiretrace.model.identifier import IdentifierKind
    from wiretrace.protocols.http1_head import Fields, RequestLine, StatusLine

END_OF_HEAD = b"\r\n\r\n"
REPEATED_HEADS = 8192
"""Heads of requests, and of responses, that are remembered; beyond it all are forgotten."""
REPEATED_HEAD_BYTES = 1024
"""Longest head that is remembered."""

Plain = TypeVar("Plain", "PlainRequest", "PlainResponse")

_REQUEST, _RESPONSE, _OK = Role.REQUEST, Role.RESPONSE, Result.OK


class PlainRequest(NamedTuple):
    """What a head makes of a request."""

    operation: str
    summary: str
    values: bytes
    length: int
    """Of the body."""
    readable: bool
    """Whether there is a body that lends values."""
    identifiers: tuple[tuple[IdentifierKind, bytes], ...]
    attributes: dict[str, str | int]
    method: bytes


class PlainResponse(NamedTuple):
    """What a head makes of a response that has a body."""

    status: str
    result: Result
    length: int
    readable: bool
    identifiers: tuple[tuple[IdentifierKind, bytes], ...]
    attributes: dict[str, str | int]


class Heads(dict[bytes, Plain | None], Generic[Plain]):
    """Heads on all connections, by their bytes, and what each makes of a message; None where it is not plain."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[bytes], Plain | None]) -> None:
        """`read` says what a head makes of a message."""
        super().__init__()
        self._read: Callable[[bytes], Plain | None] = read

    def __missing__(self, head: bytes) -> Plain | None:
        plain = self._read(head)
        if len(head) <= REPEATED_HEAD_BYTES:
            if len(self) >= REPEATED_HEADS:
                self.clear()
            self[head] = plain
        return plain


def read_request_head(head: bytes, keep_values: bool) -> PlainRequest | None:
    """What a head, without the empty line behind it, makes of a request."""
    first, _, rest = head.partition(b"\r\n")
    line, fields = read_request_line(first, keep_values), read_fields(rest)
    return None if line is None or fields is None else plain_request(line, fields)


def read_response_head(head: bytes) -> PlainResponse | None:
    """What a head, without the empty line behind it, makes of a response."""
    first, _, rest = head.partition(b"\r\n")
    line, fields = read_status_line(first), read_fields(rest)
    return None if line is None or fields is None else plain_response(line, fields)


def plain_request(line: RequestLine, fields: Fields) -> PlainRequest | None:
    """What the head of these parts makes of a request; None where it is not plain."""
    careful = fields.notes or fields.damaged or fields.upgrade or fields.packed or line.method == b"CONNECT"
    if careful or fields.length < UNDECLARED:
        return None
    target, length = line.target, max(fields.length, 0)
    readable = length > 0 and not fields.opaque
    attributes = line.attributes_for(fields.host, fields.user_agent)
    return PlainRequest(
        target.operation, target.summary, target.values, length, readable, fields.identifiers, attributes, line.method
    )


def plain_response(line: StatusLine, fields: Fields) -> PlainResponse | None:
    """The same of a response. Without a body to pass over, or with one that may not come, it is not plain."""
    if (
        fields.notes
        or fields.damaged
        or fields.packed
        or fields.length <= 0
        or line.code < 200
        or line.code in (204, 304)
    ):
        return None
    attributes = response_attributes(line.code)
    return PlainResponse(line.status, line.result, fields.length, not fields.opaque, fields.identifiers, attributes)


def read_plain_requests(
    heads: Heads[PlainRequest],
    operations: set[str],
    data: bytes,
    at: int,
    base: int,
    room: int,
    requests: list[Message],
    methods: deque[bytes],
    most: int,
) -> int:
    """Append the requests from `at` on to `requests`, and their methods to `methods` until these are `most`.

    `operations` are those that were admitted; what asks for another one is not plain. `room` is how many bytes of values
    are kept. Returns the index behind the last request, perhaps behind the data.
    """
    size, find, append, answered = len(data), data.find, requests.append, methods.append
    left = most - len(methods)
    while at < size and left > 0:
        end = find(END_OF_HEAD, at)
        plain = heads[data[at:end]] if end >= 0 else None
        if plain is None:
            break
        operation, summary, values, length, readable, identifiers, attributes, method = plain
        if operation not in operations:
            break
        behind = end + 4 + length
        if readable:
            values = values[:room] + b" " + data[end + 4 : end + 4 + room if length > room else behind]
        append(
            Message(
                _REQUEST,
                base + at,
                base + behind,
                operation,
                summary,
                "",
                _OK,
                True,
                -1,
                False,
                values[:room],
                identifiers,
                attributes,
            )
        )
        answered(method)
        left -= 1
        at = behind
    return at


def read_plain_responses(
    heads: Heads[PlainResponse],
    data: bytes,
    at: int,
    base: int,
    room: int,
    responses: list[Message],
    methods: deque[bytes],
) -> int:
    """Append the responses from `at` on, as many as `methods`, which they use up, says what they answer."""
    size, find, append = len(data), data.find, responses.append
    while at < size and methods:
        end = find(END_OF_HEAD, at)
        plain = heads[data[at:end]] if end >= 0 else None
        if plain is None or methods[0] in (b"HEAD", b"CONNECT"):
            break
        status, result, length, readable, identifiers, attributes = plain
        behind = end + 4 + length
        append(
            Message(
                _RESPONSE,
                base + at,
                base + behind,
                "",
                "",
                status,
                result,
                True,
                -1,
                False,
                data[end + 4 : end + 4 + room if length > room else behind] if readable else b"",
                identifiers,
                attributes,
            )
        )
        methods.popleft()
        at = behind
    return at
