"""Redis as a broker: what commands put on lists, streams and channels, and take off them.

Rules: a message is known by its destination and the beginning of its body. An answer to a pop does not say which list it
came from, or lays key and body side by side: its command knows how to read it. Of an answer that brings several entries of
a stream those are known that lie whole within what is kept of its values.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from wiretrace.model.message import Messaging, QueuedMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIST, STREAM, CHANNEL = b"list ", b"stream ", b"channel "
"""Before the name of a destination: keys and channels are names of different things."""
CONTENT_BYTES = 384
"""Bytes of a body by which it is known: less than is kept of a command or an answer, whose values hold a key beside it."""
ENTRY_ID = re.compile(rb"(?:\A|(?<= ))[0-9]{10,20}-[0-9]{1,20} ")
"""The id of an entry of a stream, which begins with a time in milliseconds."""
STREAM_ID = re.compile(rb"\*|[0-9]{1,20}(?:-(?:[0-9]{1,20}|\*))?\Z")
TRIMMING = {b"MAXLEN": 1, b"MINID": 1, b"LIMIT": 1}
"""Options of XADD with a value, before the id."""


def body(destination: bytes, content: bytes) -> QueuedMessage:
    """A message at a destination."""
    return QueuedMessage(destination, b"=" + content[:CONTENT_BYTES])


def pushed(arguments: Sequence[bytes]) -> Messaging | None:
    """LPUSH key element [element ...]."""
    if len(arguments) < 2:
        return None
    return Messaging(sent=tuple(body(LIST + arguments[0], element) for element in arguments[1:]))


def published(arguments: Sequence[bytes]) -> Messaging | None:
    """PUBLISH channel message."""
    return Messaging(sent=(body(CHANNEL + arguments[0], arguments[1]),)) if len(arguments) == 2 else None


def added(arguments: Sequence[bytes]) -> Messaging | None:
    """XADD key [NOMKSTREAM] [MAXLEN|MINID [=|~] threshold [LIMIT count]] id field value [field value ...]."""
    at = 1
    while at < len(arguments):
        word = arguments[at].upper()
        if word == b"NOMKSTREAM":
            at += 1
        elif word in TRIMMING:
            at += 3 if at + 1 < len(arguments) and arguments[at + 1] in (b"=", b"~") else 2
        else:
            break
    if at + 2 >= len(arguments) or STREAM_ID.match(arguments[at]) is None:
        return None
    return Messaging(sent=(body(STREAM + arguments[0], b" ".join(arguments[at + 1 :])),))


def popped(arguments: Sequence[bytes]) -> Messaging | None:
    """LPOP key: the answer is the element."""
    return Messaging(taken=partial(_element, arguments[0])) if arguments else None


def popped_first(arguments: Sequence[bytes]) -> Messaging | None:
    """BLPOP key [key ...] timeout: the answer is key and element."""
    return Messaging(taken=partial(_named_element, tuple(arguments[:-1]))) if len(arguments) > 1 else None


def popped_several(arguments: Sequence[bytes]) -> Messaging | None:
    """LMPOP numkeys key [key ...], BLMPOP timeout numkeys key [key ...]: the answer is a key and its elements."""
    return Messaging(taken=partial(_named_element, tuple(arguments[1:]))) if len(arguments) > 1 else None


def read(arguments: Sequence[bytes]) -> Messaging | None:
    """XREAD or XREADGROUP ... STREAMS key [key ...] id [id ...]: the answer is keys with ids, fields and values."""
    words = [argument.upper() for argument in arguments]
    if b"STREAMS" not in words:
        return None
    behind = arguments[words.index(b"STREAMS") + 1 :]
    return Messaging(taken=partial(_entries, tuple(behind[: max(len(behind) // 2, 1)])))


def _element(key: bytes, values: bytes) -> tuple[QueuedMessage, ...]:
    return (body(LIST + key, values),)


def _named_element(keys: tuple[bytes, ...], values: bytes) -> tuple[QueuedMessage, ...]:
    for key in keys:
        if values.startswith(key + b" "):
            return (body(LIST + key, values[len(key) + 1 :]),)
    return ()


def _entries(keys: tuple[bytes, ...], values: bytes) -> tuple[QueuedMessage, ...]:
    key = next((key for key in keys if values.startswith(key + b" ")), None)
    if key is None:
        return ()
    contents = ENTRY_ID.split(values[len(key) + 1 :])[1:]
    return tuple(body(STREAM + key, content.removesuffix(b" ")) for content in contents)


QUEUE_COMMANDS: dict[str, Callable[[Sequence[bytes]], Messaging | None]] = {
    **dict.fromkeys(("LPUSH", "RPUSH", "LPUSHX", "RPUSHX"), pushed),
    **dict.fromkeys(("LPOP", "RPOP", "LMOVE", "RPOPLPUSH", "BLMOVE", "BRPOPLPUSH"), popped),
    **dict.fromkeys(("BLPOP", "BRPOP"), popped_first),
    **dict.fromkeys(("LMPOP", "BLMPOP"), popped_several),
    **dict.fromkeys(("PUBLISH", "SPUBLISH"), published),
    **dict.fromkeys(("XREAD", "XREADGROUP"), read),
    "XADD": added,
}
"""By operation: what its arguments say of messages."""


def delivered(values: Sequence[bytes]) -> Messaging | None:
    """What a pushed message brings: ``message channel payload``, or ``pmessage pattern channel payload``."""
    return Messaging(received=(body(CHANNEL + values[-2], values[-1]),)) if len(values) >= 3 else None
