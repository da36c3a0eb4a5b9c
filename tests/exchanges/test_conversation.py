"""A conversation, fed in pieces as segments bring them: what it makes of a connection does not depend on the pieces."""

from __future__ import annotations

import random
import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.test_mysql import WHOLE
from tests.protocols.test_mysql_compression import packed, told
from tests.protocols.test_tds import ROWS
from tests.support import tds
from tests.support.dissect import dissect
from tests.support.tls import client_context, make_certificate, shaken_hands

from wiretrace.exchanges.conversation import Conversation
from wiretrace.model.limits import Limits
from wiretrace.model.message import Role
from wiretrace.model.note import Notes
from wiretrace.model.side import Side
from wiretrace.protocols.memcached import Memcached
from wiretrace.protocols.tls_key_log import KeyLog
from wiretrace.protocols.tls_session import KEY_LOG
from wiretrace.protocols.tls_wire import APPLICATION_DATA


def converse(
    client: bytes,
    server: bytes,
    port: int,
    chooser: random.Random | None,
    keys: KeyLog | None = None,
    lost: tuple[int, int, int] = (-1, 0, 0),
) -> Conversation:
    """Feed both streams to the end: by turns in pieces of any size, or the client's first and then the server's, whole.

    Of the direction `lost`, the bytes between two offsets were not captured.
    """
    shared: dict[str, dict[str, object]] = {} if keys is None else {"tls": {KEY_LOG: keys}}
    addresses = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
    conversation = Conversation(0, 0, (True, True), (40000, port), Limits(), Notes(), shared, False, addresses)
    streams, done = (client, server), [0, 0]
    while done != [len(client), len(server)]:
        direction = chooser.randrange(2) if chooser else int(done[0] == len(client))
        size = chooser.choice((1, 7, 40, 300, 5000)) if chooser else len(streams[direction])
        piece = streams[direction][done[direction] : done[direction] + size]
        start = done[direction]
        if direction == lost[0] and start < lost[2] and start + len(piece) > lost[1]:
            piece = piece[: max(0, lost[1] - start)] or streams[direction][start : lost[2]]
            if start >= lost[1]:
                done[direction] += len(piece)
                continue
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


def records_of(stream: bytes) -> list[bytes]:
    """The records of TLS."""
    records, at = [], 0
    while at < len(stream):
        end = at + 5 + int.from_bytes(stream[at + 3 : at + 5], "big")
        records.append(stream[at:end])
        at = end
    return records


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, KeyLog]:
    """A connection to SQL Server whose two ends agreed on encryption, as both ends send it, and its secrets."""
    folder = tmp_path_factory.mktemp("tds")
    make_certificate(folder)
    talk = client_context(folder / "keys.log", version=ssl.TLSVersion.TLSv1_2)
    dialogue = [
        (tds.login("mary", "hunter2", "shop"), tds.packets(4, tds.login_answer("shop"))),
        (tds.batch("SELECT 1"), tds.packets(4, ROWS)),
    ]
    streams = []
    for kind, stream in zip((18, 4), shaken_hands(folder, talk, dialogue), strict=True):
        told = tds.packets(kind, tds.prelogin(encryption=1))
        for record in records_of(stream):
            told += record if record[0] == APPLICATION_DATA else tds.packets(18, record, size=512)
        streams.append(told)
    keys = KeyLog(100)
    keys.add((folder / "keys.log").read_bytes().splitlines())
    return streams[0], streams[1], keys


@pytest.mark.parametrize("seed", range(8))
def test_tds_goes_on_inside_of_the_tls_whose_handshake_its_packets_carried(
    encrypted: tuple[bytes, bytes, KeyLog], seed: int
) -> None:
    """With the keys login and statements are read; without them they are opaque calls. Every byte is accounted for."""
    client, server, keys = encrypted
    opened = converse(client, server, 1433, random.Random(seed), keys)
    requests = [message for message in opened.messages[0] if message.role is Role.REQUEST]
    assert [message.operation for message in requests] == ["login", "SELECT"]
    assert [(message.attributes or {})["tls.protocol.version"] for message in requests] == ["1.2", "1.2"]
    assert [message.status for message in opened.messages[1] if message.role is Role.RESPONSE] == ["OK", "OK"]
    closed = converse(client, server, 1433, random.Random(seed))
    assert closed.protocol_name == "tls"
    for side, stream in enumerate((client, server)):
        assert [message.role for message in closed.messages[side]].count(Role.PART) == 2
        for read in (opened, closed):
            assert read.messages[side][-1].end == len(stream)
            assert not read.unread.total()


@pytest.mark.parametrize("side", [0, 1])
def test_where_a_part_of_that_handshake_is_missing_there_are_opaque_calls(
    encrypted: tuple[bytes, bytes, KeyLog], side: int
) -> None:
    """The keys are known, and yet can not be used."""
    client, server, keys = encrypted
    lost = 60, 200
    read = converse(client, server, 1433, random.Random(1), keys, (side, *lost))
    assert read.protocol_name == "tls"
    assert [[message.role for message in messages].count(Role.PART) for messages in read.messages] == [2, 2]


def test_answers_that_nobody_asked_for_are_read_at_the_end() -> None:
    """One side of the capture is empty: the other waited for its word, and need not any more."""
    server = b"VALUE k1 0 2\r\nab\r\nEND\r\n" * 3
    read = converse(b"", server, 11211, None)
    assert [message.end for message in read.messages[1]] == [
        message.end for message in dissect(Memcached, b"", server).responses
    ]
    assert read.side(Side.SERVER).position == len(server)
