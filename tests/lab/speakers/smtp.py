"""SMTP: smtplib and aiosmtpd: several letters on a connection, refused recipients, letters not taken, pipelining."""

from __future__ import annotations

import contextlib
import functools
import smtplib
import socket
from typing import TYPE_CHECKING

from aiosmtpd.controller import Controller
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once
from tests.protocols.recording.smtp import Handler
from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CALLS_A_ROUND = 36
SECONDS = 60
LETTER = "Subject: Your order\r\n\r\nIt is on its way.\r\n"
LARGE = LETTER + "paint paint paint\r\n" * 20_000


@contextlib.contextmanager
def server(_folder: Path) -> Iterator[int]:
    """A server that takes what is for shop.test."""
    controller = Controller(Handler(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


class Client(smtplib.SMTP):
    """A connection, which writes down what it asks."""

    diary: Diary
    own = 0

    def note(self, operation: str, code: int) -> None:
        """Write down a command."""
        self.diary.note(operation, str(code), "error" if code >= 400 else "ok", connection=self.own)

    def command(self, operation: str, ask: Callable[[], tuple[int, bytes]]) -> int:
        """One command and the code of its reply."""
        code, _ = ask()
        self.note(operation, code)
        return code

    def letter(self, recipients: tuple[str, ...], text: str) -> None:
        """One letter, as `sendmail` sends it, command by command."""
        self.command("MAIL FROM", functools.partial(self.mail, "shop@shop.test", [f"size={len(text)}"]))
        taken = [self.command("RCPT TO", functools.partial(self.rcpt, name)) for name in recipients]
        if any(code == 250 for code in taken):
            code, _ = self.data(text)
            self.note("DATA", 354)
            self.note("message", code)
        else:
            self.command("RSET", self.rset)


def speak(port: int, diary: Diary, calls: int) -> None:
    """Several clients."""
    at_once(lambda _: visit(port, diary, max(1, calls // CLIENTS // CALLS_A_ROUND)))


def visit(port: int, diary: Diary, rounds: int) -> None:
    """One client: a connection for each round, and one with commands that are not waited for."""
    for _ in range(rounds):
        client = Client(timeout=SECONDS, local_hostname="web1.shop.test")
        client.diary = diary
        client.connect("127.0.0.1", port)
        assert client.sock is not None
        client.own = client.sock.getsockname()[1]
        client.command("EHLO", client.ehlo)
        client.letter(("alice@shop.test",), LETTER)
        client.letter(("alice@shop.test", "bob@elsewhere.test", "carol@shop.test"), LETTER)
        client.letter(("bob@elsewhere.test",), LETTER)
        client.letter(("carol@shop.test",), LETTER + "busy\r\n")
        client.letter(("dave@shop.test",), LARGE)
        client.command("NOOP", client.noop)
        client.command("VRFY", functools.partial(client.verify, "alice@shop.test"))
        client.command("QUIT", client.quit)
        in_advance(port, diary)


def in_advance(port: int, diary: Diary) -> None:
    """Commands in one write (RFC 2920), and a letter with what comes behind it."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as stream, stream.makefile("rb") as replies:
        own = stream.getsockname()[1]

        def read() -> int:
            line = replies.readline()
            while line[3:4] == b"-":
                line = replies.readline()
            return int(line[:3])

        def note(*operations: str) -> None:
            for operation in operations:
                code = read()
                diary.note(operation, str(code), "error" if code >= 400 else "ok", connection=own)

        read()
        stream.sendall(b"EHLO web1.shop.test\r\n")
        note("EHLO")
        stream.sendall(b"MAIL FROM:<a@shop.test>\r\nRCPT TO:<b@elsewhere.test>\r\nRCPT TO:<b@shop.test>\r\nDATA\r\n")
        note("MAIL FROM", "RCPT TO", "RCPT TO", "DATA")
        stream.sendall(b"short\r\n.\r\nNOOP\r\nQUIT\r\n")
        note("message", "NOOP", "QUIT")


SCENARIOS = (Scenario("SMTP (aiosmtpd)", server, speak),)
