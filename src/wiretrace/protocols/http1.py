"""HTTP/1.0 and HTTP/1.1 (RFC 9112): where messages begin and end, and what an exchange needs to know of them.

Rules of this file:
- Framing is decided as RFC 9112 section 6.3 says, and by nothing else. Bodies are passed over; chunk headers are read.
- A response is framed with the method that it answers, known by counting requests and responses. Once bytes are lost or
  break the rules on either side the count is void for good: then a response that declares a body is in *doubt* until the
  byte behind its head is there. A status line there means that it has no body (it answers HEAD).
- An interim response (1xx) is a message of its own, of role CONTROL: a response starts with its final status line, and 101
  is final.
- Empty lines between messages are CONTROL messages, so that spans tile the stream.
- Behind a request with Upgrade or CONNECT the client's side waits for the answer. 101, or 2xx to CONNECT, ends HTTP here.
- A body that ends with the connection is passed over to the end at once, gaps included; its message is appended by `finish`.
- Of a head that is cut off by a gap, the start line still makes a damaged message: packets are often captured cut short.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from typing import ClassVar

from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Succession, Violation
from wiretrace.protocols.event_stream import EventCounter
from wiretrace.protocols.http1_boundary import boundary_in, likelihood
from wiretrace.protocols.http1_framing import (
    Direction,
    Stage,
    careful_head,
    first_bytes,
    first_chunks,
    pass_over_chunks,
    settle,
    skip_empty_lines,
)
from wiretrace.protocols.http1_head import (
    CHUNKED,
    Fields,
    RequestLine,
    StatusLine,
    cut_request,
    cut_response,
    read_fields,
    read_request_line,
    read_status_line,
)
from wiretrace.protocols.http1_plain import (
    END_OF_HEAD,
    Heads,
    read_plain_requests,
    read_plain_responses,
    read_request_head,
    read_response_head,
)
from wiretrace.protocols.http_semantics import TOO_MANY_OPERATIONS, admitted, operations_of, response_attributes

END_OF_STREAM = 1 << 48
"""How far to pass over a body that ends with the connection: farther than any stream is long."""
UNANSWERED_REQUESTS = 10_000
"""Requests whose methods wait for responses; beyond it responses are framed without knowing what they answer."""

SUCCESSORS = {"websocket": "websocket", "h2c": "http2"}
"""Protocols that take over behind 101, by their word in the Upgrade field."""
UPGRADED_STREAM = 1
"""The stream of HTTP/2 on which a request is answered that asked for the upgrade."""

REQUEST, RESPONSE, OK = Role.REQUEST, Role.RESPONSE, Result.OK

STATUS_AHEAD = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9][ \r\n]")
STATUS_AHEAD_BYTES = 13
REQUEST_AHEAD = re.compile(rb"[A-Z]{3,16} [^\x00-\x20\x7f]+ HTTP/1\.[01]\r?\n")


class Http1(Protocol):
    """One connection of HTTP/1."""

    name: ClassVar[str] = "http"
    ports: ClassVar[frozenset[int]] = frozenset({80, 591, 3000, 5000, 8000, 8008, 8080, 8081, 8088, 8888, 9090})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._client = Direction()
        self._server = Direction()
        self._asked = 0
        self._answered = 0
        self._counted = all(context.started)
        """Whether the nth response answers the nth request for sure."""
        self._methods: deque[bytes] = deque()
        """Methods of the requests that were read and not answered yet."""
        self._waits_for = 0
        """The client's side goes on when this many responses were read; 0: it does not wait."""
        self._asked_connect = False
        self._upgrading: Message | None = None
        """The last request that asked for an upgrade."""
        self._operations = operations_of(context)
        """Operations seen on all connections."""
        heads = context.shared.get("heads")
        if heads is None:
            heads = (
                Heads(functools.partial(read_request_head, keep_values=context.keep_values)),
                Heads(read_response_head),
            )
            context.shared["heads"] = heads
        assert isinstance(heads, tuple)
        self._request_heads, self._response_heads = heads
        self._switched: tuple[str, int] | None = None
        """The server left HTTP: the next protocol, and its stream offset on the server's side."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """A request or status line at the start is unmistakable; one behind the rest of a message is likely."""
        return likelihood(client, server)

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read messages; see the contract."""
        direction = (self._client, self._server)[side]
        if side is Side.SERVER and direction.finished:
            return at
        try:
            read = self._read_requests(data, at, base) if side is Side.CLIENT else self._read_responses(data, at, base)
        except Violation:
            self._stop_counting()
            if direction.padding >= 0:
                settle(direction, (self.requests, self.responses)[side], direction.reached)
            raise
        direction.reached = base + min(read, len(data))
        return read

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """The first start line that can be trusted; see `http1_boundary`."""
        (self._client, self._server)[side].forget()
        return boundary_in(side, data, at)

    def lost(self, side: Side, start: int, end: int) -> None:
        """Finish what was under construction, and stop counting."""
        self._stop_counting()
        direction = (self._client, self._server)[side]
        self._give_up(side, direction, start)
        direction.reached = end
        if side is Side.CLIENT:
            self._waits_for = 0
        self._succeed()

    def finish(self, side: Side, offset: int) -> None:
        """Finish what ends with the connection, and what is cut off by its end."""
        direction = (self._client, self._server)[side]
        message, fields = direction.building, direction.fields
        if message is not None and fields is not None and direction.stage is Stage.DOUBT:
            if self._methods:
                self._answered += 1
                self._frame(message, fields, self._methods.popleft(), b"", 0, message.end)
            else:
                message.notes = (*message.notes, "whether a body belongs to it is not known")
                direction.stage = Stage.CLOSE
        if direction.building is not None and direction.stage is Stage.CLOSE:
            direction.building.end = offset
            self.responses.append(direction.building)
            direction.building = None
        self._give_up(side, direction, offset)
        direction.reached = offset
        direction.finished = True
        self._succeed()

    def _read_requests(self, data: bytes, at: int, base: int) -> int:
        direction, size, requests, operations = self._client, len(data), self.requests, self._operations
        room, keep_values, most = self.context.value_bytes, self.context.keep_values, self.context.unparsed_bytes
        while at < size:
            if direction.building is not None:
                at = pass_over_chunks(direction, requests, data, at, base, most)
                if direction.building is not None:
                    return at
                if self._waits_for:
                    direction.reached = base + at
                    self._succeed()
                continue
            if self._waits_for:
                if self._must_wait(data, at):
                    return at
            elif self._switched is None and direction.begins(base + at):
                methods = self._methods if self._counted and self._asked >= self._answered else deque[bytes]()
                waiting = len(methods)
                at = read_plain_requests(
                    self._request_heads, operations, data, at, base, room, requests, methods, UNANSWERED_REQUESTS
                )
                self._asked += len(methods) - waiting
                if at >= size:
                    return at
            if data[at] in b"\r\n":
                at = skip_empty_lines(direction, data, at, base)
                continue
            search_at = direction.searched - base
            end = data.find(END_OF_HEAD, search_at if search_at > at else at)
            line: RequestLine | None = None
            fields: Fields | None = None
            if end >= 0:
                first, _, rest = data[at:end].partition(b"\r\n")
                line, fields = read_request_line(first, keep_values), read_fields(rest)
                body = end + 4
            if line is None or fields is None:
                head = careful_head(Side.CLIENT, direction, data, at, base, most)
                if head is None:
                    return at
                line = read_request_line(head[0], keep_values)
                fields = read_fields(head[1])
                if line is None or fields is None:
                    raise Violation("not a request line")
                body = head[2]
            if direction.padding >= 0 or direction.cut is not None:
                settle(direction, requests, base + at)
            target = line.target
            length = fields.length
            values = target.values
            attributes = line.attributes_for(fields.host, fields.user_agent)
            if length > 0 and not fields.opaque:
                values = values[:room] + b" " + first_bytes(fields, data, body, room)
            operation = target.operation
            if operation not in operations:
                operation = admitted(operation, operations)
            message = Message(
                REQUEST,
                base + at,
                base + body + (length if length > 0 else 0),
                operation,
                target.summary,
                "",
                OK,
                True,
                -1,
                fields.damaged,
                values[:room],
                fields.identifiers,
                attributes,
            )
            if fields.notes:
                message.notes = fields.notes
            if operation != target.operation:
                message.notes = (*fields.notes, TOO_MANY_OPERATIONS)
            if self._counted and self._asked >= self._answered:
                self._methods.append(line.method)
                if len(self._methods) > UNANSWERED_REQUESTS:
                    self._stop_counting()
            self._asked += 1
            if length == CHUNKED:
                direction.building, direction.stage, at = message, Stage.CHUNK, body
                if not fields.opaque:
                    message.values = (message.values + b" " + first_chunks(data, body, room, fields.packed))[:room]
            else:
                requests.append(message)
                at = message.end - base
            if fields.upgrade or line.method == b"CONNECT" or self._switched is not None:
                self._waits_for = self._asked if self._counted else self._answered + 1
                self._asked_connect = line.method == b"CONNECT"
                self._upgrading = message
                if length != CHUNKED:
                    direction.reached = message.end
                    self._succeed()
        return at

    def _read_responses(self, data: bytes, at: int, base: int) -> int:
        direction, size, responses = self._server, len(data), self.responses
        room, most = self.context.value_bytes, self.context.unparsed_bytes
        while at < size:
            if self._switched is not None:
                return at
            if direction.building is not None:
                if direction.stage is Stage.CLOSE:
                    return at + END_OF_STREAM
                if direction.stage is Stage.DOUBT:
                    at = self._settle_doubt(data, at, base)
                    if direction.building is not None and direction.stage is Stage.DOUBT:
                        return at
                else:
                    at = pass_over_chunks(direction, responses, data, at, base, most)
                    if direction.building is not None:
                        return at
                continue
            if direction.begins(base + at):
                waiting = len(self._methods)
                at = read_plain_responses(self._response_heads, data, at, base, room, responses, self._methods)
                self._answered += waiting - len(self._methods)
                if at >= size:
                    return at
            if data[at] in b"\r\n":
                at = skip_empty_lines(direction, data, at, base)
                continue
            search_at = direction.searched - base
            end = data.find(END_OF_HEAD, search_at if search_at > at else at)
            line: StatusLine | None = None
            fields: Fields | None = None
            if end >= 0:
                first, _, rest = data[at:end].partition(b"\r\n")
                line, fields = read_status_line(first), read_fields(rest)
                body = end + 4
            if line is None or fields is None:
                head = careful_head(Side.SERVER, direction, data, at, base, most)
                if head is None:
                    return at
                line = read_status_line(head[0])
                fields = read_fields(head[1])
                if line is None or fields is None:
                    raise Violation("not a status line")
                body = head[2]
            if direction.padding >= 0 or direction.cut is not None:
                settle(direction, responses, base + at)
            code, status, result = line
            if code < 200 and code != 101:
                responses.append(Message(Role.CONTROL, base + at, base + body))
                at = body
                continue
            length = fields.length
            message = Message(
                RESPONSE,
                base + at,
                base + body,
                "",
                "",
                status,
                result,
                True,
                -1,
                fields.damaged,
                b"" if fields.opaque or not length else first_bytes(fields, data, body, room),
                fields.identifiers,
                response_attributes(code),
            )
            if fields.notes:
                message.notes = fields.notes
            at = body
            if self._methods:
                self._answered += 1
                at = self._frame(message, fields, self._methods.popleft(), data, at, base)
            elif code in (101, 204, 304) or not length:
                self._answered += 1
                at = self._frame(message, fields, b"", data, at, base)
            else:
                direction.building, direction.stage, direction.fields = message, Stage.DOUBT, fields
                at = self._settle_doubt(data, at, base)
                if direction.building is not None and direction.stage is Stage.DOUBT:
                    return at
        return at

    def _frame(self, message: Message, fields: Fields, method: bytes, data: bytes, at: int, base: int) -> int:
        """Decide where the response ends (RFC 9112 section 6.3); `at` is behind its head, `method` is b"" if unknown."""
        direction, length, status = self._server, fields.length, message.status
        direction.building = None
        if status == "101" or (method == b"CONNECT" and status[0] == "2"):
            message.values = b""
            protocol = SUCCESSORS.get(fields.upgrade, "") if status == "101" else ""
            if protocol == "http2" and self._upgrading is not None:
                # The answer comes on stream 1 of HTTP/2 (RFC 7540 section 3.2): this is an interim response.
                message.role, self._upgrading.key = Role.CONTROL, UPGRADED_STREAM
            self.responses.append(message)
            self._switched = (protocol, base + at)
            direction.reached = base + at
            self._succeed()
            return at
        if method == b"HEAD" or status in ("204", "304") or length == 0:
            message.values = b""
            self.responses.append(message)
            return at
        if length > 0:
            message.end = base + at + length
            self.responses.append(message)
            return at + length
        direction.building = message
        direction.stage = Stage.CHUNK if length == CHUNKED else Stage.CLOSE
        direction.events = EventCounter() if fields.events and length == CHUNKED else None
        if length == CHUNKED and not fields.opaque:
            message.values = first_chunks(data, at, self.context.value_bytes, fields.packed)
        return at

    def _settle_doubt(self, data: bytes, at: int, base: int) -> int:
        """Frame the response in doubt once its method, or the bytes at `at`, behind its head, tell how."""
        direction = self._server
        message, fields = direction.building, direction.fields
        if message is None or fields is None:
            return at
        method = b""
        if self._methods:
            method = self._methods.popleft()
        else:
            there = len(data) - at
            if there <= 0 or (there < STATUS_AHEAD_BYTES and b"HTTP/1.".startswith(data[at : at + min(there, 7)])):
                return at
            if STATUS_AHEAD.match(data, at):
                method = b"HEAD"
        self._answered += 1
        return self._frame(message, fields, method, data, at, base)

    def _give_up(self, side: Side, direction: Direction, offset: int) -> None:
        """Append what was under construction as it stands, damaged, and ended at `offset`."""
        messages = (self.requests, self.responses)[side]
        message = direction.building
        if message is None and direction.cut is not None:
            start, line, whole = direction.cut
            if direction.padding >= 0:
                settle(direction, messages, start)
            if side is Side.CLIENT:
                message = cut_request(start, line, whole, self.context.keep_values)
            else:
                message = cut_response(start, line)
        if message is not None:
            message.end, message.damaged = max(offset, message.start), True
            if direction.events is not None:
                message.attributes = direction.events.told(message.attributes)
            messages.append(message)
        elif direction.padding >= 0:
            settle(direction, messages, offset)
        direction.forget()

    def _must_wait(self, data: bytes, at: int) -> bool:
        """Whether the client's side still waits for the answer to Upgrade or CONNECT."""
        if self._switched is not None:
            return True
        refused = not self._asked_connect and REQUEST_AHEAD.match(data, at) is not None
        if refused or self._answered >= self._waits_for or self._server.finished:
            self._waits_for = 0
            return False
        return True

    def _succeed(self) -> None:
        """Hand the connection over if the server left HTTP and the client's side is where it leaves it, or will never be."""
        if self._switched is None or self.succession is not None:
            return
        client = self._client
        there = self._waits_for and self._answered >= self._waits_for and client.building is None
        if there or client.finished or not self._counted:
            protocol, server_offset = self._switched
            self.succession = Succession(protocol, client.reached, server_offset, self._upgrading if protocol else None)

    def _stop_counting(self) -> None:
        self._counted = False
        self._methods.clear()
