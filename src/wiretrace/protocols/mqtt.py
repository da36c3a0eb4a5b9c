"""MQTT 3.1, 3.1.1 and 5: connections, subscriptions, published and delivered messages.

Rules:

- What is answered carries a packet identifier, which is its key; the two sides number their packets apart.
- A message of QoS 0 asks for nothing. One of QoS 1 is answered by PUBACK, one of QoS 2 by PUBREC; what follows that (PUBREL,
  PUBCOMP) is bytes of the protocol. A message that the server delivers is a request of the *server*.
- The version is told by CONNECT. Where that was not captured, messages are read as those of version 3.1.1.
- Of a payload its beginning is read, the rest is passed over.
Sections are those of MQTT 5.0 (OASIS), unless they say otherwise.
"""

from __future__ import annotations

import re
from typing import ClassVar

from wiretrace.model.message import Message, Messaging, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Violation
from wiretrace.protocols.messaging import breadcrumbs, operation_on, queued_body, readable
from wiretrace.protocols.mqtt_wire import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBLISH,
    PUBREC,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    CutOff,
    Fields,
    fixed_header,
    reason,
)

NAMES = {SUBSCRIBE: "subscribe", UNSUBSCRIBE: "unsubscribe"}
KEY_BITS = 20
DELIVERED = 1 << 30
"""Set in the keys of what the server asks."""
ANSWERED_BY = {
    CONNACK: CONNECT,
    PUBACK: PUBLISH,
    PUBREC: PUBLISH,
    SUBACK: SUBSCRIBE,
    UNSUBACK: UNSUBSCRIBE,
}
"""By kind of packet: what it answers."""
PING = 1 << 31
"""Added to the number of a ping, for its key."""
LONGEST_HEAD = 70_000
"""Bytes of a packet before its payload: a topic is not longer."""
MOST_ALIASES = 65_536
PACKET_AHEAD = re.compile(rb"(?=[\x10\x20\x30-\x3f\x40\x50\x62\x70\x82\x90\xa2\xb0\xc0\xd0\xe0\xf0])")
PLACES_TRIED = 20_000
CHAIN = 3
SIDES = (
    frozenset({CONNECT, PUBLISH, PUBACK, PUBREC, 6, 7, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT, AUTH}),
    frozenset({CONNACK, PUBLISH, PUBACK, PUBREC, 6, 7, SUBACK, UNSUBACK, PINGRESP, DISCONNECT, AUTH}),
)
"""By side: packets that it may send (section 2.1.2)."""


class MQTT(Protocol):
    """One connection to an MQTT broker (MQTT 3.1.1 and 5.0, OASIS; MQTT 3.1, IBM).

    Sees connect with its return or reason code, subscriptions, published and delivered messages with their acknowledgement,
    pings, breadcrumbs in user properties, topic aliases. Does not see: payloads; credentials and wills (passed over unread);
    MQTT-SN; MQTT over WebSocket.
    """

    name: ClassVar[str] = "mqtt"
    ports: ClassVar[frozenset[int]] = frozenset({1883})
    blocking: ClassVar[bool] = False
    keyed: ClassVar[bool] = True
    overtakes: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._version = 0
        """As CONNECT says; 0: not known."""
        self._aliases: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
        """By side: topics by their aliases (section 3.3.2.3.4)."""
        self._pings: list[int] | None = [0, 0] if all(context.started) else None
        """By side: pings or their answers that were read; None: behind lost bytes they are not counted any more."""
        self._followed = context.started[Side.CLIENT]
        """Whether CONNECT was, or will be, read."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """CONNECT is unmistakable; other packets are likely where several follow each other."""
        if client[:1] == b"\x10":
            head = fixed_header(client, 0)
            named = head is not None and client[head[1] :][:8].startswith((b"\0\x04MQTT", b"\0\x06MQIsdp"))
            return 1.0 if named else 0.0
        counts = [chain(opening, 0, side) for side, opening in zip(Side, (client, server), strict=True)]
        if min(counts) < 0 or not client + server:
            return 0.0
        return (0.0, 0.3, 0.6, 0.7)[min(sum(counts), 3)]

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read packets; see the contract."""
        size = len(data)
        while size - at >= 2:
            head = fixed_header(data, at)
            if head is None:
                return at
            first, body, length = head
            kind, end = first >> 4, body + length
            if length < 0 or kind not in SIDES[side]:
                raise Violation("not an MQTT packet")
            wanted = LONGEST_HEAD if kind == PUBLISH else length
            if size < min(end, body + wanted):
                return at
            if not self._version and kind == PUBLISH and side is Side.SERVER and self._followed:
                return at
            try:
                message = self._packet(side, first, Fields(data, body, end))
            except CutOff:
                raise Violation("not an MQTT packet: it ends within a field") from None
            message.start, message.end = base + at, base + end
            (self.requests, self.responses)[side].append(message)
            at = end
        return at

    def _packet(self, side: Side, first: int, fields: Fields) -> Message:
        kind = first >> 4
        if kind == PUBLISH:
            return self._publish(side, first, fields)
        if kind == CONNECT:
            return self._connect(fields)
        if self._pings is not None and kind == (PINGREQ, PINGRESP)[side]:
            self._pings[side] += 1
            key = PING + self._pings[side]
            if side is Side.SERVER:
                return Message(Role.RESPONSE, 0, 0, status="ok", key=key)
            return Message(
                Role.REQUEST, 0, 0, operation="ping", summary="ping", key=key, attributes=attributes_of("ping")
            )
        answered = ANSWERED_BY.get(kind)
        if answered is not None:
            return self._answer(side, kind, answered, fields)
        if kind in (SUBSCRIBE, UNSUBSCRIBE):
            return self._subscribe(kind, fields)
        if kind == DISCONNECT and side is Side.SERVER:
            code = fields.number(1) if fields.left else 0
            word, result = reason(code, 5)
            return Message(Role.PUSH, 0, 0, operation="disconnect", summary="disconnect", status=word, result=result,
                           attributes=attributes_of("disconnect"))  # fmt: skip
        return Message(Role.CONTROL, 0, 0)

    def _connect(self, fields: Fields) -> Message:
        """CONNECT: user name, password and will are not read."""
        fields.text()
        self._version = fields.number(1)
        fields.number(3)
        if self._version >= 5:
            fields.properties()
        client = readable(fields.text())
        attributes = attributes_of("connect")
        if client:
            attributes["messaging.client.id"] = client
        return Message(Role.REQUEST, 0, 0, operation="connect", summary="connect", key=CONNECT << KEY_BITS,
                       attributes=attributes)  # fmt: skip

    def _subscribe(self, kind: int, fields: Fields) -> Message:
        number = fields.number(2)
        if not self._version and fields.rest(2) == b"\0\0":
            # A topic is never empty: these are no properties, and the length of a topic of less than 256 bytes.
            self._version = 5
        if self._version >= 5:
            fields.properties()
        topic = fields.text()
        shown = readable(topic)
        several = fields.left > (kind == SUBSCRIBE)
        name = NAMES[kind]
        attributes = attributes_of(name)
        attributes["messaging.destination.name"] = shown
        return Message(
            Role.REQUEST, 0, 0, operation=operation_on(self.context, name, shown), key=kind << KEY_BITS | number,
            summary=f"{name} {shown}{', …' if several else ''}", values=topic, attributes=attributes,
        )  # fmt: skip

    def _answer(self, side: Side, kind: int, answered: int, fields: Fields) -> Message:
        """An acknowledgement: by the client one of what the server has delivered."""
        key = answered << KEY_BITS
        code = 0
        if kind == CONNACK:
            fields.number(1)
            code = fields.number(1)
        else:
            key |= fields.number(2)
            if kind == SUBACK:
                if self._version >= 5:
                    fields.properties()
                # The worst of the answers to its topics.
                code = max(fields.rest(64), default=0)
            elif kind in (PUBACK, PUBREC) and fields.left:
                code = fields.number(1)
        word, result = reason(code, self._version if kind == CONNACK else 5)
        if side is Side.CLIENT:
            key |= DELIVERED
        return Message(Role.RESPONSE, 0, 0, status=word, result=result, key=key)

    def _publish(self, side: Side, first: int, fields: Fields) -> Message:
        quality = first >> 1 & 3
        if quality == 3:
            raise Violation("not an MQTT packet: there is no QoS 3")
        topic = fields.text()
        number = fields.number(2) if quality else 0
        headers: list[tuple[bytes, bytes]] = []
        correlation = b""
        if self._version >= 5:
            properties = fields.properties()
            headers, correlation = properties.user, properties.correlation
            if properties.alias:
                aliases = self._aliases[side]
                if topic and len(aliases) < MOST_ALIASES:
                    aliases[properties.alias] = topic
                topic = topic or aliases.get(properties.alias, b"")
        length = fields.left
        payload = fields.rest(self.context.value_bytes)
        shown = readable(topic)
        delivered = side is Side.SERVER
        word, kind = ("process", "process") if delivered else ("publish", "send")
        attributes = attributes_of(word)
        attributes["messaging.operation.type"] = kind
        attributes["messaging.destination.name"] = shown
        attributes["messaging.message.body.size"] = length
        if correlation:
            attributes["messaging.message.conversation_id"] = readable(correlation)
        queued = (queued_body(topic, payload, length),) if topic else ()
        key = delivered * DELIVERED | PUBLISH << KEY_BITS | number
        return Message(
            Role.REQUEST if quality else Role.ONE_WAY, 0, 0, operation=operation_on(self.context, word, shown),
            summary=f"{word} {shown}".rstrip(), key=key if quality else -1,
            values=b"%b %b" % (topic, payload), identifiers=breadcrumbs(headers), attributes=attributes,
            messaging=Messaging(received=queued) if delivered else Messaging(sent=queued),
        )  # fmt: skip

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """Where packets begin that follow each other to the end of what there is, or three in a row."""
        for count, found in enumerate(PACKET_AHEAD.finditer(data, at)):
            if count >= PLACES_TRIED:
                break
            packets = chain(data, found.start(), side)
            if packets >= (1 if found.start() == at else CHAIN):
                return found.start()
        return None

    def lost(self, side: Side, start: int, end: int) -> None:
        """CONNECT may be among what is missing, and topics of aliases."""
        self._followed &= side is not Side.CLIENT
        self._pings = None
        self._aliases[side].clear()

    def finish(self, side: Side, offset: int) -> None:
        """Nothing ends with the connection."""
        self._followed &= side is not Side.CLIENT


def attributes_of(word: str) -> dict[str, str | int]:
    """OpenTelemetry attributes of a packet that is about no message."""
    return {"messaging.system": "mqtt", "messaging.operation.name": word}


def chain(data: bytes, at: int, side: Side) -> int:
    """How many packets of `side` stand at `at` in a row, at most CHAIN; -1 where what is there is none.

    The last one may be cut off by the end of `data`: then it does not count.
    """
    count = 0
    while count < CHAIN and at < len(data):
        head = fixed_header(data, at)
        if head is None:
            break
        first, body, length = head
        kind = first >> 4
        flags = first & 15
        if length < 0 or kind not in SIDES[side] or (kind != PUBLISH and flags != (2 if kind in (6, 8, 10) else 0)):
            return -1
        if kind == PUBLISH:
            named = int.from_bytes(data[body : body + 2], "big")
            if flags & 6 == 6 or not named or named + 2 > length or not data[body + 2 : body + 2 + named].isascii():
                return -1
        elif kind in (PINGREQ, PINGRESP) and length:
            return -1
        at = body + length
        if at > len(data):
            break
        count += 1
    return count
