"""SMTP in outline (RFC 5321), with pipelining (RFC 2920), BDAT (RFC 3030) and STARTTLS (RFC 3207).

Rules: the k-th reply answers the k-th command; the greeting answers none. A message that is sent (behind DATA) is a request
of its own, of which nothing is read but its length. Addresses of people, and credentials, are not shown unless the user
keeps values; a line that is no command behind AUTH is a credential.
"""

from __future__ import annotations

import re
from typing import ClassVar

from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol, Succession, Violation
from wiretrace.protocols.sensitive import REDACTED

REPLY = re.compile(rb"([2-5][0-5][0-9])(?:[ ]([^\r\n]{0,1000}))?\r?\n")
"""The last line of a reply."""
REPLY_CONTINUED = re.compile(rb"([2-5][0-5][0-9])-[^\r\n]{0,1000}\r?\n")
GREETING = re.compile(rb"220[ -][^\r\n]{0,1000}\r\n")
GREETINGS = frozenset({"220", "421", "554"})
"""Codes of a first reply that nobody asked for. Behind STARTTLS there is none (RFC 3207 section 4.2)."""
WELCOME = re.compile(rb"250[ -]")
SPOKEN = re.compile(rb"[^\r\n]*SMTP", re.IGNORECASE)
LONGEST_LINE = 2048
"""Bytes without a line end that are still taken for the beginning of a line (RFC 5321 section 4.5.3 allows 1000)."""
VERBS = (
    b"EHLO", b"HELO", b"LHLO", b"MAIL FROM", b"RCPT TO", b"DATA", b"BDAT", b"RSET", b"NOOP", b"QUIT", b"VRFY", b"EXPN",
    b"HELP", b"AUTH", b"STARTTLS", b"ETRN", b"TURN", b"ATRN",
)  # fmt: skip
COMMAND = re.compile(rb"(" + b"|".join(VERBS) + rb")(?=[ :\r\n])[: ]*([^\r\n]{0,1000})\r?\n", re.IGNORECASE)
END_OF_MESSAGE = b"\r\n.\r\n"
HANDSHAKE = 0x16
"""First byte of TLS."""
PLAIN_ARGUMENTS = frozenset({"EHLO", "HELO", "LHLO", "BDAT", "HELP"})
"""Commands whose argument is nobody's address."""


class Smtp(Protocol):
    """One connection to a mail server.

    Sees commands, replies and the length of messages. Does not see: contents and headers of messages; anything behind
    STARTTLS; the single replies of LMTP to one message for several people.
    """

    name = "smtp"
    ports: ClassVar[frozenset[int]] = frozenset({25, 587, 2525})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._content_from: int | None = None
        """Stream offset at which a message begins that is being sent."""
        self._expects_content = False
        """Whether the last command was DATA."""
        self._logging_in = False
        self._greeted = not context.started[Side.SERVER]
        """Whether the greeting was read, or never will be."""
        self._tls_from: list[int | None] = [None, None]
        """By side: stream offset at which TLS begins."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """A greeting and a command; FTP greets with the same code, so that one of them alone must name itself."""
        begins, greets = COMMAND.match(client) is not None, GREETING.match(server) is not None
        if begins and client[:4].upper() in (b"EHLO", b"HELO", b"LHLO"):
            return 1.0 if greets else 0.0 if server and not WELCOME.match(server) else 0.8
        if greets:
            named = SPOKEN.match(server) is not None
            return 0.0 if client and not begins else 0.9 if named else 0.0
        return 0.8 if begins and client[:9].upper() in (b"MAIL FROM", b"RCPT TO:<") and not server else 0.0

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """Read line after line; a message is passed over up to its end."""
        while at < len(data):
            if data[at] == HANDSHAKE and self._content_from is None:
                self._tls_from[side] = base + at
                client, server = self._tls_from
                if client is not None and server is not None:
                    self.succession = Succession("tls", client, server)
                return at
            end = (self._command if side is Side.CLIENT else self._reply)(data, at, base)
            if end <= at:
                return at
            at = end
        return at

    def _command(self, data: bytes, at: int, base: int) -> int:
        """One command, or a message; the index behind it, or behind what can be passed over of it."""
        if self._content_from is not None:
            return self._content(data, at, base)
        found = COMMAND.match(data, at)
        if self._expects_content:
            if found is None and _may_be_command(data, at):
                return at
            self._expects_content = False
            if found is None:
                self._content_from = base + at
                return self._content(data, at, base)
        if found is None:
            return self._credential(data, at, base)
        verb = found[1].decode("ascii").upper()
        argument = found[2].decode("utf-8", "replace").strip()
        end = found.end()
        self._logging_in = verb == "AUTH"
        self._expects_content = verb == "DATA"
        if verb == "BDAT":
            digits = argument.partition(" ")[0]
            end += int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 12 else 0
        self._ask(verb, self._shown(verb, argument), base + at, base + end)
        return end

    def _shown(self, verb: str, argument: str) -> str:
        """A command in one line."""
        if verb == "AUTH":
            method, _, rest = argument.partition(" ")
            return f"AUTH {method} {REDACTED}" if rest else f"AUTH {method}".rstrip()
        if not argument:
            return verb
        if verb in PLAIN_ARGUMENTS or self.context.keep_values:
            return f"{verb} {argument}"
        # Behind the address stand parameters: SIZE=1024, BODY=8BITMIME.
        _, _, parameters = argument.partition("> ")
        return f"{verb} {REDACTED} {parameters}".rstrip()

    def _credential(self, data: bytes, at: int, base: int) -> int:
        """A line that is no command: part of a login, or a breach of the rules."""
        end = data.find(b"\n", at) + 1
        if not end and len(data) - at <= LONGEST_LINE and (self._logging_in or _may_be_command(data, at)):
            return at
        if not end or not self._logging_in:
            raise Violation("not a command of SMTP")
        self._ask("AUTH", f"AUTH {REDACTED}", base + at, base + end)
        return end

    def _content(self, data: bytes, at: int, base: int) -> int:
        """Pass over a message; it ends with a dot on a line of its own (RFC 5321 section 4.5.2)."""
        assert self._content_from is not None
        if base + at == self._content_from and data.startswith(END_OF_MESSAGE[2:], at):
            end = at + len(END_OF_MESSAGE) - 2
        else:
            found = data.find(END_OF_MESSAGE, at)
            if found < 0:
                return max(at, len(data) - len(END_OF_MESSAGE) + 1)
            end = found + len(END_OF_MESSAGE)
        start, self._content_from = self._content_from, None
        self._ask("message", f"message of {base + end - start} bytes", start, base + end)
        return end

    def _ask(self, operation: str, summary: str, start: int, end: int) -> None:
        self.requests.append(Message(Role.REQUEST, start, end, operation=operation, summary=summary))

    def _reply(self, data: bytes, at: int, base: int) -> int:
        """One reply of one or more lines; the index behind it, or `at`."""
        end = at
        while continued := REPLY_CONTINUED.match(data, end):
            end = continued.end()
        last = REPLY.match(data, end)
        if last is None:
            if len(data) - end > LONGEST_LINE or b"\n" in data[end:]:
                raise Violation("not a reply of SMTP")
            return at
        status = last[1].decode("ascii")
        result = Result.OK if status[0] in "23" else Result.SERVER_ERROR if status[0] == "4" else Result.CLIENT_ERROR
        role = Role.RESPONSE
        if not self._greeted and status in GREETINGS:
            # A server that refuses to talk says so before anybody asked.
            role = Role.CONTROL if result is Result.OK else Role.PUSH
        self._greeted = True
        message = Message(role, base + at, base + last.end(), status=status, result=result)
        if role is Role.PUSH:
            message.operation = message.summary = "greeting"
        self.responses.append(message)
        return last.end()

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """A line in the words of this side, behind a line end that was captured."""
        pattern = COMMAND if side is Side.CLIENT else REPLY
        end = data.find(b"\n", at)
        while end >= 0 and not pattern.match(data, end + 1):
            end = data.find(b"\n", end + 1)
        return end + 1 if end >= 0 else None

    def lost(self, side: Side, start: int, end: int) -> None:
        """A message with a hole is a message all the same; where it ends, the next command shows."""
        if side is Side.CLIENT:
            self._close_content(start)
            self._expects_content = self._logging_in = False
        else:
            self._greeted = True

    def finish(self, side: Side, offset: int) -> None:
        """A message that was not sent to its end is told as far as it came."""
        if side is Side.CLIENT:
            self._close_content(offset)

    def _close_content(self, offset: int) -> None:
        start, self._content_from = self._content_from, None
        if start is not None and start < offset:
            self._ask("message", "message", start, offset)
            self.requests[-1].damaged = True


def _may_be_command(data: bytes, at: int) -> bool:
    """Whether what stands from `at` on, without a line end, may become a command."""
    head = data[at : at + 9].upper()
    return b"\n" not in data[at:] and any(word.startswith(head) or head.startswith(word) for word in VERBS)
