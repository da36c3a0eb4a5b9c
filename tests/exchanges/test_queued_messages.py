"""What exchanges put on queues and take off them: hashes that are equal at both ends, and at no other message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.exchanges.queued_messages import queued_messages
from wiretrace.exchanges.values import ValueHasher
from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Messaging, QueuedMessage, Role

if TYPE_CHECKING:
    import pyarrow as pa

HASHER = ValueHasher(b"key", Limits())
ORDER = QueuedMessage(b"orders", b"order-42")
NOTHING = Message(Role.CONTROL, 0, 0)


def asked(messaging: Messaging | None) -> Message:
    return Message(Role.REQUEST, 0, 1, messaging=messaging)


def columns(requests: list[Message], answers: list[Message]) -> tuple[pa.ListArray, pa.ListArray]:
    return queued_messages(list(enumerate(requests)), list(enumerate(answers)), answers, HASHER)


def test_a_message_hashes_alike_where_it_is_put_and_where_it_is_taken_off() -> None:
    sent, _ = columns([asked(Messaging(sent=(ORDER,)))], [NOTHING])
    _, received = columns([asked(None)], [asked(Messaging(received=(ORDER,)))])
    assert sent.to_pylist() == received.to_pylist()
    assert len(sent.to_pylist()[0]) == 2


def test_an_answer_is_understood_by_its_request() -> None:
    taken = Messaging(taken=lambda values: (QueuedMessage(b"orders", values),))
    answer = Message(Role.RESPONSE, 0, 1, values=b"order-42")
    sent, received = columns([asked(taken), asked(Messaging(sent=(ORDER,)))], [answer, NOTHING])
    assert received.to_pylist() == [sent.to_pylist()[1], []]
    assert sent.to_pylist()[0] == []


def test_identifiers_and_unknown_contents_are_told_apart() -> None:
    """The lowest bit marks an identifier, and 0 stands for what is not known; the destination is still told."""
    destination, named = HASHER.queued(QueuedMessage(b"orders", b"order-42", named=True))
    assert named & 1
    assert HASHER.queued(ORDER)[1] == named ^ 1
    assert HASHER.queued(QueuedMessage(b"orders", b"")) == (destination, 0)
    assert HASHER.queued(QueuedMessage(b"invoices", b"order-42"))[1] not in (named, named ^ 1)
