"""Turns: requests and answers of a connection whose messages can not be told apart."""

from __future__ import annotations

from tests.support.captures import TcpConversation, drop
from tests.support.packets import Exchanges

from wiretrace.model.side import Side

CLIENT, SERVER = Side.CLIENT, Side.SERVER


def record(size: int) -> bytes:
    """A record of application data whose content is nobody's business."""
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size)


def talk(*steps: tuple[Side, int]) -> TcpConversation:
    """A connection in which the capture joins midway: records of these sizes."""
    conversation = TcpConversation(server=("10.0.0.2", 443))
    for side, size in steps:
        conversation.send(side, record(size))
    return conversation


def sizes(read: Exchanges) -> list[tuple[int, int]]:
    return [(row["request_bytes"], row["response_bytes"]) for row in read.rows]


def test_a_turn_of_each_side_is_an_exchange() -> None:
    """However many records they are; the outcome stays open."""
    read = Exchanges(
        talk((CLIENT, 100), (CLIENT, 50), (SERVER, 3000), (SERVER, 20), (CLIENT, 90), (SERVER, 40)).packets
    )
    assert sizes(read) == [(160, 3030), (95, 45)]
    assert {row["operation"] for row in read.rows} == {"opaque call"}
    assert {row["proof"] for row in read.rows} == {"acknowledged"}
    assert [row["possible"] for row in read.rows] == [["ok", "error"]] * 2
    assert all("encrypted" in row["notes"][0] for row in read.rows)
    assert read.unexplained == 0


def test_what_the_server_sends_before_any_request_answers_nothing() -> None:
    """Where the capture joined midway, it may answer what was before."""
    read = Exchanges(talk((SERVER, 200), (CLIENT, 100), (SERVER, 70)).packets)
    assert sizes(read) == [(0, 205), (105, 75)]
    assert read.rows[0]["outcome"] == "not_captured"


def test_an_answer_that_left_before_the_request_came_answers_nothing() -> None:
    """A ticket crosses the request: its packet does not acknowledge a byte of it."""
    conversation = talk((CLIENT, 30), (SERVER, 30), (CLIENT, 100))
    conversation.segment(SERVER, 0x10, record(300), ack=1_000 + 35).wait(5_000_000).send(SERVER, record(70))
    read = Exchanges(conversation.packets)
    assert sizes(read) == [(35, 35), (105, 75)]
    assert read.rows[1]["response_start_ns"] - read.rows[1]["request_start_ns"] > 5_000_000


def test_where_an_answer_is_missing_two_requests_are_not_made_one() -> None:
    """The second answer is not given to the first request."""
    conversation = talk((CLIENT, 100), (SERVER, 60), (CLIENT, 110), (SERVER, 70), (CLIENT, 120), (SERVER, 80))
    whole = Exchanges(conversation.packets)
    pairs = {(row["request_seq"], row["response_seq"]) for row in whole.rows}
    for missing in range(len(conversation.packets)):
        read = Exchanges(drop(conversation.packets, missing))
        found = {(row["request_seq"], row["response_seq"]) for row in read.rows if row["proof"]}
        assert found <= pairs, missing
        assert read.unexplained == 0


def test_a_request_without_an_answer_is_a_half() -> None:
    read = Exchanges(talk((CLIENT, 100), (SERVER, 60), (CLIENT, 110)).close().packets)
    assert [(row["request_bytes"], row["outcome"]) for row in read.rows] == [(105, "ok"), (115, "client_aborted")]
