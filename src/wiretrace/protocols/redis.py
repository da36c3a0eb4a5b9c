"""Redis: RESP2 and RESP3, inline commands, pipelines, pub/sub, MONITOR and replication links.

Rules: the two directions are read on their own (`redis_requests.py`, `redis_replies.py`) but for one thing: how many
confirmations a SUBSCRIBE gets is known from the command. Format:
https://redis.io/docs/latest/develop/reference/protocol-spec/.
"""

from __future__ import annotations

import re

from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Protocol
from wiretrace.protocols.redis_commands import COMMANDS
from wiretrace.protocols.redis_replies import REPLY_START, ReplyReader
from wiretrace.protocols.redis_requests import (
    COMMAND_HEAD,
    COMMAND_NAME,
    COMMAND_START,
    CommandReader,
    find_command,
)

REPLY_LINE = re.compile(rb"[+\-:_#,($=!*~>%|][^\r\n]{0,512}\r\n")
"""Any line that a reply can begin with: enough beside a client that plainly speaks Redis."""
NAMES_OF_OTHERS = frozenset({"AUTH", "QUIT", "USER", "HELLO", "RESET", "SAVE", "TYPE", "APPEND"})
"""Names that other line protocols (POP3, SMTP, FTP, IMAP) have too."""


class Redis(Protocol):
    """One connection to a Redis server."""

    name = "redis"
    ports = frozenset({6379, 6380, 16379, 26379})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._commands = CommandReader(context, self.requests)
        self._replies = ReplyReader(context, self.responses, self._commands)
        self._fresh = [True, True]
        """By side: whether `resync` has not been called since the last gap, and so begins behind it."""

    @classmethod
    def probe(cls, client: bytes, server: bytes) -> float:
        """Commands as arrays of bulk strings are unmistakable; inline commands need an answer that looks like RESP."""
        answered = REPLY_LINE.match(server) is not None
        if not client:
            return 0.4 if REPLY_START.match(server) is not None else 0.0
        head = COMMAND_START.match(client)
        if head is not None and int(head[1]) == len(head[2]):
            known = head[2].upper().decode() in COMMANDS
            return (1.0 if known else 0.9) if not server or answered else 0.6
        head = COMMAND_HEAD.match(client)
        if head is not None and len(client) < head.end() + int(head[2]) + 2:
            return 0.5
        if find_command(client, 0) is not None:
            return 0.8
        word = COMMAND_NAME.match(client)
        if word is not None and answered and b"\n" in client and b" HTTP/" not in client:
            name = word[0].upper().decode()
            return 0.6 if name in COMMANDS and name not in NAMES_OF_OTHERS else 0.0
        return 0.0

    def parse(self, side: Side, data: bytes, at: int, base: int) -> int:
        """See the contract."""
        self._fresh[side] = False
        return self._commands.parse(data, at, base) if side == Side.CLIENT else self._replies.parse(data, at, base)

    def resync(self, side: Side, data: bytes, at: int, base: int) -> int | None:
        """Commands are found by their head and known name, replies by a typical first line."""
        fresh, self._fresh[side] = self._fresh[side], False
        return find_command(data, at) if side == Side.CLIENT else self._replies.resync(data, at, base, fresh)

    def lost(self, side: Side, start: int, end: int) -> None:
        """See the contract."""
        self._fresh[side] = True
        (self._commands if side == Side.CLIENT else self._replies).lost(start)

    def finish(self, side: Side, offset: int) -> None:
        """See the contract."""
        (self._commands if side == Side.CLIENT else self._replies).finish(offset)
