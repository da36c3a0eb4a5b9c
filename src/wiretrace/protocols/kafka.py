"""Kafka: requests and responses by correlation id, topics, groups and records.

Rules:

- A response says nothing but its correlation id: what it answers, and how it is laid out, is known from its request. So it
  waits for that, unless bytes of the client are missing; what answers an unknown request is passed over and paired alone.
- Of a message its beginning is read, the rest is passed over. Records are counted by the heads of their batches.
- A produce request with acks=0 asks for nothing. All else is answered, in whatever order brokers like.
"""

from __future__ import annotations

import re
import struct
from typing import ClassVar

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Violation
from wiretrace.protocols.kafka_apis import APIS, HIGHEST_VERSION
from wiretrace.protocols.kafka_messages import CUT_NOTE, Told, Topics, queued, read_request, read_response
from wiretrace.protocols.kafka_wire import CutOff, Fields
from wiretrace.protocols.messaging import operation_on, readable

HEAD = struct.Struct(">iHHih")
"""Of a request: length, API, version, correlation id, length of the client's id (protocol guide, "Request Header v1")."""
LENGTH_BYTES = 4
SHORTEST_REQUEST, SHORTEST_RESPONSE = 10, 4
LONGEST_MESSAGE = 1 << 30
READ_BYTES = 256 << 10
"""Bytes of a message that are read; what follows is passed over."""
LONGEST_CLIENT_ID = 249
WAITING_BYTES = 64 << 10
"""Bytes of responses that wait for their request; beyond it they are taken for answers to none."""
HEAD_AHEAD = re.compile(
    rb"(?=\x00[\x00-\x3f][\x00-\xff]{2}\x00[\x00-\x4f]\x00[\x00-\x18][\x00-\xff]{4}(?:\xff\xff|\x00[\x00-\xf9]))",
    re.DOTALL,
)
"""Where a request may begin."""
PLACES_TRIED = 20_000
OPERATIONS = {"Produce": ("publish", "send"), "Fetch": ("receive", "receive")}
"""Word and type of the operations that carry records."""
LOOKS_LIKE_TEXT = re.compile(rb"[ -~]{1,249}")


class Kafka(Protocol):
    """One connection to a Kafka broker (protocol guide of Kafka 4.0: APIs 0 to 79, flexible versions, record batches and
    message sets).

    Sees produce and fetch with topic, partition, number of records, breadcrumbs in record headers; metadata, offsets and
    groups by name; error codes by name. Does not see: records in compressed batches, which are counted; SASL tokens without
    Kafka's own framing; responses whose request was not captured.
    """

    name: ClassVar[str] = "kafka"
    ports: ClassVar[frozenset[int]] = frozenset({9092, 9093, 9094, 29092})
    blocking: ClassVar[bool] = False
    keyed: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._asked: dict[int, tuple[int, int]] = {}
        """By correlation id: API and version of the requests that wait for their response."""
        self._session: Told | None = None
        """The last fetch request that named topics: those behind it do so only where something changed."""
        self._followed = context.started[Side.CLIENT]
        """Whether every request since the beginning was read, and more may come."""
        topics = context.shared.setdefault("topics", {})
        assert isinstance(topics, dict)
        self._topics: Topics = topics

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """A request with a client id is likely, one that the server answers by its number unmistakable."""
        size = header_size(client, 0)
        if size <= 0:
            return 0.0
        _, api, _, correlation, id_length = HEAD.unpack_from(client, 0)
        if len(server) >= 8:
            answered = int.from_bytes(server[4:8], "big", signed=True)
            length = int.from_bytes(server[:4], "big")
            if not SHORTEST_RESPONSE <= length < LONGEST_MESSAGE:
                return 0.0
            if answered == correlation:
                return 1.0
            return 0.6 if id_length > 0 else 0.3
        return 0.85 if id_length > 0 and (api in (18, 3) or LENGTH_BYTES + size <= len(client)) else 0.5

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read messages; see the contract."""
        size = len(data)
        while size - at >= LENGTH_BYTES:
            length = int.from_bytes(data[at : at + 4], "big")
            if not (SHORTEST_REQUEST, SHORTEST_RESPONSE)[side] <= length < LONGEST_MESSAGE:
                raise Violation("not a message of Kafka")
            end = at + LENGTH_BYTES + length
            if size < min(end, at + READ_BYTES):
                return at
            if side is Side.CLIENT:
                self._request(data, at, end, base)
            elif not self._response(data, at, end, base):
                return at
            at = end
        return at

    def _request(self, data: bytes, at: int, end: int, base: int) -> None:
        if header_size(data, at) <= 0:
            raise Violation("not a request of Kafka")
        _, api, version, correlation, id_length = HEAD.unpack_from(data, at)
        name, flexible_from = APIS[api]
        behind = at + HEAD.size + max(id_length, 0)
        client = readable(data[at + HEAD.size : behind])
        flexible = version >= flexible_from
        fields = Fields(data, behind, min(end, at + READ_BYTES), flexible=flexible)
        try:
            fields.tags()
        except CutOff:
            fields.at = fields.end
        told = read_request(name, version, fields, self._topics, self.context.value_bytes)
        if name == "Fetch":
            if told.names:
                self._session = told
            elif self._session is not None:
                told.names, told.partitions = self._session.names, self._session.partitions
        word, kind = OPERATIONS.get(name, (name, ""))
        attributes: dict[str, str | int] = {"messaging.system": "kafka", "messaging.operation.name": word}
        if kind:
            attributes["messaging.operation.type"] = kind
        if client:
            attributes["messaging.client.id"] = client
        if told.groups:
            attributes["messaging.consumer.group.name"] = readable(told.groups[0])
        attributes |= about(told)
        role = Role.ONE_WAY if told.one_way else Role.REQUEST
        shown = ", ".join(map(readable, (told.names or told.groups)[:4]))
        summary = f"{word} {shown}".rstrip()
        if len(told.names) > 4:
            summary += ", …"
        if name == "Produce" and told.records.count > 1:
            summary += f" ({told.records.count} records)"
        message = Message(
            role, base + at, base + end, operation=operation_on(self.context, word, told.destination), summary=summary,
            key=-1 if told.one_way else correlation & 0xFFFFFFFF, values=told.values, identifiers=told.identifiers,
            attributes=attributes, messaging=queued(told, sends=True),
        )  # fmt: skip
        if told.records.cut_off:
            message.notes = (CUT_NOTE,)
        self.requests.append(message)
        if not told.one_way:
            self._asked[correlation] = api, version
            if len(self._asked) > Limits().pending_messages:
                del self._asked[next(iter(self._asked))]

    def _response(self, data: bytes, at: int, end: int, base: int) -> bool:
        """Read one response; False where its request has not come yet."""
        correlation = int.from_bytes(data[at + 4 : at + 8], "big", signed=True)
        asked = self._asked.pop(correlation, None)
        message = Message(Role.RESPONSE, base + at, base + end, key=correlation & 0xFFFFFFFF)
        if asked is None:
            if self._followed and len(data) - at < WAITING_BYTES:
                return False
        else:
            api, version = asked
            name, flexible_from = APIS[api]
            fields = Fields(data, at + 8, min(end, at + READ_BYTES), flexible=version >= flexible_from)
            try:
                if name != "ApiVersions":  # its header is never flexible, so that any client can read it (KIP-511)
                    fields.tags()
            except CutOff:
                fields.at = fields.end
            told = read_response(name, version, fields, self._topics, self.context.value_bytes)
            message.status, message.result = told.status
            message.values, message.identifiers = told.values, told.identifiers
            if name == "Fetch":
                message.attributes = about(told) or None
                message.messaging = queued(told, sends=False)
                message.notes = (CUT_NOTE,) if told.records.cut_off else ()
            elif told.offset >= 0:
                message.attributes = {"messaging.kafka.offset": told.offset}
        self.responses.append(message)
        return True

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """A request whose head agrees with itself and is followed by another; a response to a request that waits."""
        if side is Side.SERVER:
            return self._find_response(data, at)
        for count, found in enumerate(HEAD_AHEAD.finditer(data, at)):
            if count >= PLACES_TRIED:
                break
            place = found.start()
            size = header_size(data, place)
            behind = place + LENGTH_BYTES + size
            if size > 0 and (
                behind == len(data) or header_size(data, behind) > 0 or (place == at and behind > len(data))
            ):
                return place
        return None

    def _find_response(self, data: bytes, at: int) -> int | None:
        """The first place where a length and the number of a request that waits stand together."""
        found = []
        for correlation in list(self._asked)[-64:]:
            place = data.find(correlation.to_bytes(4, "big", signed=True), at + LENGTH_BYTES)
            while place >= 0:
                length = int.from_bytes(data[place - 4 : place], "big")
                behind = place + length
                fits = behind == len(data) or (behind < len(data) and data[behind] == 0) or place == at + LENGTH_BYTES
                if SHORTEST_RESPONSE <= length < LONGEST_MESSAGE and fits:
                    found.append(place - LENGTH_BYTES)
                    break
                place = data.find(correlation.to_bytes(4, "big", signed=True), place + 1)
        return min(found, default=None)

    def lost(self, side: Side, start: int, end: int) -> None:
        """Requests that are missing may have been answered."""
        if side is Side.CLIENT:
            self._followed = False
            self._session = None

    def finish(self, side: Side, offset: int) -> None:
        """No request comes any more that a response could wait for."""
        if side is Side.CLIENT:
            self._followed = False


def about(told: Told) -> dict[str, str | int]:
    """OpenTelemetry attributes of what a message is about."""
    attributes: dict[str, str | int] = {}
    if told.names:
        attributes["messaging.destination.name"] = ", ".join(map(readable, told.names[:4]))
    if len(told.partitions) == 1:
        attributes["messaging.destination.partition.id"] = str(told.partitions[0])
    if told.records.count:
        attributes["messaging.batch.message_count"] = told.records.count
    if told.records.compressed:
        attributes["wiretrace.kafka.compressed_records"] = told.records.compressed
    return attributes


def header_size(data: bytes, at: int) -> int:
    """Length of the request whose head stands at `at`; 0 where it does not stand there whole, -1 where that is none."""
    if len(data) - at < HEAD.size:
        return 0
    length, api, version, _, id_length = HEAD.unpack_from(data, at)
    if (
        not SHORTEST_REQUEST <= length < LONGEST_MESSAGE
        or api not in APIS
        or version > HIGHEST_VERSION
        or not -1 <= id_length <= min(LONGEST_CLIENT_ID, length - SHORTEST_REQUEST)
    ):
        return -1
    text = data[at + HEAD.size : at + HEAD.size + max(id_length, 0)]
    if text and LOOKS_LIKE_TEXT.fullmatch(text) is None:
        return -1
    return int(length)
