"""Calls that take messages off queues, as linking sees them: served by whoever took the message, until it takes the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.hosts.synthetic import EPOCH, MILLISECOND, Whole, World

from wiretrace.model.link_problem import MISSING

ADDRESSES = {"producer1": "10.0.0.2", "consumer1": "10.0.0.3", "redis1": "10.0.0.4"}
REDIS: dict[str, Any] = {"protocol": "redis", "port": 6379}
MESSAGE = [5, 10]
"""Hashes of a destination and a content."""


def world() -> World:
    """The consumer asks three times, and gets a message at the second; the producer puts one there."""
    found = World(ADDRESSES)
    for number, received in enumerate(([], MESSAGE, [])):
        found.call(
            "consumer1", "redis1", (10 + 20 * number) * MILLISECOND, client_port=41_000, seq=100 * number, operation="BRPOP",
            received=received, response_tokens=[7] if received else [], **REDIS,
        )  # fmt: skip
    found.call("producer1", "redis1", 12 * MILLISECOND, client_port=42_000, operation="LPUSH", sent=MESSAGE, **REDIS)
    return found


def named(whole: Whole, column: str, row: int) -> str:
    number = int(getattr(whole.columns, column)[row])
    return whole.columns.process_names[number].rpartition("@")[2] if number >= 0 else ""


def rows_of(whole: Whole, operation: str) -> list[int]:
    return [row for row, each in enumerate(whole.calls.column("operation").to_pylist()) if each == operation]


def test_a_fetched_message_arrives_at_its_consumer_and_lasts_until_the_next_fetch() -> None:
    whole = world().merge()
    _, fetched, after = rows_of(whole, "BRPOP")
    columns = whole.columns
    assert named(whole, "callee", fetched) == "consumer1"
    assert columns.callee_start_ns[fetched] == columns.caller_end_ns[fetched]
    assert columns.callee_end_ns[fetched] == columns.caller_start_ns[after]
    tokens = columns.request_tokens
    assert tokens.values[tokens.offsets[fetched] : tokens.offsets[fetched + 1]].tolist() == [7]


def test_a_loop_that_fetches_is_caused_by_nothing() -> None:
    """Neither the fetch that brought something nor those that brought nothing are somebody's children."""
    whole = world().merge()
    assert [int(whole.columns.caller[row]) for row in rows_of(whole, "BRPOP")] == [-1, -1, -1]
    [put] = rows_of(whole, "LPUSH")
    assert named(whole, "caller", put) == "producer1"


def test_what_a_person_sees_of_a_fetch_is_the_call_itself() -> None:
    whole = world().merge()
    row = whole.calls.to_pylist()[rows_of(whole, "BRPOP")[1]]
    assert (row["client_host"], row["server_host"]) == ("consumer1", "redis1")


def test_messages_of_one_name_at_two_brokers_are_two() -> None:
    """Destinations are told apart by their broker, contents are not."""
    found = world()
    found.addresses["amqp1"] = "10.0.0.5"
    found.call("producer1", "amqp1", 90 * MILLISECOND, client_port=43_000, port=5672, protocol="amqp", operation="publish",
               sent=MESSAGE)  # fmt: skip
    whole = found.merge()
    sent, received = whole.columns.sent, whole.columns.received
    here, there = (int(sent.offsets[row]) for row in (*rows_of(whole, "LPUSH"), *rows_of(whole, "publish")))
    assert sent.values[here] != sent.values[there]
    assert sent.values[here + 1] == sent.values[there + 1]
    assert received.values.tolist() == sent.values[here : here + 2].tolist()


def test_a_delivery_is_a_call_of_the_broker_to_the_consumer() -> None:
    found = World({"consumer1": "10.0.0.3", "rabbit1": "10.0.0.5"})
    found.call("consumer1", "rabbit1", 0, client_port=44_000, port=5672, protocol="amqp", operation="basic.consume")
    found.call(
        "rabbit1", "consumer1", 10 * MILLISECOND, client_port=5672, port=44_000, seq=3000, protocol="amqp",
        operation="process orders", delivered=True, received=MESSAGE,
    )  # fmt: skip
    whole = found.merge()
    [row] = rows_of(whole, "process orders")
    call = whole.calls.to_pylist()[row]
    assert (call["client_service"], call["server_service"]) == ("rabbit", "consumer")
    assert named(whole, "callee", row) == "consumer1"
    assert int(whole.columns.caller[row]) == -1
    assert whole.columns.callee_start_ns[row] > EPOCH
    assert "44000" not in str(whole.hosts.to_pylist())


def test_without_messages_nothing_changes() -> None:
    found = World(ADDRESSES)
    found.call("consumer1", "redis1", 0, client_port=41_000, operation="GET", **REDIS)
    columns = found.merge().columns
    assert not len(columns.sent.values)
    assert np.all(columns.callee_start_ns != MISSING)
