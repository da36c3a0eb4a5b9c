"""What captures of both ends, or of one, tell of lost segments."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.tables import table_of

from wiretrace.case.manifest import Manifest
from wiretrace.case.reader import Case
from wiretrace.diagnosis.losses import losses_of

ADDRESSES = {"web": "10.0.0.1", "shop": "10.0.0.2", "base": "10.0.0.3"}


class Told(NamedTuple):
    """What is told of one way."""

    sent: int
    lost: int
    needless: int
    again: int
    missed: int


def row(capture: str, client: str = "web", server: str = "shop", port: int = 40_000, **more: Any) -> dict[str, Any]:
    """A connection as one capture shows it."""
    known = {
        "capture": capture,
        "transport": "tcp",
        "client_address": ADDRESSES.get(client, client),
        "client_port": port,
        "server_address": ADDRESSES.get(server, server),
        "server_port": 80,
        "ended": "open",
        "client_segments": 100,
        "server_segments": 100,
        "client_bytes": 50_000,
        "server_bytes": 90_000,
    }
    return known | more


def told(*rows: dict[str, Any], recorders: tuple[str, ...] = ("web", "shop", "base")) -> dict[tuple[str, str], Told]:
    """What is told of each way by sender and receiver."""
    hosts = [
        {
            "host": name,
            "addresses": [address],
            "services": [],
            "captures": [name, f"{name}-2"] if name in recorders else [],
        }
        for name, address in ADDRESSES.items()
    ]
    tables = {"connections": table_of("connections", rows), "hosts": table_of("hosts", hosts)}
    losses = losses_of(Case(Path("a.case"), Manifest(), tables))
    names = losses.machines
    figures = zip(*(column.tolist() for column in losses[3:]), strict=True)
    ends = zip(losses.sender.tolist(), losses.receiver.tolist(), strict=True)
    return {(names[one], names[other]): Told(*each) for (one, other), each in zip(ends, figures, strict=True)}


def test_what_left_and_did_not_come_was_lost_on_the_way() -> None:
    """Both directions are told apart: the sender's capture has the segments again, the receiver's has not."""
    found = told(
        row("web", client_segments=107, client_retransmitted=7, server_retransmitted=0),
        row("shop", client_segments=100, server_segments=102, server_retransmitted=2),
    )
    assert found == {("web", "shop"): Told(107, 7, 0, 0, 0), ("shop", "web"): Told(102, 2, 0, 0, 0)}


def test_what_came_twice_was_not_lost() -> None:
    """A tail loss probe, or a timer that was too short: the receiver's capture has the segment twice."""
    found = told(row("web", client_retransmitted=7), row("shop", client_retransmitted=5))
    assert found["web", "shop"] == Told(100, 2, 5, 0, 0)


@pytest.mark.parametrize("end", ["web", "shop"])
def test_from_one_end_losses_and_needless_repetitions_can_not_be_told_apart(end: str) -> None:
    """Whichever end was captured: what was sent again is told as that, and not as lost."""
    found = told(row(end, client_retransmitted=7), recorders=(end,))
    assert found["web", "shop"] == Told(100, 0, 0, 7, 0)


def test_a_capture_between_two_hosts_is_one_end() -> None:
    """A mirror port does not know what happened before and behind it."""
    found = told(row("mirror", server_retransmitted=7), recorders=())
    assert found["shop", "web"] == Told(100, 0, 0, 7, 0)


def test_captures_of_different_times_are_not_compared() -> None:
    """Where the server's recorder began late, what it lacks was not lost: neither is known."""
    found = told(
        row("web", client_segments=900, client_bytes=450_000, client_retransmitted=9),
        row("shop", client_retransmitted=1),
    )
    assert found["web", "shop"] == Told(900, 0, 0, 9, 0)


def test_bytes_that_the_recorder_missed_are_no_loss() -> None:
    """The capture lacks bytes that were acknowledged, and nothing was sent again."""
    found = told(row("web"), row("shop", client_bytes=45_000, client_segments=90, client_lost_bytes=5_000))
    assert found["web", "shop"] == Told(100, 0, 0, 0, 0)
    repeating = told(row("web", client_retransmitted=1), row("shop", client_lost_bytes=900, client_bytes=49_100))
    assert repeating["web", "shop"] == Told(100, 1, 0, 0, 900)


def test_probes_of_a_closed_window_are_no_loss() -> None:
    """Some systems probe with a byte that was sent already, or is sent again afterwards."""
    probed = row("web", client_retransmitted=9, zero_windows=4)
    assert told(probed, recorders=("web",))["web", "shop"] == Told(100, 0, 0, 0, 0)
    assert told(probed, row("shop", client_retransmitted=9))["web", "shop"] == Told(100, 0, 9, 0, 0)


def test_a_lost_syn_is_a_lost_segment_and_an_attempt_that_nobody_answers_is_none() -> None:
    """Who is not there answers no SYN, however often it is sent."""
    found = told(
        row("web", handshake=True, syns_repeated=2),
        row("shop", handshake=True, syn_acks_repeated=1),
        row("web", server="base", port=40_001, handshake=True, syns_repeated=6, ended="unanswered"),
    )
    assert found["web", "shop"] == Told(103, 2, 0, 0, 0)
    assert found["shop", "web"] == Told(102, 1, 0, 0, 0)
    assert found["web", "base"] == Told(100, 0, 0, 0, 0)


def test_a_host_that_captured_on_two_interfaces_counts_once() -> None:
    """Two captures of one host show the same connection."""
    found = told(row("web", client_retransmitted=7), row("web-2", client_retransmitted=7), row("shop"), row("shop-2"))
    assert found["web", "shop"].lost == 7


def test_a_port_that_is_used_again_is_counted_with_the_connection_before() -> None:
    """Connections with the same ends follow each other, and both captures have both of them."""
    found = told(row("web", client_retransmitted=3), row("web"), row("shop"), row("shop", client_retransmitted=1))
    assert found["web", "shop"] == Told(200, 2, 1, 0, 0)


def test_what_stays_within_a_host_and_what_is_no_tcp_counts_for_nothing() -> None:
    """No network is between the two ends of a loopback connection."""
    inside = row("web", client="127.0.0.1", server="127.0.0.1", client_retransmitted=9)
    own = row("web", server="web", client_retransmitted=9)
    assert told(inside, own, row("web", transport="udp", client_retransmitted=9)) == {}


def test_no_connections_no_losses() -> None:
    """A case may hold none."""
    assert told() == {}
