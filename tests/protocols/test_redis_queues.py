"""Redis as a broker: what is put on lists, streams and channels is known again where it is taken off."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import dissect

from wiretrace.model.message import QueuedMessage, Role
from wiretrace.protocols.redis import Redis
from wiretrace.protocols.redis_queues import QUEUE_COMMANDS


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def bulk(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


def put(*words: bytes) -> tuple[QueuedMessage, ...]:
    [message] = dissect(Redis, command(*words), b"").requests
    assert message.messaging is not None
    return message.messaging.sent


def taken(answer: bytes, *words: bytes) -> tuple[QueuedMessage, ...]:
    found = dissect(Redis, command(*words), answer)
    messaging = found.requests[0].messaging
    assert messaging is not None and messaging.taken is not None
    return messaging.taken(found.responses[0].values)


ENTRY = b"*2\r\n" + bulk(b"1526919030474-55") + b"*4\r\n" + bulk(b"order") + bulk(b"42") + bulk(b"by") + bulk(b"mary")
OTHER = b"*2\r\n" + bulk(b"1526919030480-0") + b"*2\r\n" + bulk(b"order") + bulk(b"43")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (bulk(b"order 42"), (b"RPOP", b"jobs")),
        (b"*2\r\n" + bulk(b"jobs") + bulk(b"order 42"), (b"BLPOP", b"urgent", b"jobs", b"5")),
        (bulk(b"order 42"), (b"BRPOPLPUSH", b"jobs", b"doing", b"0")),
        (b"*2\r\n" + bulk(b"jobs") + b"*1\r\n" + bulk(b"order 42"), (b"LMPOP", b"1", b"jobs", b"LEFT")),
    ],
)
def test_an_element_of_a_list_is_known_again(answer: bytes, words: tuple[bytes, ...]) -> None:
    assert taken(answer, *words) == put(b"LPUSH", b"jobs", b"order 42") == put(b"RPUSH", b"jobs", b"order 42")


def test_entries_of_a_stream_are_known_again_whatever_their_ids() -> None:
    answer = b"*1\r\n*2\r\n" + bulk(b"events") + b"*2\r\n" + ENTRY + OTHER
    words = (b"XREADGROUP", b"GROUP", b"g", b"c", b"COUNT", b"2", b"STREAMS", b"events", b">")
    first = put(b"XADD", b"events", b"MAXLEN", b"~", b"1000", b"*", b"order", b"42", b"by", b"mary")
    second = put(b"XADD", b"events", b"*", b"order", b"43")
    assert taken(answer, *words) == first + second


def test_a_published_message_is_known_where_it_is_pushed() -> None:
    """It is a call of the server that asks for nothing."""
    server = b"*3\r\n" + bulk(b"subscribe") + bulk(b"news") + b":1\r\n"
    server += b"*3\r\n" + bulk(b"message") + bulk(b"news") + bulk(b"order 42")
    pushed = dissect(Redis, command(b"SUBSCRIBE", b"news"), server).responses[1]
    assert pushed.role is Role.ONE_WAY
    assert pushed.messaging is not None
    assert pushed.messaging.received == put(b"PUBLISH", b"news", b"order 42")


def test_several_elements_are_several_messages() -> None:
    assert len(put(b"LPUSH", b"jobs", b"a", b"b", b"c")) == 3


def test_lists_and_channels_of_one_name_are_two_destinations() -> None:
    assert put(b"PUBLISH", b"jobs", b"x") != put(b"LPUSH", b"jobs", b"x")


@given(st.sampled_from(sorted(QUEUE_COMMANDS)), st.lists(st.binary(max_size=12), max_size=8), st.binary(max_size=60))
@settings(max_examples=200)
def test_no_arguments_break_it(name: str, arguments: list[bytes], values: bytes) -> None:
    messaging = QUEUE_COMMANDS[name](arguments)
    if messaging is not None and messaging.taken is not None:
        assert isinstance(messaging.taken(values), tuple)
