"""Requests with equal identifiers: they are answered in their order, where it is sure that all of them wait."""

from __future__ import annotations

import pytest
from tests.support.captures import TcpConversation
from tests.support.packets import Exchanges

from wiretrace.exchanges.message_table import MessageTable
from wiretrace.exchanges.pairing import Located, Pair
from wiretrace.exchanges.pairing_identifier import pair_by_identifier
from wiretrace.exchanges.provenance import Provenance
from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Role
from wiretrace.model.note import Notes
from wiretrace.model.side import Side
from wiretrace.protocols.amqp_wire import NUMBERS

KEY = 7


def located(role: Role, at: int, ack: int = 0) -> Located:
    return Located(Message(role, at, at + 1, key=KEY), at, at, ack, ack, 1, False)


def paired(requests: list[Located], responses: list[Located], *, aligned: bool) -> list[tuple[int | None, int | None]]:
    pairs: list[Pair] = []
    table = MessageTable([], set(), Provenance(Limits(), Notes()), Provenance(Limits(), Notes()).stream)
    waiting = pair_by_identifier(requests, responses, pairs, table, unique=False, aligned=aligned)
    return [
        (pair.request.start_ns if pair.request else None, pair.response.start_ns if pair.response else None)
        for pair in [*pairs, *(Pair(each, None, pairs[0].proof) for each in waiting[0])]
    ]


@pytest.mark.parametrize("aligned", [True, False])
def test_requests_sent_together_are_answered_in_their_order(aligned: bool) -> None:
    requests = [located(Role.REQUEST, at) for at in (1, 2, 3)]
    responses = [located(Role.RESPONSE, at) for at in (5, 6)]
    assert paired(requests, responses, aligned=aligned) == [(1, 5), (2, 6), (3, None)]


def test_where_packets_are_missing_a_request_sent_after_an_answer_replaces_the_one_before() -> None:
    """The client heard of the server between them: that may have been the answer, which the capture lacks."""
    requests = [located(Role.REQUEST, 1), located(Role.REQUEST, 3, ack=4)]
    assert paired(requests, [located(Role.RESPONSE, 5)], aligned=False) == [(1, None), (3, 5)]


def test_methods_of_one_channel_that_are_sent_together_get_each_its_own_answer() -> None:
    """AMQP: three queues are declared on one channel before the first answer comes; the answers differ in length."""

    def frame(name: str, arguments: bytes) -> bytes:
        payload = bytes((0, NUMBERS[name][0], 0, NUMBERS[name][1])) + arguments
        return b"\1\0\1" + len(payload).to_bytes(4) + payload + b"\xce"

    names = (b"a", b"bb", b"ccc")
    conversation = TcpConversation(server=("10.0.0.2", 5672)).open().send(Side.CLIENT, b"AMQP\0\0\x09\x01")
    conversation.send(Side.CLIENT, frame("channel.open", b"\0")).send(Side.SERVER, frame("channel.open-ok", bytes(4)))
    for name in names:
        text = bytes((len(name),)) + name
        conversation.send(Side.CLIENT, frame("queue.declare", b"\0\0" + text + bytes(5)))
    for name in names:
        text = bytes((len(name),)) + name
        conversation.send(Side.SERVER, frame("queue.declare-ok", text + bytes(8)))
    rows = [row for row in Exchanges(conversation.acknowledge(Side.CLIENT).packets).rows if "queue" in row["summary"]]
    assert [(row["summary"], row["response_bytes"]) for row in rows] == [
        (f"queue.declare {name.decode()}", 21 + len(name)) for name in names
    ]
