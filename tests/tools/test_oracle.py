"""The comparison with an oracle finds agreement, tells each disagreement once, and explains no more than was counted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.captures import TcpConversation, write_pcap
from tools.oracle.comparison import Kind, compare
from tools.oracle.explanations import Explanations
from tools.oracle.running import run_files
from tools.oracle.transactions import Exchange, Transaction, read_oracle

from wiretrace.model.side import Side

if TYPE_CHECKING:
    from pathlib import Path

CLIENT, SERVER = "10.0.0.1:40000", "10.0.0.2:80"
ASKED = Transaction("http", CLIENT, SERVER, 4, 7, "GET /a", "200")
OURS = Exchange("http", CLIENT, SERVER, (4,), (6, 7), "GET /a", "200", "ok")


def kinds(transactions: list[Transaction], exchanges: list[Exchange]) -> list[Kind]:
    return [each.kind for each in compare(transactions, exchanges)["http"].disagreements]


def test_frames_prove_agreement() -> None:
    """The frame in which the oracle saw a message complete is one of ours; the texts may differ."""
    found = compare([ASKED], [replace(OURS, text="GET /[redacted]")])["http"]
    assert (len(found.agreed), found.disagreements) == (1, [])


def test_the_packet_that_closes_is_not_counted_against_us() -> None:
    """The oracle ends a response that ends with the connection at the FIN, which brings no byte of it."""
    assert kinds([replace(ASKED, response_frame=9)], [OURS]) == []


def test_another_counterpart_is_a_disagreement() -> None:
    """A request with a response where the oracle has none is told once, and not again as an extra exchange."""
    assert kinds([replace(ASKED, response_frame=None, status="")], [OURS]) == [Kind.OTHERWISE]


def test_what_one_side_lacks_is_a_disagreement() -> None:
    """A transaction that we lack, and an exchange that the oracle lacks, are both told."""
    elsewhere = replace(OURS, client="10.0.0.3:40000")
    assert kinds([ASKED], [elsewhere]) == [Kind.MISSING, Kind.EXTRA]


def test_an_exchange_agrees_once() -> None:
    """Two transactions in the same frames need two exchanges; the texts tell which is which."""
    second = replace(ASKED, text="GET /b")
    ours = [replace(OURS, text="GET /b"), OURS]
    found = compare([ASKED, second], ours)["http"]
    assert [(transaction.text, exchange.text) for transaction, exchange in found.agreed] == [
        ("GET /a", "GET /a"),
        ("GET /b", "GET /b"),
    ]
    assert kinds([ASKED, second], [OURS]) == [Kind.OTHERWISE]


def test_an_untold_response_is_not_compared() -> None:
    """Where the oracle can not tell the response, ours may be there."""
    asked = replace(ASKED, response_frame=None, status="", response_told=False)
    assert kinds([asked], [OURS]) == []


def test_explanations_cover_what_they_count() -> None:
    """One disagreement more than explained leaves all of the file unexplained, and another protocol is not covered."""
    explanations = Explanations(
        [
            {"protocol": "http", "reason": "one", "files": {"a.pcap": 1}},
            {"protocol": "http", "reason": "other", "files": {"a.pcap": 1}},
        ]
    )
    few = compare([], [OURS, OURS])["http"].disagreements
    many = compare([], [OURS, OURS, OURS])["http"].disagreements
    assert explanations.reasons("a.pcap", "http", few) == ["one", "other"]
    assert explanations.reasons("a.pcap", "http", few[:1]) == ["one"]
    assert explanations.reasons("a.pcap", "http", many) == [None] * 3
    assert explanations.reasons("a.pcap", "redis", few[:1]) == [None]


def entry(protocol: str, request: object, response: object, **other: object) -> dict[str, object]:
    frames = {"req_frame": 4, "resp_frame": 7}
    return {"protocol": protocol, "client": CLIENT, "server": SERVER, "request": request, "response": response} | (
        frames | other
    )


def test_reading_an_oracle(tmp_path: Path) -> None:
    """Entries come in our words; greetings, goodbyes, interim responses and other protocols are left out."""
    path = tmp_path / "oracle.json"
    entries = [
        entry("http", {"method": "GET", "path": "/a"}, {"status": 200}),
        entry("http", None, {"status": 100, "interim": True}, req_frame=None),
        entry("mysql", {"command": "Query (3)", "sql": "SELECT 1"}, {"error": None}),
        entry("mysql", {"command": "ServerGreeting", "sql": "8.0"}, {}),
        entry("mysql", {"command": "Quit (1)", "sql": None}, None),
        entry("pgsql", {"kind": "sslrequest", "sql": None}, None, client="::ffff:10.0.0.1:40000"),
        entry("bgp", {"name": "a"}, None),
    ]
    path.write_text(json.dumps({"transactions": entries}))
    found = read_oracle(path)
    assert [(each.protocol, each.text, each.status) for each in found] == [
        ("http", "GET /a", "200"),
        ("mysql", "SELECT 1", ""),
        ("postgresql", "", ""),
    ]
    assert [each.response_told for each in found] == [True, True, False]
    assert found[2].client == "::ffff:a00:1:40000"


def test_a_query_that_is_sent_again_before_its_answer_is_one(tmp_path: Path) -> None:
    asked = {"id": "0x1", "qname": ["a.test"], "qtype": ["A (Host Address) (1)"]}

    def sent(frame: int, at: float, answered: float | None) -> dict[str, object]:
        times = {"req_frame": frame, "req_time": str(at), "resp_time": answered and str(answered)}
        told = {"protocol": "dns", "request": asked, "response": {} if answered else None}
        return {**told, **times, "resp_frame": frame + 1 if answered else None}

    found = read_oracle(oracle_file(tmp_path, sent(1, 1.0, 3.0), sent(2, 2.0, None), sent(5, 4.0, None)))
    assert [(each.request_frame, each.response_frame, each.text) for each in found] == [
        (1, 2, "A a.test"),
        (5, None, "A a.test"),
    ]


def test_files_are_analyzed_in_processes_of_their_own(tmp_path: Path) -> None:
    """A capture brings its exchanges, a file that is none its refusal, and neither stops the other."""
    talk = TcpConversation().open()
    talk.send(Side.CLIENT, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
    talk.send(Side.SERVER, b"HTTP/1.1 204 No Content\r\n\r\n")
    write_pcap(tmp_path / "a.pcap", talk.packets)
    (tmp_path / "b.pcap").write_bytes(b"no capture at all, but long enough to look at")
    results = {result.file: result for result in run_files(tmp_path, ["a.pcap", "b.pcap"], 2, {})}
    assert [(each.text, each.status) for each in results["a.pcap"].exchanges] == [("GET /a", "204")]
    assert (results["a.pcap"].unexplained_bytes, results["a.pcap"].defect) == (0, "")
    assert results["b.pcap"].refused
    assert (results["b.pcap"].exchanges, results["b.pcap"].defect) == ([], "")


def oracle_file(tmp_path: Path, *entries: dict[str, object]) -> Path:
    path = tmp_path / "oracle.json"
    ends = {"stream": "t/0", "client": CLIENT, "server": SERVER}
    path.write_text(json.dumps({"transactions": [{**ends, **entry} for entry in entries]}))
    return path


UPGRADE = {
    "protocol": "http", "request": {"method": "GET", "path": "/a"}, "response": {"status": 101}, "req_frame": 4,
    "resp_frame": 6,
}  # fmt: skip


def test_a_request_that_goes_over_to_http2_is_answered_on_stream_1(tmp_path: Path) -> None:
    answer = {"protocol": "http2", "h2_stream": 1, "request": None, "response": {"status": "200"}, "req_frame": None,
              "resp_frame": 9}  # fmt: skip
    assert read_oracle(oracle_file(tmp_path, UPGRADE, answer)) == [
        Transaction("http2", CLIENT, SERVER, 4, 9, "GET /a", "200")
    ]


def test_a_websocket_session_is_one_exchange_from_the_first_frames_of_its_sides(tmp_path: Path) -> None:
    frames = [{"from": CLIENT, "frame": 8, "op": "9"}, {"from": CLIENT, "frame": 10, "op": "1"},
              {"from": SERVER, "frame": 11, "op": "2"}, {"from": SERVER, "frame": 12, "op": "8"}]  # fmt: skip
    session = {"protocol": "websocket", "frames": frames}
    assert read_oracle(oracle_file(tmp_path, UPGRADE, session)) == [
        Transaction("http", CLIENT, SERVER, 4, 6, "GET /a", "101"),
        Transaction("websocket", CLIENT, SERVER, 10, 11, "", ""),
    ]


def test_the_status_of_a_call_is_compared_by_its_name(tmp_path: Path) -> None:
    call = {"protocol": "grpc", "h2_stream": 3, "request": {"method": "POST", "path": "/a.B/C"}, "req_frame": 4,
            "response": {"status": "200", "grpc_status": "5"}, "resp_frame": 7}  # fmt: skip
    assert read_oracle(oracle_file(tmp_path, call)) == [Transaction("grpc", CLIENT, SERVER, 4, 7, "a.B/C", "NOT_FOUND")]
