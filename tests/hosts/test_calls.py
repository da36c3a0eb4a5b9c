"""Exchanges of several vantage points become calls: each once, with both ends' views, on one time line."""

from __future__ import annotations

import random
import time

import numpy as np
import pyarrow as pa
import pytest
from tests.hosts.synthetic import (
    CONNECTION_DEFAULTS,
    EPOCH,
    EXCHANGE_DEFAULTS,
    MILLISECOND,
    World,
    chain,
    merge_all,
    table,
)

from wiretrace.hosts.table import LINKING_FILLS
from wiretrace.hosts.vantage import CaptureInfo
from wiretrace.model.link_problem import MISSING
from wiretrace.model.note import NoteKind
from wiretrace.model.schema import table_schema

SECOND = 1_000_000_000
OPEN = ["request_lost", "server_silent", "client_timeout"]


def test_what_two_hosts_saw_is_one_call() -> None:
    """A chain of three captures: two views for each inner call, one for the call of the client that nobody captured."""
    merged = chain(50).merge()
    calls = merged.calls
    schema = table_schema("calls")
    assert [name for name in schema.names if name not in LINKING_FILLS] == calls.column_names
    assert all(calls.schema.field(name).type == schema.field(name).type for name in calls.column_names[1:])
    assert calls.num_rows == 150
    assert merged.hosts.schema == table_schema("hosts")
    inner = [row for row in calls.to_pylist() if row["client_service"] != "10.0.0.1"]
    assert len(inner) == 100
    assert {(row["client_host"], row["server_host"]) for row in inner} == {("web1", "app1"), ("app1", "db1")}
    assert all(row["client_exchange"] >= 0 and row["server_exchange"] >= 0 for row in inner)
    outer = [row for row in calls.to_pylist() if row["client_service"] == "10.0.0.1"]
    assert {(row["client_exchange"], row["server_host"]) for row in outer} == {(-1, "web1")}


def test_services_drop_the_number_of_the_instance() -> None:
    merged = chain(3).merge()
    assert set(merged.calls.column("server_service").to_pylist()) == {"web", "app", "db"}
    assert {row["host"]: row["services"] for row in merged.hosts.to_pylist()}["db1"] == ["db"]


def test_calls_are_in_order_and_their_ids_are_unique_and_the_same_in_every_run() -> None:
    first, second = chain(40).merge().calls, chain(40).merge().calls
    assert first.equals(second)
    starts = first.column("start_ns").to_pylist()
    assert starts == sorted(starts)
    identities = first.column("id").to_pylist()
    assert len(set(identities)) == len(identities)
    assert all(identity > 0 for identity in identities)


def test_the_order_of_the_views_does_not_matter() -> None:
    """Shuffled rows give the same calls, but for the row numbers of their views."""
    world = chain(30, app1=(3e9, 20.0))
    before = world.merge().calls
    random.Random(1).shuffle(world.exchanges)
    captures = [CaptureInfo(name) for name in ("web1", "app1", "db1")]
    after = world.merge(*captures).calls
    ignored = ["client_exchange", "server_exchange", "other_exchanges"]
    assert before.drop_columns(ignored).to_pylist() == after.drop_columns(ignored).to_pylist()


def test_clocks_that_are_seconds_apart_are_brought_together() -> None:
    """Corrected, every call contains what its callee saw of it; raw, the clocks are minutes of it apart."""
    merged = chain(400, web1=(0.0, 0.0), app1=(-4e9, 60.0), db1=(2.5e9, -40.0)).merge()
    rows = [row for row in merged.calls.to_pylist() if row["client_exchange"] >= 0]
    assert len(rows) == 800
    for row in rows:
        assert row["start_ns"] <= row["server_start_ns"] + 100_000
        assert row["server_end_ns"] <= row["end_ns"] + 100_000
        assert row["notes"] == []
    offsets = {row["host"]: row for row in merged.hosts.to_pylist()}
    reference = next(clock.reference for clock in merged.clocks)
    truth = {"web1": (0.0, 0.0), "app1": (-4e9, 60.0), "db1": (2.5e9, -40.0)}
    for host in ("web1", "app1", "db1"):
        middle = 4e9
        expected = truth[host][0] + truth[host][1] * 1e-6 * middle
        expected -= truth[reference][0] + truth[reference][1] * 1e-6 * middle
        assert abs(offsets[host]["clock_offset_ns"] - expected) < offsets[host]["clock_error_ns"] + 100_000
    assert offsets["10.0.0.1"]["clock_offset_ns"] is None


def test_clocks_of_one_machine_are_left_alone() -> None:
    """Where no difference fits what was seen, there is none: corrected times are the raw ones."""
    merged = chain(100).merge()
    assert [clock.offset_ns for clock in merged.clocks] == [0.0, 0.0, 0.0]
    assert merged.calls.column("start_ns").to_pylist()[0] == EPOCH + 50_000


def test_hosts_that_share_nothing_are_noted() -> None:
    world = World(
        {"a1": "10.0.0.1", "b1": "10.0.0.2", "c1": "10.1.0.1", "d1": "10.1.0.2", "x": "10.9.0.1", "y": "10.9.0.2"}
    )
    for number in range(20):
        world.call("a1", "b1", number * MILLISECOND, seq=number)
        world.call("x", "b1", number * MILLISECOND, seq=number, client_port=7, at=("b1",))
        world.call("a1", "y", number * MILLISECOND, seq=number, client_port=7, at=("a1",))
        world.call("c1", "x", number * MILLISECOND, seq=number, client_port=8, at=("c1",))
        world.call("c1", "y", number * MILLISECOND, seq=number, client_port=9, at=("c1",))
    merged = world.merge()
    assert merged.notes.counts == {(NoteKind.CLOCK_UNKNOWN, "c1"): 1}
    assert {row["host"]: row["clock_offset_ns"] for row in merged.hosts.to_pylist()}["c1"] is None


def test_a_capture_of_a_bridge_serves_as_both_views() -> None:
    """One capture between several hosts: every address is a host of its own, and the one view is both ends'."""
    world = World({"client": "10.0.0.1", "web1": "10.0.0.2", "app1": "10.0.0.3", "db1": "10.0.0.4"})
    for number in range(10):
        for client, server in (("client", "web1"), ("web1", "app1"), ("app1", "db1")):
            ends = (world.addresses[client], 40_000, world.addresses[server], 80)
            start = number * MILLISECOND
            world.see("bridge", ends, (start, start, start + 100, start + 100), number)
    merged = world.merge()
    assert merged.calls.num_rows == 30
    for row in merged.calls.to_pylist():
        assert row["client_exchange"] == row["server_exchange"] >= 0
        assert row["server_start_ns"] == row["start_ns"]
    assert set(merged.calls.column("server_host").to_pylist()) == {"10.0.0.2", "10.0.0.3", "10.0.0.4"}
    assert (merged.columns.clock_error_ns == 0).all()


def test_a_capture_given_twice_doubles_no_call() -> None:
    world = chain(20)
    for row in [row for row in world.exchanges if row["capture"] == "app1"]:
        world.exchanges.append({**row, "capture": "app1-copy", "connection": row["connection"] + 1000})
    merged = world.merge()
    assert merged.calls.num_rows == 60
    others = merged.calls.column("other_exchanges").to_pylist()
    assert sum(len(rows) for rows in others) == 40
    used = [*merged.calls.column("client_exchange").to_pylist(), *merged.calls.column("server_exchange").to_pylist()]
    rows = [row for row in used if row >= 0] + [row for rows in others for row in rows]
    assert sorted(rows) == list(range(len(world.exchanges)))


def test_a_half_is_joined_by_its_response() -> None:
    """The client's capture lacks the request, the server's the response: together they are one complete call."""
    world = chain(20)
    ends = (world.addresses["web1"], 40_001, world.addresses["app1"], 8080)
    start = 900 * MILLISECOND
    world.see("web1", ends, (-1, -1, start + 5000, start + 6000), 999_000, outcome="not_captured", request_bytes=0)
    world.see("app1", ends, (start + 100, start + 200, start + 4000, start + 4500), 999_000)
    world.see("web1", ends, (start + MILLISECOND, start + MILLISECOND + 1, -1, -1), 999_500, outcome="not_captured")
    world.see(
        "app1",
        ends,
        (start + MILLISECOND + 50, start + MILLISECOND + 60, start + 2 * MILLISECOND, start + 2 * MILLISECOND),
        999_500,
    )
    merged = world.merge()
    assert merged.calls.num_rows == 62
    last = merged.calls.to_pylist()[-2:]
    assert [row["outcome"] for row in last] == ["ok", "ok"]
    assert [row["possible"] for row in last] == [[], []]
    assert last[1]["end_ns"] == EPOCH + start + 2 * MILLISECOND


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ("server_silent", "ok", "response_lost"),
        ("server_reset", "ok", "response_lost"),
        ("not_captured", "ok", "ok"),
        ("unfinished", "error", "error"),
        ("client_timeout", "ok", "client_timeout"),
        ("ok", "not_captured", "ok"),
        ("request_lost", "server_silent", "server_silent"),
        ("response_lost", "server_closed", "server_closed"),
        ("client_aborted", "unfinished", "client_aborted"),
    ],
)
def test_the_outcome_follows_from_both_views(client: str, server: str, expected: str) -> None:
    world = chain(20)
    ends = (world.addresses["web1"], 40_009, world.addresses["app1"], 8080)
    start = 100 * MILLISECOND
    answered = ("ok", "error")
    for capture, outcome in (("web1", client), ("app1", server)):
        late = start + 4000 if outcome in answered else -1
        possible = ["request_lost", "response_lost"] if outcome == "request_lost" else []
        world.see(capture, ends, (start, start + 10, late, late), 77, outcome=outcome, possible=possible)
    merged = world.merge()
    (row,) = [row for row in merged.calls.to_pylist() if row["client_port"] == 40_009]
    assert row["outcome"] == expected
    assert row["possible"] == []


def test_a_request_that_the_watching_server_never_saw_is_lost() -> None:
    """The server's host captured before and after; the capture of the client leaves a lost request open."""
    world = chain(40)
    ends = (world.addresses["web1"], 40_009, world.addresses["app1"], 8080)
    start = 300 * MILLISECOND
    world.see(
        "web1",
        ends,
        (start, start + 10, -1, -1),
        77,
        outcome="client_timeout",
        possible=["request_lost", "server_silent"],
    )
    (row,) = [row for row in world.merge().calls.to_pylist() if row["client_port"] == 40_009]
    assert row["outcome"] == "request_lost"
    assert row["possible"] == []


def test_with_one_vantage_point_what_is_open_stays_open() -> None:
    world = World({"client": "10.0.0.1", "web1": "10.0.0.2", "app1": "10.0.0.3"})
    for number in range(10):
        world.call("client", "web1", number * MILLISECOND, seq=number, at=("web1",))
    ends = (world.addresses["web1"], 40_009, world.addresses["app1"], 8080)
    world.see("web1", ends, (5, 6, -1, -1), 77, outcome="client_timeout", possible=OPEN)
    (row,) = [row for row in world.merge().calls.to_pylist() if row["client_port"] == 40_009]
    assert (row["outcome"], row["possible"]) == ("client_timeout", OPEN)


@pytest.mark.parametrize(("dropped", "more"), [(-1, []), (0, []), (3, ["not_captured"])])
def test_a_capture_that_dropped_packets_may_lack_the_answer(dropped: int, more: list[str]) -> None:
    world = World({"client": "10.0.0.1", "web1": "10.0.0.2", "app1": "10.0.0.3"})
    for number in range(10):
        world.call("client", "web1", number * MILLISECOND, seq=number, at=("web1",))
    ends = (world.addresses["web1"], 40_009, world.addresses["app1"], 8080)
    world.see("web1", ends, (5, 6, -1, -1), 77, outcome="unfinished", possible=["unfinished", "server_silent"])
    (row,) = [
        row
        for row in world.merge(CaptureInfo("web1", dropped=dropped)).calls.to_pylist()
        if row["client_port"] == 40_009
    ]
    assert (row["outcome"], row["possible"]) == ("unfinished", ["server_silent", "unfinished", *more])


def test_translated_addresses_are_recognised_by_numbers_and_digest() -> None:
    """The client asks a virtual address; the server sees its own and the translator's. Halves follow the connection."""
    world = World({"client": "10.0.0.1", "web1": "10.0.0.2"})
    for number in range(10):
        outside = ("10.0.0.1", 50_000, "192.0.2.80", 80)
        inside = ("172.16.0.1", 61_000, "10.0.0.2", 8080)
        start = number * 10 * MILLISECOND
        lost = number == 7
        more = {"request_digest": 0 if lost else 1000 + number, "request_bytes": 300 + number}
        world.see("client", outside, (start, start + 1, start + 9000, start + 9001), number * 50, **more)
        world.see("web1", inside, (start + 100, start + 101, start + 8000, start + 8001), number * 50, **more)
        world.see(
            "web1",
            ("10.0.0.2", 40_000 + number, "10.0.0.9", 5432),
            (start + 200, start + 201, start + 300, start + 301),
            5,
        )
        world.see("client", ("10.0.0.1", 40_000 + number, "10.0.0.8", 80), (start, start, start + 1, start + 1), 5)
    calls = [row for row in world.merge().calls.to_pylist() if row["client_port"] == 50_000]
    assert len(calls) == 10
    for row in calls:
        assert (row["client_host"], row["server_host"]) == ("client", "web1")
        assert (row["client_address"], row["server_address"]) == ("10.0.0.1", "10.0.0.2")
        assert row["client_exchange"] != row["server_exchange"]


def test_a_port_that_was_used_again_is_another_call() -> None:
    """Equal ends and equal sequence numbers, an hour apart: two calls, each with its own two views."""
    world = chain(60)
    for start in (100 * MILLISECOND, 3600 * SECOND):
        ends = (world.addresses["web1"], 40_009, world.addresses["app1"], 8080)
        for capture, shift in (("web1", 0), ("app1", 100)):
            times = (start + shift, start + shift, start + 900 - shift, start + 900 - shift)
            world.see(capture, ends, times, 77, connection_key=(ends, start))
    rows = [row for row in world.merge().calls.to_pylist() if row["client_port"] == 40_009]
    assert len(rows) == 2
    assert all(row["client_exchange"] >= 0 and row["server_exchange"] >= 0 for row in rows)
    assert rows[0]["id"] != rows[1]["id"]


def test_loopback_belongs_to_the_host_that_recorded_it() -> None:
    """127.0.0.1 on two hosts is two hosts, even where ports and sequence numbers are equal."""
    world = chain(20)
    for capture in ("web1", "app1"):
        world.see(
            capture, ("127.0.0.1", 33_333, "127.0.0.1", 6379), (10, 11, 12, 13), 5, protocol="redis", operation="GET"
        )
    rows = [row for row in world.merge().calls.to_pylist() if row["client_port"] == 33_333]
    assert sorted((row["client_host"], row["server_host"]) for row in rows) == [("app1", "app1"), ("web1", "web1")]
    assert all(row["client_exchange"] == row["server_exchange"] for row in rows)


def test_a_callee_before_its_caller_is_moved_with_a_note() -> None:
    """One call contradicts all others by a second, more than any error of the clocks."""
    world = chain(60)
    ends = (world.addresses["web1"], 40_009, world.addresses["app1"], 8080)
    start = 400 * MILLISECOND
    world.see("web1", ends, (start, start + 10, start + 30 * MILLISECOND, start + 30 * MILLISECOND), 77)
    world.see(
        "app1", ends, (start - 300 * MILLISECOND, start + 20, start + 29 * MILLISECOND, start + 29 * MILLISECOND), 77
    )
    (row,) = [row for row in world.merge().calls.to_pylist() if row["client_port"] == 40_009]
    assert row["server_start_ns"] == row["start_ns"]
    assert row["notes"] == ["clocks disagree: the callee's time was moved to the caller's"]


def test_the_columns_for_linking_agree_with_the_table() -> None:
    """Row i is call i: processes join what a host serves and what it asks, and connections join both ends' numbers."""
    world = chain(30, app1=(1e9, 0.0))
    for row in world.exchanges:
        row["identifiers"] = [f"traceparent:{row['request_seq'] // 1000}"]
        row["request_tokens"] = [row["request_seq"], 5]
        row["transaction"] = row["request_seq"] // 900 if row.get("protocol") == "postgresql" else -1
    merged = world.merge()
    columns, calls = merged.columns, merged.calls.to_pylist()
    assert len(columns) == len(calls) == 90
    for number, row in enumerate(calls):
        assert columns.process_names[columns.caller[number]].endswith(row["client_host"])
        assert columns.process_names[columns.callee[number]].endswith(row["server_host"])
        assert columns.service_names[columns.callee_service[number]] == row["server_service"]
        assert columns.operation_names[columns.operation[number]] == row["operation"]
        assert columns.callee_start_ns[number] == (row["server_start_ns"] if row["server_exchange"] >= 0 else MISSING)
        assert columns.identifiers.offsets[number + 1] - columns.identifiers.offsets[number] == 1
        assert columns.request_tokens.values[columns.request_tokens.offsets[number] + 1] == 5
    inner = [number for number, row in enumerate(calls) if row["client_port"] == 41_001]
    assert len({columns.connection[number] for number in inner}) == 1
    assert len({columns.transaction[number] for number in inner}) == 10
    served = {columns.callee[number] for number, row in enumerate(calls) if row["server_host"] == "app1"}
    asking = {columns.caller[number] for number, row in enumerate(calls) if row["client_host"] == "app1"}
    assert served == asking
    assert set(columns.identifier_names.values()) == {"traceparent"}


def test_no_exchanges_are_no_calls() -> None:
    merged = merge_all(table("exchanges", [], EXCHANGE_DEFAULTS), table("connections", [], CONNECTION_DEFAULTS), [])
    assert merged.calls.num_rows == 0
    assert merged.hosts.num_rows == 0
    assert len(merged.columns) == 0


def test_a_hundred_thousand_exchanges_take_a_fraction_of_a_second() -> None:
    """Vectors all the way: a few microseconds an exchange, with room for a loaded machine."""
    count = 50_000
    world = chain(2)
    world.exchanges = [row for row in world.exchanges if row["client_port"] == 40_001][:2]
    seed = table("exchanges", world.exchanges, EXCHANGE_DEFAULTS)
    exchanges = pa.concat_tables([seed] * count).combine_chunks()
    step = np.repeat(np.arange(count), 2)
    for name in ("request_start_ns", "request_end_ns", "response_start_ns", "response_end_ns"):
        position = exchanges.schema.get_field_index(name)
        moved = exchanges.column(name).to_numpy() + step * 100_000
        exchanges = exchanges.set_column(position, exchanges.schema.field(name), pa.array(moved))
    for name in ("request_seq", "response_seq"):
        position = exchanges.schema.get_field_index(name)
        exchanges = exchanges.set_column(position, exchanges.schema.field(name), pa.array(step * 10 + 3))
    connections = table("connections", list(world.connections.values()), CONNECTION_DEFAULTS)
    begun = time.process_time()
    merged = merge_all(exchanges, connections, [CaptureInfo("web1"), CaptureInfo("app1"), CaptureInfo("db1")])
    assert time.process_time() - begun < 40e-6 * 2 * count
    assert merged.calls.num_rows == count
