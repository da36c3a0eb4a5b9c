"""Messages in pieces are put together, and what is kept of unfinished ones is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.support.captures import TcpConversation
from tests.support.http2 import RST_STREAM, client, frame, server
from tests.support.packets import Exchanges

from wiretrace.exchanges.pairing import Located
from wiretrace.exchanges.parts import COMPACTED_AT, Assembly, join_parts
from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Role
from wiretrace.model.note import NoteKind, Notes
from wiretrace.model.side import Side

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Chunk:
    """Stands for the messages of a chunk: the message at index `at` is in frame `at` + 100."""

    @staticmethod
    def frames_of(index: int) -> NDArray[np.int64]:
        return np.array([100 + index])


def joined(pieces: list[Located], open_messages: dict[int, Assembly], limits: Limits, notes: Notes) -> list[Located]:
    """What is put together of `pieces`."""
    return join_parts(pieces, open_messages, Chunk(), limits, notes)  # type: ignore[arg-type]


def located(role: Role, start: int, end: int, at: int, key: int = 1) -> Located:
    """A piece that came at time `at`, in a frame of its own."""
    return Located(Message(role, start, end, key=key), at, at, at, at, end - start, damaged=False, index=at)


def test_a_message_has_the_beginning_of_its_first_piece_and_the_end_of_its_last_one() -> None:
    pieces = [
        located(Role.PART, 0, 10, 0),
        located(Role.PART, 10, 40, 1, key=3),
        located(Role.CONTROL, 40, 50, 2, key=0),
        located(Role.RESPONSE, 50, 60, 3),
    ]
    open_messages: dict[int, Assembly] = {}
    control, whole = joined(pieces, open_messages, Limits(), Notes())
    assert control.message.role is Role.CONTROL
    assert (whole.message.start, whole.message.end, whole.elsewhere, whole.captured) == (0, 60, 40, 20)
    assert (whole.start_ns, whole.end_ns, whole.ack, whole.last_ack) == (0, 3, 0, 3)
    assert whole.frames is not None
    assert whole.frames.tolist() == [100, 103]
    assert list(open_messages) == [3], "the other one waits"


def test_an_empty_last_piece_ends_where_the_one_before_it_did() -> None:
    pieces = [located(Role.PART, 0, 10, 0), located(Role.RESPONSE, 70, 70, 5)]
    [whole] = joined(pieces, {}, Limits(), Notes())
    assert (whole.message.end, whole.end_ns, whole.elsewhere) == (10, 0, 0)


def test_frames_of_a_message_in_many_pieces_are_bounded() -> None:
    """The first and the last ones are kept, and a note says so."""
    count = 4 * COMPACTED_AT
    notes = Notes()
    pieces = [located(Role.PART, 2 * at, 2 * at + 1, at) for at in range(count)]
    pieces.append(located(Role.RESPONSE, 2 * count, 2 * count + 1, count))
    [whole] = joined(pieces, {}, Limits(message_segments=400), notes)
    assert whole.frames is not None
    assert len(whole.frames) < 400 + COMPACTED_AT + 2
    assert (whole.frames[0], whole.frames[-1]) == (100, 100 + count)
    assert notes.counts[NoteKind.LIMIT_REACHED, "message_segments"] > 0
    assert whole.captured == count + 1


def test_a_request_that_is_called_off_ends_with_the_clients_last_word() -> None:
    """Its outcome, and how long the client waited, come of the reset; other streams go on."""
    asking, answering = client(), server()
    conversation = TcpConversation(server=("10.0.0.2", 50051)).open()
    conversation.send(Side.CLIENT, asking.ask(1, "/slow").stream).send(Side.SERVER, answering.stream)
    conversation.wait(1_000_000_000)
    reset = frame(RST_STREAM, 0, 1, b"\0\0\0\x08")
    conversation.send(Side.CLIENT, reset)
    before, behind = len(asking.stream), len(answering.stream)
    conversation.send(Side.CLIENT, asking.ask(3, "/next").stream[before:])
    conversation.send(Side.SERVER, answering.answer(3).stream[behind:])
    for limits in (Limits(), Limits(chunk_bytes=200)):
        slow, following = Exchanges(conversation.packets, limits).rows
        assert (slow["summary"], slow["outcome"], slow["possible"][1]) == (
            "GET /slow",
            "client_aborted",
            "client_timeout",
        )
        assert slow["request_end_ns"] - slow["request_start_ns"] > 1_000_000_000
        assert len(slow["request_frames"]) == 2
        assert (following["summary"], following["status"], following["outcome"]) == ("GET /next", "200", "ok")


@pytest.mark.parametrize(("timeout", "outcome"), [("1S", "client_timeout"), ("5S", "client_aborted")])
@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_waited_as_long_as_it_said_has_timed_out(timeout: str, outcome: str, begun: bool) -> None:
    """Whether or not the answer had begun."""
    kind = ("content-type", "application/grpc")
    asking = client().ask(1, "/a.B/C", kind, ("grpc-timeout", timeout), method="POST")
    conversation = TcpConversation().open().send(Side.CLIENT, asking.stream)
    conversation.send(Side.SERVER, (server().answer(1, 200, kind, end=False) if begun else server()).stream)
    conversation.wait(1_000_000_000).send(Side.CLIENT, frame(RST_STREAM, 0, 1, b"\0\0\0\x08")).close()
    [row] = Exchanges(conversation.packets).rows
    assert (row["protocol"], row["outcome"], row["status"]) == ("grpc", outcome, "200" if begun else "")


def test_streams_that_the_connection_cuts_off_are_judged_by_its_end() -> None:
    asking, answering = client().ask(1, "/a").ask(3, "/b"), server().answer(1, end=False).data(1, b"half")
    for reset, outcomes in ((False, ["server_closed"] * 2), (True, ["server_reset"] * 2)):
        conversation = TcpConversation().open()
        conversation.send(Side.CLIENT, asking.stream).send(Side.SERVER, answering.stream)
        (conversation.reset if reset else conversation.close)(Side.SERVER)
        read = Exchanges(conversation.packets)
        assert [row["outcome"] for row in read.rows] == outcomes
        assert read.unexplained == 0
