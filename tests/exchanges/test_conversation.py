"""A conversation, fed in pieces as segments bring them: what it makes of a connection does not depend on the pieces."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.test_mysql import WHOLE
from tests.protocols.test_mysql_compression import packed, told
from tests.support.dissect import dissect

from wiretrace.exchanges.conversation import Conversation
from wiretrace.model.limits import Limits
from wiretrace.model.note import Notes
from wiretrace.model.side import Side
from wiretrace.protocols.memcached import Memcached


def converse(client: bytes, server: bytes, port: int, chooser: random.Random | None) -> Conversation:
    """Feed both streams to the end: by turns in pieces of any size, or the client's first and then the server's, whole."""
    addresses = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
    conversation = Conversation(0, 0, (True, True), (40000, port), Limits(), Notes(), {}, False, addresses)
    streams, done = (client, server), [0, 0]
    while done != [len(client), len(server)]:
        direction = chooser.randrange(2) if chooser else int(done[0] == len(client))
        size = chooser.choice((1, 7, 40, 300, 5000)) if chooser else len(streams[direction])
        piece = streams[direction][done[direction] : done[direction] + size]
        if piece:
            conversation.add(direction, done[direction], piece, [])
            conversation.advance(final=False)
        done[direction] += len(piece)
    conversation.finish((len(client), len(server)))
    return conversation


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["zlib", "zstd"]))
def test_messages_inside_of_a_frame_that_is_not_read_to_its_end_release_the_other_side(seed: int, form: str) -> None:
    """Statements and answers in the same compressed packets, each of which waits for the one before it."""
    chooser = random.Random(seed)
    client, server = packed(form, chooser)
    read = converse(client, server, 3306, chooser)
    assert (told(read.messages[0]), told(read.messages[1])) == (told(WHOLE.requests), told(WHOLE.responses))
    assert not read.unread


def test_answers_that_nobody_asked_for_are_read_at_the_end() -> None:
    """One side of the capture is empty: the other waited for its word, and need not any more."""
    server = b"VALUE k1 0 2\r\nab\r\nEND\r\n" * 3
    read = converse(b"", server, 11211, None)
    assert [message.end for message in read.messages[1]] == [
        message.end for message in dissect(Memcached, b"", server).responses
    ]
    assert read.side(Side.SERVER).position == len(server)
