"""The parts of a call's time add up to the whole, and each is where it belongs."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.hosts.merge import Roles
from wiretrace.hosts.phases import PARTS, SetUp, split_time
from wiretrace.hosts.timeline import Moments
from wiretrace.hosts.views import Views

MILLISECOND = 1_000_000
FIGURES = ("request_stalled", "response_stalled", "request_blocked", "response_blocked", "queued")


def column(values: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


def parts_of(
    times: list[tuple[int, int, int, int]],
    client: int,
    server: int,
    span: tuple[int, int],
    figures: dict[str, list[int]] | None = None,
    before: tuple[int, int, int] = (0, 0, 0),
    rtt: int = 0,
    first: bool = False,
    handshake: bool = False,
) -> tuple[dict[str, int], bool]:
    """The parts of one call whose views have these `times` (request start and end, response start and end)."""
    count = len(times)
    nothing = [0] * count
    given_figures = {name: column((figures or {}).get(name, nothing)) for name in FIGURES}
    never = column([-1] * count)
    moments = Moments(*(column([each[at] for each in times]) for at in range(4)), never, never, column(nothing))
    zeros = column(nothing)
    views = Views(
        *(zeros.astype(np.int32), zeros, zeros.astype(np.int32), zeros, zeros.astype(np.int32), zeros),
        *moments[:4],
        *([zeros + 1] * 4),
        digest=zeros.astype(np.uint64),
        opens=np.full(count, first),
        delivered=np.zeros(count, np.bool_),
        **given_figures,
        given_up=never,
        tls=zeros,
        addresses=[],
    )
    roles = Roles(
        column([client]),
        column([server]),
        column([max(client, 0) if client >= 0 else max(server, 0)]),
        np.array([client >= 0]),
        np.array([server >= 0]),
        column([0, 0]),
        column([]),
    )
    set_up = SetUp(*(column([figure] * count) for figure in (*before, rtt)), np.full(count, handshake))
    parts, measured = split_time(views, moments, roles, column([span[0]]), column([span[1]]), set_up)
    return {name: int(part[0]) for name, part in parts.items()}, bool(measured[0])


MOMENT = st.one_of(st.just(-1), st.integers(0, 1000))
TIMES = st.tuples(MOMENT, MOMENT, MOMENT, MOMENT)
FIGURE = st.lists(st.integers(0, 1500), min_size=2, max_size=2)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(TIMES, min_size=2, max_size=2),
    st.sampled_from([(0, 1), (0, -1), (-1, 1), (0, 0)]),
    st.tuples(st.integers(0, 1000), st.integers(0, 1000)),
    st.fixed_dictionaries(dict.fromkeys(FIGURES, FIGURE)),
    st.tuples(*[st.integers(0, 50)] * 3),
    st.integers(0, 100),
    st.booleans(),
    st.booleans(),
)
def test_the_parts_add_up_to_the_whole(
    times: list[tuple[int, int, int, int]],
    ends: tuple[int, int],
    span: tuple[int, int],
    figures: dict[str, list[int]],
    before: tuple[int, int, int],
    rtt: int,
    first: bool,
    handshake: bool,
) -> None:
    """Whatever was seen of a call, no part is negative, and nothing is counted twice or left out."""
    start, end = min(span), max(span)
    parts, _ = parts_of(times, *ends, (start, end), figures, before, rtt, first, handshake)
    assert tuple(parts) == PARTS
    assert min(parts.values()) >= 0
    assert sum(parts.values()) == end - start + (sum(before) if first else 0)


def test_what_both_ends_saw_tells_the_network_from_the_server() -> None:
    """The callee's clock is an hour ahead, which does not matter: its own wait is a duration."""
    hour = 3_600_000 * MILLISECOND
    caller = (0, 1 * MILLISECOND, 31 * MILLISECOND, 35 * MILLISECOND)
    callee = tuple(hour + each * MILLISECOND for each in (5, 6, 26, 30))
    parts, measured = parts_of([caller, callee], 0, 1, (0, 35 * MILLISECOND))  # type: ignore[list-item]
    assert measured
    assert {name: part // MILLISECOND for name, part in parts.items() if part} == {
        "request_ns": 1,
        "network_ns": 10,
        "server_ns": 20,
        "response_ns": 4,
    }


def test_a_request_that_was_sent_again_did_not_keep_the_server_busy() -> None:
    """200 ms until the lost request was sent again: with the callee's view the network's time, without it the wait's."""
    caller, callee = (0, 0, 231, 231), (225, 225, 230, 230)
    stalled = {"request_stalled": [200, 0]}
    both, _ = parts_of([caller, callee], 0, 1, (0, 231), stalled, rtt=2)
    assert {name: part for name, part in both.items() if part} == {
        "network_ns": 26,
        "server_ns": 5,
        "retransmission_ns": 200,
    }
    alone, measured = parts_of([caller], 0, -1, (0, 231), {"request_stalled": [200]})
    assert not measured
    assert {name: part for name, part in alone.items() if part} == {"server_ns": 31, "retransmission_ns": 200}


def test_setting_up_a_connection_is_told_of_its_first_call_only() -> None:
    times = [(0, 0, 10, 10)]
    assert parts_of(times, 0, -1, (0, 10), before=(7, 3, 5), first=True)[0]["connect_ns"] == 3
    assert parts_of(times, 0, -1, (0, 10), before=(7, 3, 5), first=False)[0]["connect_ns"] == 0
