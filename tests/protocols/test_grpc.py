"""gRPC: messages in a body, statuses, timeouts. Calls as a whole are tested in test_http2.py."""

from __future__ import annotations

import grpc as reference
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.http2 import grpc_message

from wiretrace.model.message import Result
from wiretrace.protocols import grpc


@given(st.lists(st.binary(max_size=50), max_size=8), st.lists(st.integers(1, 20), min_size=1, max_size=9))
def test_messages_are_counted_however_the_body_comes(messages: list[bytes], steps: list[int]) -> None:
    body = b"".join(map(grpc_message, messages))
    counter = grpc.MessageCounter(100)
    at = number = 0
    while at < len(body):
        end = min(len(body), at + steps[number % len(steps)])
        counter.feed(body, at, end)
        at, number = end, number + 1
    assert (counter.count, counter.size, counter.skippable) == (len(messages), sum(map(len, messages)), 0)


def test_what_is_inside_a_message_may_be_passed_over() -> None:
    counter = grpc.MessageCounter(100)
    counter.feed(grpc_message(bytes(1000)), 0, 105)
    assert counter.skippable == 900
    counter.skip(900)
    counter.feed(grpc_message(b"ab", compressed=True), 0, 7)
    assert (counter.count, counter.size, counter.compressed) == (2, 1002, True)


def test_names_of_statuses_are_those_of_the_reference() -> None:
    names = {code.value[0]: code.name for code in reference.StatusCode}
    assert [grpc.status_name(number) for number in range(17)] == [names[number] for number in range(17)]
    assert grpc.status_name(99) == "99"


def test_a_status_holds_the_client_or_the_server_at_fault() -> None:
    assert [grpc.result_of(number) for number in (0, 5, 13, 14, 99, -1)] == [
        Result.OK,
        Result.CLIENT_ERROR,
        Result.SERVER_ERROR,
        Result.SERVER_ERROR,
        Result.SERVER_ERROR,
        Result.SERVER_ERROR,
    ]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("1H", 3_600_000), ("2M", 120_000), ("3S", 3000), ("250m", 250), ("1500u", 1), ("9n", 0), ("", -1), ("S", -1),
     ("5x", -1), ("123456789S", -1), ("²S", -1)],
)  # fmt: skip
def test_timeouts_are_given_in_milliseconds(text: str, milliseconds: int) -> None:
    assert grpc.timeout_ms(text) == milliseconds
