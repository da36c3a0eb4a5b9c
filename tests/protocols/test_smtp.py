"""SMTP: commands and replies in any splits, pipelining, letters, gaps, TLS, redaction, and whatever bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import dissect

from wiretrace.model.message import Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context
from wiretrace.protocols.smtp import Smtp

LETTER = b"Subject: paint\r\n\r\nHelp is on its way\r\n..dots\r\n.\r\n"
CLIENT = (
    b"EHLO web1.test\r\nAUTH PLAIN AHNob3AAc2VjcmV0\r\nMAIL FROM:<alice@shop.test> SIZE=99\r\nRCPT TO:<bob@shop.test>\r\n"
    b"RCPT TO:<carol@shop.test>\r\nDATA\r\n" + LETTER + b"BDAT 10 LAST\r\n0123456789QUIT\r\n"
)
SERVER = (
    b"220 mail.test ESMTP\r\n250-mail.test\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n235 fine\r\n250 OK\r\n250 OK\r\n"
    b"550 nobody\r\n354 go on\r\n451 later\r\n250 taken\r\n221 bye\r\n"
)
ASKED = [
    "EHLO web1.test", "AUTH PLAIN [redacted]", "MAIL FROM [redacted] SIZE=99", "RCPT TO [redacted]", "RCPT TO [redacted]",
    "DATA", f"message of {len(LETTER)} bytes", "BDAT 10 LAST", "QUIT",
]  # fmt: skip


CODES = ["220", "250", "235", "250", "250", "550", "354", "451", "250", "221"]


def test_the_kth_reply_answers_the_kth_command_whatever_the_splits() -> None:
    for seed in range(20):
        found = dissect(Smtp, CLIENT, SERVER, splits=random.Random(seed))
        assert [message.summary for message in found.requests] == ASKED
        assert [message.status for message in found.responses] == CODES
        assert found.responses[0].role is Role.CONTROL
        assert {message.role for message in found.responses[1:]} == {Role.RESPONSE}
        assert found.responses[5].result is Result.CLIENT_ERROR
        assert found.responses[7].result is Result.SERVER_ERROR
        assert found.unread == []


def test_nobody_is_named_unless_values_are_kept() -> None:
    shown = " ".join(message.summary for message in dissect(Smtp, CLIENT, SERVER).requests)
    assert not any(word in shown for word in ("alice", "bob", "carol", "AHNob3"))
    kept = dissect(Smtp, CLIENT, SERVER, context=Context(keep_values=True)).requests
    assert kept[2].summary == "MAIL FROM <alice@shop.test> SIZE=99"
    assert "AHNob3" not in kept[1].summary


def test_a_refused_letter_is_followed_by_a_command() -> None:
    """Nothing but the command behind DATA tells that no letter follows."""
    found = dissect(
        Smtp,
        b"DATA\r\nRSET\r\nDATA\r\n.\r\nQUIT\r\n",
        b"220 a SMTP\r\n554 no\r\n250 OK\r\n354 go\r\n250 OK\r\n221 a\r\n",
    )
    assert [message.operation for message in found.requests] == ["DATA", "RSET", "DATA", "message", "QUIT"]


def test_a_login_in_steps_shows_no_step() -> None:
    found = dissect(Smtp, b"AUTH LOGIN\r\nc2hvcA==\r\nc2VjcmV0\r\nNOOP\r\n", b"")
    assert [message.summary for message in found.requests] == [
        "AUTH LOGIN",
        "AUTH [redacted]",
        "AUTH [redacted]",
        "NOOP",
    ]


def test_behind_starttls_is_tls_on_both_sides() -> None:
    client, server = b"EHLO a\r\nSTARTTLS\r\n", b"220 a ESMTP\r\n250 a\r\n220 go on\r\n"
    for seed in range(10):
        found = dissect(Smtp, client + b"\x16\x03\x01rest", server + b"\x16\x03\x03rest", splits=random.Random(seed))
        assert found.succession is not None
        assert (found.succession.protocol, found.succession.client_offset, found.succession.server_offset) == (
            "tls", len(client), len(server),
        )  # fmt: skip


def test_inside_of_tls_nobody_greets() -> None:
    """What TLS carries behind STARTTLS begins with the client's second EHLO (RFC 3207 section 4.2)."""
    client, server = b"EHLO a\r\nNOOP\r\n", b"250 mail.test\r\n250 OK\r\n"
    assert Smtp.probe(client, server) >= 0.8
    assert {message.role for message in dissect(Smtp, client, server).responses} == {Role.RESPONSE}


def test_behind_a_gap_reading_goes_on_at_the_next_line() -> None:
    found = dissect(Smtp, [CLIENT[:20], 40, CLIENT[60:]], SERVER)
    assert [message.summary for message in found.requests] == [ASKED[0], *ASKED[3:]]


def test_a_letter_with_a_hole_is_told_as_far_as_it_came() -> None:
    begins = CLIENT.index(LETTER)
    found = dissect(Smtp, [CLIENT[: begins + 10], 20, CLIENT[begins + 30 :]], SERVER)
    letter = next(message for message in found.requests if message.operation == "message")
    assert (letter.start, letter.end, letter.damaged) == (begins, begins + 10, True)
    assert found.requests[-1].operation == "QUIT"


def test_a_long_letter_is_not_kept() -> None:
    protocol = Smtp(Context())
    head = b"DATA\r\n"
    assert protocol.parse(Side.CLIENT, head, 0, 0) == len(head)
    at = len(head)
    for _ in range(50):
        piece = b"words\r\n" * 1000
        read = protocol.parse(Side.CLIENT, piece, 0, at)
        assert len(piece) - read < 5
        at += read
    assert [message.operation for message in protocol.requests] == ["DATA"]


def test_a_server_that_refuses_to_talk_says_so_unasked() -> None:
    found = dissect(Smtp, b"", b"554 no SMTP service here\r\n")
    assert [(message.role, message.status, message.summary) for message in found.responses] == [
        (Role.PUSH, "554", "greeting")
    ]


@pytest.mark.parametrize(
    ("client", "server", "least", "most"),
    [
        (b"EHLO a\r\n", b"220 a ESMTP\r\n", 1.0, 1.0),
        (b"", b"220 mail ESMTP ready\r\n", 0.5, 1.0),
        (b"", b"220 ftp ready\r\n", 0.0, 0.0),
        (b"USER a\r\n", b"220 ftp ready\r\n", 0.0, 0.0),
        (b"RCPT TO:<a@b.test>\r\n", b"", 0.5, 1.0),
        (b"GET / HTTP/1.1\r\n", b"", 0.0, 0.0),
        (b"HELP\r\n", b"", 0.0, 0.0),
    ],
)
def test_probes_know_smtp_and_nothing_else(client: bytes, server: bytes, least: float, most: float) -> None:
    assert least <= Smtp.probe(client, server) <= most


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60), st.sampled_from([b"DATA\r\n", b"AUTH LOGIN\r\n", b"BDAT 99\r\n", b".\r\n", b"\x16"])
        )
    ),
    st.binary(max_size=200),
    st.booleans(),
)
@settings(max_examples=150)
def test_no_bytes_break_it(client: list[bytes], server: bytes, from_the_start: bool) -> None:
    sent = b"".join(client)
    Smtp.probe(sent, server)
    dissect(Smtp, sent, server, context=Context(started=(from_the_start, from_the_start)))
