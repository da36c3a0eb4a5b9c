"""What AMQP methods mean: requests and answers, what they are about, and what a channel remembers from one to the next.

Rules: a method of the client is read without a word of the server, but for one: where a channel has consumers and asks for
single messages as well, an acknowledgement waits for the server to say which of both its delivery tag was. The server waits
for the client's words on two things: whether a consumer acknowledges (basic.consume), and whether a login is under way. What
is remembered is bounded, and forgotten behind a gap.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from wiretrace.model.message import KEY_GROUP_BITS, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.amqp_wire import METHODS, NUMBERS, WORDS, Arguments, reply_code
from wiretrace.protocols.contract import Context, Violation
from wiretrace.protocols.messaging import operation_on, readable

if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED_CHANNELS = 4096
"""Channels and consumers of one connection that are remembered; beyond it the oldest are forgotten."""
ANSWER, CONFIRMATION, DELIVERY = 1 << 60, 1 << 61, 1 << 59
"""Kinds of keys: what is answered by its method, a publish by its number, a delivery by its tag."""
TAG = (1 << KEY_GROUP_BITS) - 1

NO_WAIT: dict[str, int] = {
    "exchange.declare": 16, "exchange.delete": 2, "exchange.bind": 1, "exchange.unbind": 1, "queue.declare": 16,
    "queue.bind": 1, "queue.purge": 1, "queue.delete": 4, "basic.consume": 8, "basic.cancel": 1, "confirm.select": 1,
}  # fmt: skip
"""Which bit of its flags says that a method asks for no answer."""
FIELDS: dict[str, tuple[int, ...]] = {
    "exchange.declare": (0, 1), "exchange.delete": (0,), "exchange.bind": (0, 1, 1), "exchange.unbind": (0, 1, 1),
    "queue.declare": (0,), "queue.bind": (0, 1, 1), "queue.purge": (0,), "queue.delete": (0,), "queue.unbind": (0, 1, 1),
    "basic.consume": (0, 1),
}  # fmt: skip
"""The short strings that follow the two reserved bytes of these methods: 0 for what it is about, 1 for others."""
WITHOUT_ANSWER = frozenset(
    {"connection.tune-ok", "connection.close-ok", "channel.close-ok", "channel.flow-ok", "basic.recover-async",
     "basic.cancel-ok", "connection.update-secret-ok"}
)  # fmt: skip
"""What a client says and nobody answers: bytes of the protocol."""
ANSWERS_TO = {NUMBERS[name.removesuffix("-ok")]: number for number, name in METHODS.items() if name.endswith("-ok")}
"""By method: the one that answers it."""


class Meaning(msgspec.Struct):
    """What one method is to its connection: the fields of its message."""

    role: Role
    operation: str = ""
    summary: str = ""
    status: str = ""
    result: Result = Result.OK
    key: int = -1
    cumulative: bool = False
    attributes: dict[str, str | int] | None = None
    values: bytes = b""
    destination: bytes = b""
    """Exchange and routing key of a message."""
    content: bool = False
    """Whether a header and bodies follow."""
    sends: bool = False
    """Whether it puts a message on a queue."""
    brings: bool = False
    """Whether it brings one to the client."""


class Channel:
    """What is remembered of one channel."""

    __slots__ = ("asks", "confirming", "consumes", "published", "returned", "settles")

    def __init__(self) -> None:
        self.confirming = False
        self.published = 0
        """Messages published since confirm.select; -1: not known any more."""
        self.returned = ""
        """Why the broker gave the last message back, until it confirms it."""
        self.consumes = True
        """Whether there may be consumers on it; else what is acknowledged was asked for by basic.get."""
        self.settles = False
        """Whether the client has acknowledged anything."""
        self.asks = False
        """Whether the client has asked for single messages (basic.get)."""


class Tags:
    """The delivery tags that the server has told on one channel, in turn."""

    __slots__ = ("last", "single")

    def __init__(self) -> None:
        self.last = 0
        self.single: dict[int, None] = {}
        """Those of single messages (basic.get) that the client has not acknowledged yet."""


class Channels:
    """All channels of one connection, and the methods on them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._channels: dict[int, Channel] = {}
        self._silent: dict[tuple[int, bytes], bool] = {}
        """By channel and consumer tag: whether the consumer does not acknowledge."""
        self._begun: dict[int, deque[bool]] = {}
        """By channel: the same of the consumers that the server has still to confirm, in their order."""
        self._logging_in: bool | None = None
        """Whether the server still owes its answer to a login; None: the client has not begun any."""
        self.followed = context.started[Side.CLIENT]
        """Whether every method of the client was read since the beginning, and more may come."""
        self.answered = context.started[Side.SERVER]
        """Whether every method of the server was read since the beginning, and more may come."""
        self._opened: tuple[dict[int, int], dict[int, int]] = ({}, {})
        """By side and number: how often a channel of this number was opened. One side may be read ahead of the other."""
        self._tags: dict[tuple[int, int], Tags] = {}
        """By number of the channel, and how often it had been opened."""

    def read(self, side: Side, channel: int, data: bytes, at: int, end: int) -> Meaning | None:
        """What the method whose payload is ``data[at:end]`` means; None where the other side's word on it has not come."""
        arguments = Arguments(data, at, end)
        number = arguments.number(2), arguments.number(2)
        name = METHODS.get(number, "")
        if name not in WORDS[side]:
            raise Violation("not a method of AMQP")
        reader = (CLIENT_METHODS, SERVER_METHODS)[side].get(name)
        if reader is not None:
            return reader(self, channel, name, arguments)
        if side is Side.SERVER:
            return self._answer(channel, number)
        if name in WITHOUT_ANSWER:
            return Meaning(Role.CONTROL)
        return self._ask(channel, name, arguments)

    def lost(self, side: Side) -> None:
        """Bytes of `side` are missing: what was counted by them is not known any more."""
        for each in self._channels.values():
            each.returned = ""
            if side is Side.CLIENT:
                each.published = -1
        self._begun.clear()
        self.over(side)

    def over(self, side: Side) -> None:
        """What `side` says from now on is not known any more, or nothing."""
        self.followed &= side is not Side.CLIENT
        self.answered &= side is not Side.SERVER

    def _channel(self, number: int) -> Channel:
        known = self._channels.get(number)
        if known is None:
            known = self._channels[number] = Channel()
            if not self._context.started[Side.CLIENT]:
                known.published = -1
            if len(self._channels) > REMEMBERED_CHANNELS:
                del self._channels[next(iter(self._channels))]
        return known

    # What a client says.

    def _ask(
        self, channel: int, name: str, arguments: Arguments, about: bytes = b"", *, silent: bool = False
    ) -> Meaning:
        """A method with an answer. What it is about is read by the table, where it has a line there."""
        fields = FIELDS.get(name)
        if fields is not None:
            arguments.number(2)
            texts = [arguments.text() for _ in fields]
            about = texts[0]
            silent = bool(NO_WAIT.get(name, 0) & arguments.number(1)) if name in NO_WAIT else False
        answer = ANSWERS_TO.get(NUMBERS[name])
        role = Role.ONE_WAY if silent or answer is None else Role.REQUEST
        shown = readable(about)
        attributes = plain_attributes(name)
        if shown:
            attributes["messaging.destination.name"] = shown
        return Meaning(
            role,
            operation_on(self._context, name, shown),
            f"{name} {shown}".rstrip(),
            key=-1 if role is Role.ONE_WAY or answer is None else answer_key(channel, answer),
            attributes=attributes,
            values=about,
        )

    def _start_ok(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        """Login: neither mechanism nor response is read."""
        self._logging_in = True
        return Meaning(
            Role.REQUEST, "login", "login", key=answer_key(0, NUMBERS["connection.tune"]),
            attributes=plain_attributes("login"),
        )  # fmt: skip

    def _open(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        return self._ask(channel, name, arguments, arguments.text())

    def _open_channel(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        self._channels.pop(channel, None)
        state = self._channel(channel)
        state.published, state.consumes = 0, False
        self._count_opened(Side.CLIENT, channel)
        return self._ask(channel, name, arguments)

    def _close(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        """The client closes: the reply code is its reason."""
        code = arguments.number(2)
        meaning = self._ask(channel, name, arguments)
        if code not in (0, 200):
            meaning.summary += f" {reply_code(code)}"
        return meaning

    def _confirm_select(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        state = self._channel(channel)
        if not state.confirming:
            state.confirming, state.published = True, 0
        return self._ask(channel, name, arguments, silent=bool(arguments.number(1)))

    def _count_opened(self, side: Side, channel: int) -> None:
        """Another channel of this number begins on this side."""
        opened = self._opened[side]
        if channel not in opened and len(opened) == REMEMBERED_CHANNELS:
            self.answered = False
            return
        opened[channel] = opened.get(channel, 0) + 1

    def _consume(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        at = arguments.at
        self._channel(channel).consumes = True
        arguments.number(2)
        arguments.text()
        tag, flags = arguments.text(), arguments.number(1)
        arguments.at = at
        if flags & NO_WAIT["basic.consume"]:
            self._remember(channel, tag, bool(flags & 2))
        elif channel in self._begun or len(self._begun) < REMEMBERED_CHANNELS:
            self._begun.setdefault(channel, deque(maxlen=REMEMBERED_CHANNELS)).append(bool(flags & 2))
        return self._ask(channel, name, arguments)

    def _remember(self, channel: int, tag: bytes, silent: bool) -> None:
        self._silent[channel, tag] = silent
        if len(self._silent) > REMEMBERED_CHANNELS:
            del self._silent[next(iter(self._silent))]

    def _get(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        self._channel(channel).asks = True
        arguments.number(2)
        queue = arguments.text()
        meaning = self._ask(channel, name, arguments, queue)
        shown = readable(queue)
        meaning.operation, meaning.summary = operation_on(self._context, "receive", shown), f"receive {shown}".rstrip()
        if meaning.attributes is not None:
            meaning.attributes["messaging.operation.name"] = meaning.attributes["messaging.operation.type"] = "receive"
        return meaning

    def _cancel(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        arguments.text()
        return self._ask(channel, name, arguments, silent=bool(arguments.number(1)))

    def _publish(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        arguments.number(2)
        exchange, routing_key = arguments.text(), arguments.text()
        state = self._channel(channel)
        role, key = Role.ONE_WAY, -1
        if state.confirming and state.published >= 0:
            state.published += 1
            role, key = Role.REQUEST, CONFIRMATION | channel << KEY_GROUP_BITS | state.published & TAG
        return self._carrying(role, "publish", "send", exchange, routing_key, key)

    def _settle(self, channel: int, name: str, arguments: Arguments) -> Meaning | None:
        """An acknowledgement of a delivery, or a refusal; or of a single message, which was answered by its coming."""
        state = self._channel(channel)
        state.settles = True
        tag, flags = arguments.number(8), arguments.number(1)
        tags = self._tags.get((channel, self._opened[Side.CLIENT].get(channel, 0)))
        if state.asks and state.consumes and self.followed and self.answered and (tags is None or tag > tags.last):
            return None
        single = tags is not None and tag in tags.single
        if tags is not None and single:
            del tags.single[tag]
        if not state.consumes or single:
            return Meaning(Role.ONE_WAY, name, name, attributes=plain_attributes(name))
        return Meaning(
            Role.RESPONSE,
            status=name.removeprefix("basic."),
            result=Result.OK if name == "basic.ack" else Result.SERVER_ERROR,
            key=DELIVERY | channel << KEY_GROUP_BITS | (tag if tag else TAG) & TAG,
            cumulative=name != "basic.reject" and bool(flags & 1),
        )

    # What a server says.

    def _answer(self, channel: int, number: tuple[int, int]) -> Meaning:
        if number == NUMBERS["channel.open-ok"]:
            self._count_opened(Side.SERVER, channel)
        return Meaning(Role.RESPONSE, status="ok", key=answer_key(channel, number))

    def _start(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        """Greetings, and the server's word that a client has closed."""
        return Meaning(Role.CONTROL)

    def _tune(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        """The answer to a login, or a further question of it."""
        self._logging_in = name != "connection.tune"
        return Meaning(Role.RESPONSE, status="ok", key=answer_key(0, NUMBERS["connection.tune"]))

    def _closed(self, channel: int, name: str, arguments: Arguments) -> Meaning | None:
        """An exception: it answers the method that it names, or a login, and else nothing."""
        code = arguments.number(2)
        arguments.text()
        number = arguments.number(2), arguments.number(2)
        if self._logging_in is None and self.followed:
            return None
        # What is remembered of the channel stays: the client may have opened the next one of this number already.
        result = Result.SERVER_ERROR if code >= 500 or code == 320 else Result.CLIENT_ERROR
        answer = ANSWERS_TO.get(number)
        if number == (0, 0) and name == "connection.close" and self._logging_in:
            answer = NUMBERS["connection.tune"]
        if answer is not None:
            return Meaning(Role.RESPONSE, status=reply_code(code), result=result, key=answer_key(channel, answer))
        cause = METHODS.get(number, "")
        summary = f"{name} {cause}".rstrip()
        return Meaning(Role.PUSH, name, summary, reply_code(code), result, attributes=plain_attributes(name))

    def _told(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        """What a server says without having been asked."""
        return Meaning(Role.PUSH, name, name, attributes=plain_attributes(name))

    def _consuming(self, channel: int, name: str, arguments: Arguments) -> Meaning | None:
        begun = self._begun.get(channel)
        if begun:
            self._remember(channel, arguments.text(), begun.popleft())
        elif self.followed:
            return None
        return self._answer(channel, NUMBERS[name])

    def _deliver(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        consumer, tag = arguments.text(), arguments.number(8)
        self._tell(channel, tag)
        again = arguments.number(1)
        exchange, routing_key = arguments.text(), arguments.text()
        silent = self._silent.get((channel, consumer))
        if silent is None:
            silent = not self._channel(channel).settles
        key = -1 if silent else DELIVERY | channel << KEY_GROUP_BITS | tag & TAG
        role = Role.ONE_WAY if silent else Role.REQUEST
        meaning = self._carrying(role, "process", "process", exchange, routing_key, key)
        if again and meaning.attributes is not None:
            meaning.attributes["messaging.rabbitmq.message.redelivered"] = "true"
        return meaning

    def _tell(self, channel: int, tag: int) -> Tags:
        key = channel, self._opened[Side.SERVER].get(channel, 0)
        tags = self._tags.get(key)
        if tags is None:
            tags = self._tags[key] = Tags()
            if len(self._tags) > REMEMBERED_CHANNELS:
                del self._tags[next(iter(self._tags))]
        tags.last = max(tags.last, tag)
        return tags

    def _got(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        tag = arguments.number(8)
        single = self._tell(channel, tag).single
        single[tag] = None
        if len(single) > REMEMBERED_CHANNELS:
            del single[next(iter(single))]
        arguments.number(1)
        exchange, routing_key = arguments.text(), arguments.text()
        meaning = self._carrying(Role.RESPONSE, "receive", "receive", exchange, routing_key, -1)
        meaning.key, meaning.status = answer_key(channel, NUMBERS["basic.get-ok"]), "ok"
        meaning.operation = meaning.summary = ""
        return meaning

    def _empty(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        return Meaning(Role.RESPONSE, status="empty", key=answer_key(channel, NUMBERS["basic.get-ok"]))

    def _return(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        code = arguments.number(2)
        arguments.text()
        exchange, routing_key = arguments.text(), arguments.text()
        self._channel(channel).returned = reply_code(code)
        meaning = self._carrying(Role.PUSH, "return", "settle", exchange, routing_key, -1)
        meaning.status, meaning.result, meaning.brings = reply_code(code), Result.CLIENT_ERROR, False
        return meaning

    def _confirm(self, channel: int, name: str, arguments: Arguments) -> Meaning:
        """A confirmation of published messages; of one that was given back just before, with the reason."""
        tag, flags = arguments.number(8), arguments.number(1)
        state = self._channel(channel)
        returned, state.returned = state.returned, ""
        multiple = bool(flags & 1)
        refused = name != "basic.ack"
        status, result = name.removeprefix("basic."), Result.SERVER_ERROR if refused else Result.OK
        if returned and not multiple:
            status, result = returned, Result.CLIENT_ERROR
        key = CONFIRMATION | channel << KEY_GROUP_BITS | tag & TAG
        return Meaning(Role.RESPONSE, status=status, result=result, key=key, cumulative=multiple)

    def _carrying(
        self, role: Role, operation: str, kind: str, exchange: bytes, routing_key: bytes, key: int
    ) -> Meaning:
        """A method that a message follows."""
        shown = ":".join(readable(part) for part in (exchange, routing_key) if part)
        attributes: dict[str, str | int] = {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": operation,
            "messaging.operation.type": kind,
            "messaging.destination.name": shown,
        }
        if routing_key:
            attributes["messaging.rabbitmq.destination.routing_key"] = readable(routing_key)
        return Meaning(
            role, operation_on(self._context, operation, shown), f"{operation} {shown}".rstrip(), key=key,
            attributes=attributes, destination=exchange + b"\0" + routing_key, content=True,
            sends=operation == "publish", brings=operation in ("process", "receive"),
        )  # fmt: skip


def plain_attributes(name: str) -> dict[str, str | int]:
    """OpenTelemetry attributes of a method that is about no message."""
    return {"messaging.system": "rabbitmq", "messaging.operation.name": name}


def answer_key(channel: int, answer: tuple[int, int]) -> int:
    """The key of a method that `answer` answers."""
    return ANSWER | channel << KEY_GROUP_BITS | answer[0] << 16 | answer[1]


CLIENT_METHODS: dict[str, Callable[[Channels, int, str, Arguments], Meaning | None]] = {
    "connection.start-ok": Channels._start_ok,
    "connection.secure-ok": Channels._start_ok,
    "connection.open": Channels._open,
    "connection.close": Channels._close,
    "channel.open": Channels._open_channel,
    "channel.close": Channels._close,
    "confirm.select": Channels._confirm_select,
    "basic.consume": Channels._consume,
    "basic.cancel": Channels._cancel,
    "basic.publish": Channels._publish,
    "basic.get": Channels._get,
    "basic.ack": Channels._settle,
    "basic.nack": Channels._settle,
    "basic.reject": Channels._settle,
}
"""Methods of a client that are more than a question and an answer."""
SERVER_METHODS: dict[str, Callable[[Channels, int, str, Arguments], Meaning | None]] = {
    "connection.start": Channels._start,
    "connection.tune": Channels._tune,
    "connection.secure": Channels._tune,
    "connection.close": Channels._closed,
    "channel.close": Channels._closed,
    "connection.blocked": Channels._told,
    "connection.unblocked": Channels._told,
    "channel.flow": Channels._told,
    "basic.cancel": Channels._told,
    "basic.consume-ok": Channels._consuming,
    "basic.deliver": Channels._deliver,
    "basic.get-ok": Channels._got,
    "basic.get-empty": Channels._empty,
    "basic.return": Channels._return,
    "basic.ack": Channels._confirm,
    "basic.nack": Channels._confirm,
}
"""Methods of a server that are more than an answer."""
