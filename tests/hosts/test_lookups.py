"""Lookups are joined to the connections that they were made for, name what they led to, and tell what could not be found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hosts.synthetic import EXCHANGE_DEFAULTS, table
from tests.support import dns
from tests.support.captures import START_NS, Packet, TcpConversation, udp_packet, write_pcap
from tests.support.cases import analyzed

from wiretrace.hosts.lookups import MOST_NS, find_lookups, is_address
from wiretrace.hosts.merge import Places
from wiretrace.hosts.views import read_views
from wiretrace.model.settings import Settings
from wiretrace.model.side import Side

if TYPE_CHECKING:
    from pathlib import Path

    from wiretrace.case.reader import Case

APP, DATABASE, RESOLVER = "10.0.0.1", "10.0.0.9", "10.0.0.53"
MS = 1_000_000


def asked(
    number: int, name: str, at_ms: float, *addresses: str, kind: int = dns.A, code: int = 0, took_ms: float = 2
) -> list[Packet]:
    """A question, and its answer (none where `took_ms` is negative)."""
    end = (APP, 40_000 + number)
    at = START_NS + round(at_ms * MS)
    packets = [udp_packet(end, (RESOLVER, 53), dns.query(number, name, kind), at)]
    if took_ms >= 0:
        reply = dns.response(number, name, *addresses, kind=kind, code=code)
        packets.append(udp_packet((RESOLVER, 53), end, reply, at + round(took_ms * MS)))
    return packets


def request(at_ms: float, port: int = 50_000, server: str = DATABASE, paths: int = 1) -> list[Packet]:
    """A connection to the server with a few requests."""
    conversation = TcpConversation((APP, port), (server, 8080), start_ns=START_NS + round(at_ms * MS)).open()
    for number in range(paths):
        conversation.send(Side.CLIENT, f"GET /stock/{number} HTTP/1.1\r\nHost: {server}\r\n\r\n".encode())
        conversation.send(Side.SERVER, b"HTTP/1.1 204 No Content\r\n\r\n")
    return conversation.close().packets


def case_of(tmp_path: Path, *packets: list[Packet]) -> Case:
    path = write_pcap(tmp_path / "app1.pcap", sorted(each for some in packets for each in some))
    return analyzed(tmp_path / "a.case", [path], Settings(jobs=1))


def calls_of(case: Case) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = case.table("calls").to_pylist()
    return sorted(found, key=lambda call: call["start_ns"])


def test_the_first_call_of_a_connection_has_its_lookup(tmp_path: Path) -> None:
    """Of two connections behind one lookup the first has waited for it; calls behind the first did not wait, either."""
    case = case_of(tmp_path, asked(1, "db.shop.test", 0, DATABASE), request(3, paths=2), request(40, port=50_001))
    exchanges = case.table("exchanges").to_pylist()
    found = [(call["summary"], call["lookup_exchange"]) for call in calls_of(case)]
    lookup = next(number for number, row in enumerate(exchanges) if row["protocol"] == "dns")
    assert found == [
        ("A db.shop.test", -1),
        ("GET /stock/0", lookup),
        ("GET /stock/1", -1),
        ("GET /stock/0", -1),
    ]
    assert [call["lookup_ns"] for call in calls_of(case)] == [0, 2 * MS, 0, 0]


@pytest.mark.parametrize(
    ("packets", "reason"),
    [
        (asked(1, "db.shop.test", 0, "10.0.0.77"), "the answer holds another address"),
        (asked(1, "db.shop.test", 4, DATABASE), "the answer came behind the first packet of the connection"),
        (asked(1, "db.shop.test", 0, DATABASE, kind=16), "nobody asked for an address"),
        (asked(1, "db.shop.test", -MOST_NS / MS - 10, DATABASE), "it was long ago"),
    ],
)
def test_what_did_not_serve_a_connection_is_not_joined_to_it(
    tmp_path: Path, packets: list[Packet], reason: str
) -> None:
    case = case_of(tmp_path, packets, request(3))
    assert {call["lookup_exchange"] for call in calls_of(case)} == {-1}, reason


def test_names_that_were_looked_up_name_peers_and_their_services(tmp_path: Path) -> None:
    other = "10.0.0.10"
    case = case_of(
        tmp_path,
        asked(1, "stock.shop.test", 0, DATABASE, other),
        request(3),
        request(9, port=50_001, server=other),
        asked(2, "cdn.test", 20, "10.0.0.80"),
        request(25, port=50_002, server="10.0.0.80"),
    )
    web = [(call["server_service"], call["server_host"]) for call in calls_of(case) if call["protocol"] == "http"]
    assert web == [("stock.shop.test", DATABASE), ("stock.shop.test", other), ("cdn.test", "cdn.test")]
    assert {call["server_service"] for call in calls_of(case) if call["protocol"] == "dns"} == {"dns"}


def test_a_name_that_is_not_there_is_told_at_the_last_question(tmp_path: Path) -> None:
    """A search list: each longer name fails, then the name itself, for both families of addresses."""
    names = ("db.prod.svc.test", "db.svc.test", "db")
    questions = [
        asked(10 * at + family, name, 5 * at + family / 10, code=3, kind=kind)
        for at, name in enumerate(names)
        for family, kind in ((1, dns.A), (2, dns.AAAA))
    ]
    case = case_of(tmp_path, *questions, request(100))
    lookups = [(call["summary"], call["outcome"]) for call in calls_of(case) if call["protocol"] == "dns"]
    assert [outcome for _, outcome in lookups] == ["error"] * 5 + ["dns_failed"]
    assert lookups[-1][0] == "AAAA db"


def test_a_name_that_is_found_in_the_end_did_not_fail(tmp_path: Path) -> None:
    case = case_of(
        tmp_path,
        asked(1, "db.prod.svc.test", 0, code=3),
        asked(2, "db.svc.test", 3, DATABASE),
        asked(3, "db.svc.test", 3.1, code=2, kind=dns.AAAA),
        request(8),
    )
    assert [call["outcome"] for call in calls_of(case)] == ["error", "ok", "error", "ok"]


def test_a_retry_that_fails_again_is_a_failure_of_its_own(tmp_path: Path) -> None:
    case = case_of(tmp_path, asked(1, "db.test", 0, code=2), asked(2, "db.test", 900, code=2), request(7000))
    assert [call["outcome"] for call in calls_of(case)] == ["dns_failed", "dns_failed", "ok"]


def test_a_silent_server_makes_a_lookup_fail(tmp_path: Path) -> None:
    case = case_of(tmp_path, asked(1, "a.test", 0, DATABASE), asked(2, "db.test", 20, took_ms=-1), request(9000))
    assert [call["outcome"] for call in calls_of(case)] == ["ok", "dns_failed", "ok"]


def test_a_lookup_has_the_parent_of_the_call_that_it_served(tmp_path: Path) -> None:
    """Two requests at once: one calls the database and looks it up first; a trace id names the parent of that call alone."""
    packets: list[Packet] = []
    trace = "00-{0:032x}-{0:016x}-01"
    for number in range(40):
        at = 100.0 * number
        for which in (1, 2):
            served = TcpConversation(
                ("10.0.0.2", 20_000 + 10 * number + which), (APP, 80), start_ns=START_NS + round((at + which) * MS)
            ).open()
            head = f"GET /orders HTTP/1.1\r\nHost: app\r\ntraceparent: {trace.format(2 * number + which)}\r\n\r\n"
            served.send(Side.CLIENT, head.encode()).wait(40 * MS).send(Side.SERVER, b"HTTP/1.1 204 No Content\r\n\r\n")
            packets += served.close().packets
        packets += asked(number, "db.shop.test", at + 5, DATABASE)
        chosen = 2 * number + 1 + number % 2
        call = TcpConversation(
            (APP, 30_000 + number), (DATABASE, 8080), start_ns=START_NS + round((at + 8) * MS)
        ).open()
        head = f"GET /stock HTTP/1.1\r\nHost: db\r\ntraceparent: {trace.format(chosen)}\r\n\r\n"
        packets += (
            call.send(Side.CLIENT, head.encode()).send(Side.SERVER, b"HTTP/1.1 204 No Content\r\n\r\n").close().packets
        )
    case = case_of(tmp_path, packets)
    calls = {call["id"]: call for call in calls_of(case)}
    served = [call for call in calls.values() if call["lookup_exchange"] >= 0]
    by_exchange = {call["client_exchange"]: call for call in calls.values()}
    assert len(served) == 40
    assert all(by_exchange[call["lookup_exchange"]]["parent"] == call["parent"] for call in served)
    told = [item for item in case.table("evidence").to_pylist() if item["kind"] == "lookup"]
    assert {calls[item["child"]]["protocol"] for item in told} >= {"dns"}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("10.0.0.1", True),
        ("2001:db8::7", True),
        ("::1", True),
        ("db.test", False),
        ("web1.test:8080", False),
        ("1.2.3", False),
    ],
)
def test_addresses_among_answers_are_told_from_names(text: str, is_one: bool) -> None:
    assert is_address(text) is is_one


ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 6), st.integers(0, 2), st.booleans()), max_size=30
)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_every_lookup_serves_one_connection_that_was_opened_after_its_answer(
    rows: list[tuple[bool, int, int, int, bool]],
) -> None:
    """Whatever comes in whatever order: compared with a search through all pairs."""
    exchanges = []
    for number, (is_lookup, at, took, target, failed) in enumerate(rows):
        address = f"10.0.0.{target}"
        exchanges.append(
            {
                "capture": "app1",
                "connection": number,
                "protocol": "dns" if is_lookup else "http",
                "client_address": APP,
                "server_address": RESOLVER if is_lookup else address,
                "request_start_ns": at * MS,
                "response_start_ns": (at + took) * MS,
                "response_end_ns": (at + took) * MS,
                "outcome": "error" if failed else "ok",
                "attributes": json.dumps(
                    {"dns.question.name": f"n{target}", "wiretrace.dns.question.type": "A"}
                    | ({} if failed else {"dns.answers": address, "wiretrace.dns.ttl": 1})
                ),
                "client_port": 40_000 + number,
                "server_port": 53,
                "request_end_ns": at * MS,
                "request_bytes": 1,
                "response_bytes": 1,
                "request_seq": number,
                "response_seq": number,
                "request_digest": 1,
            }
        )
    columns = table("exchanges", exchanges, EXCHANGE_DEFAULTS)
    views = read_views(columns, ["app1"])
    nothing = np.zeros(len(rows), np.int32)
    flags = np.zeros(len(rows), np.bool_)
    places = Places(nothing, nothing - 1, flags, flags, nothing.astype(np.int8))
    opened = np.array([row[1] * MS for row in rows], np.int64)
    failed_rows = np.array([row[4] for row in rows], np.bool_)
    found = find_lookups(columns, views, places, opened, failed_rows)
    served = [row for row in range(len(rows)) if found.served_by[row] >= 0]
    lookups = [int(found.served_by[row]) for row in served]
    assert len(set(lookups)) == len(lookups)
    for row, lookup in zip(served, lookups, strict=True):
        assert rows[lookup][0] and not rows[row][0] and not rows[lookup][4]
        assert rows[lookup][3] == rows[row][3]
        assert rows[lookup][1] + rows[lookup][2] <= rows[row][1]
        assert found.resolution[row] == found.resolution[lookup] == lookup
    for row, (is_lookup, at, _, target, _) in enumerate(rows):
        if not is_lookup and row not in served:
            free = [
                other
                for other, (looks_up, began, took, towards, failed) in enumerate(rows)
                if looks_up and not failed and towards == target and began + took <= at and other not in lookups
            ]
            assert free == []
    assert not found.failed[[row for row in range(len(rows)) if not rows[row][4]]].any()
    assert isinstance(columns, pa.Table)


def test_a_lookup_is_no_request_that_enters_the_system(tmp_path: Path) -> None:
    """A client asks for names and then for pages: what it wanted are the pages."""
    from wiretrace.diagnosis.summary import summarize

    packets = [
        packet
        for number in range(5)
        for packet in [
            *asked(number, "stock.shop.test", 50 * number, DATABASE),
            *request(50 * number + 3, port=50_000 + number),
        ]
    ]
    summary = summarize(case_of(tmp_path, packets))
    assert summary.requests == 5


def test_what_the_system_asks_everybody_on_the_link_is_caused_by_no_request(tmp_path: Path) -> None:
    """While one request is served, its host asks the resolver once and the link ten times: only the former has a parent."""
    served = TcpConversation(("10.0.0.7", 50_000), (APP, 8080), start_ns=START_NS).open()
    served.send(Side.CLIENT, b"GET /stock HTTP/1.1\r\nHost: app\r\n\r\n")
    link = [
        udp_packet((APP, 5355), ("224.0.0.252", 5355), dns.query(number, "printer"), START_NS + number * 40 * MS)
        for number in range(1, 11)
    ]
    served.now_ns = START_NS + 500 * MS
    served.send(Side.SERVER, b"HTTP/1.1 204 No Content\r\n\r\n")
    calls = calls_of(case_of(tmp_path, served.close().packets, link, asked(77, "db.example", 100)))
    parents = {
        protocol: {call["parent"] for call in calls if call["protocol"] == protocol} for protocol in ("llmnr", "dns")
    }
    assert len([call for call in calls if call["protocol"] == "llmnr"]) == 10
    assert parents["llmnr"] == {None}
    assert None not in parents["dns"]
