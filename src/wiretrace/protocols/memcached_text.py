"""The text protocol of memcached, classic and meta commands.

Rules: a command is a line, and a block of data where the line says how long; a reply is a line, or items and lines up to
END. Keys are shown, everything else is ``?``. Quiet meta commands ask for nothing: which of them were answered can not be
told from the replies, so what they bring is part of the reply to the ``mn`` that ends them.
Format: https://github.com/memcached/memcached/blob/master/doc/protocol.txt.
"""

from __future__ import annotations

import re
from collections import deque
from typing import NoReturn

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Violation

Attributes = dict[str, str | int]

LINE_BYTES = 64 << 10
"""Longest line that is believed: a get of many keys is one line."""
SHOWN_BYTES = 80
"""Bytes of a key that are shown."""
SHOWN_KEYS = 4
"""Keys of a command that are shown."""

STORAGE = frozenset({b"set", b"add", b"replace", b"append", b"prepend", b"cas"})
RETRIEVAL = frozenset({b"get", b"gets", b"gat", b"gats", b"touch", b"delete", b"incr", b"decr"})
META = frozenset({b"mg", b"ms", b"md", b"ma", b"mn", b"me"})
ADMINISTRATION = frozenset(
    {
        b"stats",
        b"version",
        b"verbosity",
        b"flush_all",
        b"quit",
        b"shutdown",
        b"slabs",
        b"lru",
        b"lru_crawler",
        b"watch",
        b"cache_memlimit",
        b"config",
        b"refresh_certs",
        b"extstore",
    }
)
COMMANDS = STORAGE | RETRIEVAL | META | ADMINISTRATION
ATTRIBUTES: dict[bytes, Attributes] = {
    name: {"db.system.name": "memcached", "db.operation.name": name.decode()} for name in COMMANDS
}
COMMAND_LINE = re.compile(
    rb"(?:(?:get|gets|delete|mg|md|ma|me)(?: [^\s\x00-\x20]{1,250}){1,100}"
    rb"|(?:gat|gats) \d{1,10}(?: [^\s\x00-\x20]{1,250}){1,100}"
    rb"|(?:set|add|replace|append|prepend) [^\s\x00-\x20]{1,250} \d{1,10} -?\d{1,10} \d{1,9}(?: noreply)?"
    rb"|cas [^\s\x00-\x20]{1,250} \d{1,10} -?\d{1,10} \d{1,9} \d{1,20}(?: noreply)?"
    rb"|ms [^\s\x00-\x20]{1,250} \d{1,9}(?: [!-~]{1,250}){0,20}"
    rb"|(?:incr|decr|touch) [^\s\x00-\x20]{1,250} \d{1,20}(?: noreply)?"
    rb"|stats(?: [a-z]{1,20}){0,3}|version|mn|flush_all(?: \d{1,10})?(?: noreply)?) ?\r\n"
)
"""A command as clients write it: stricter than what `parse` bears."""
ITEM_LINE = re.compile(rb"(?:VALUE|CONFIG) [^ ]{1,251} \d{1,10} (\d{1,10})(?: \d{1,20})?\r")
META_ITEM = re.compile(rb"VA (\d{1,10})(?: [!-~]{1,251}){0,20} ?\r")
META_REPLY = re.compile(rb"(?:HD|EN|NS|EX|NF|MN|ME)(?= |\r)")
WATCHED = re.compile(rb"ts=\d+\.\d+ gid=\d+ ")
NUMBER = re.compile(rb"\d{1,20} *\r")
WORDS = {
    word.encode(): (word, result)
    for words, result in (
        ("STORED NOT_STORED EXISTS NOT_FOUND DELETED TOUCHED OK RESET BLOCKED", Result.OK),
        ("ERROR", Result.CLIENT_ERROR),
        ("BUSY BADCLASS NOSPARE NOTFULL UNSAFE SAME", Result.SERVER_ERROR),
    )
    for word in words.split()
}
"""Replies of one word."""
PREFIXES = {
    b"VERSION": Result.OK,
    b"CLIENT_ERROR": Result.CLIENT_ERROR,
    b"SERVER_ERROR": Result.SERVER_ERROR,
    b"BUSY": Result.SERVER_ERROR,
    b"BADCLASS": Result.SERVER_ERROR,
}
"""First words of replies that go on in words."""
LISTED = (b"STAT ", b"ITEM ", b"PREFIX ")
"""Lines that come many times, up to END."""
REPLY_LINE = re.compile(
    rb"(?:STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|TOUCHED|OK|RESET|ERROR|END|MN|VERSION [ -~]{1,60}"
    rb"|(?:CLIENT|SERVER)_ERROR [ -~]{1,250}|VALUE [^\s]{1,250} \d{1,10} \d{1,10}(?: \d{1,20})?|STAT [ -~]{1,250}"
    rb"|VA \d{1,10}(?: [!-~]{1,250}){0,20}|(?:HD|EN|NS|EX|NF)(?: [!-~]{1,250}){0,20}) ?\r\n"
)
"""A reply as the server writes it."""
REQUEST, ONE_WAY, CONTROL, RESPONSE, PUSH = Role.REQUEST, Role.ONE_WAY, Role.CONTROL, Role.RESPONSE, Role.PUSH


class TextReader:
    """Both directions of one connection that speaks the text protocol."""

    def __init__(self, context: Context, requests: list[Message], responses: list[Message]) -> None:
        self.context = context
        self.requests = requests
        self.responses = responses
        self._followed = context.started[Side.CLIENT] and context.started[Side.SERVER]
        """Whether both directions were read from the beginning and more of the client's may come."""
        self._asked = 0
        """Requests of the client, while `_followed`."""
        self._answered = 0
        """Replies of the server, while `_followed`."""
        self._quiet = False
        """Whether quiet commands stand before the client's next request."""
        self._batches: deque[int] = deque(maxlen=Limits().pending_messages)
        """Numbers of the requests that are an ``mn`` behind quiet commands."""
        self._hits: Message | None = None
        """What quiet commands have brought, before the reply to their ``mn``."""
        self._open: Message | None = None
        """A reply of several items of which more is to come."""
        self._budget = 0

    def parse_commands(self, data: bytes, at: int, base: int) -> int:
        """Read commands from `data[at:]`; returns the index behind them, as `Protocol.parse` does."""
        size = len(data)
        position = at
        find = data.find
        append = self.requests.append
        value_bytes = self.context.value_bytes
        plain = not self.context.keep_values
        while position < size:
            line_end = find(b"\n", position, position + LINE_BYTES)
            if line_end < 0:
                self._check_begun(data, position)
                return position
            words = data[position:line_end].split()
            start = base + position
            end = line_end + 1
            if not words:
                append(Message(CONTROL, start, base + end))
                position = end
                continue
            name = words[0]
            attributes = ATTRIBUTES.get(name)
            if attributes is None:
                raise Violation("not a command of memcached")
            role = REQUEST
            if len(words) == 2 and plain and name not in META:
                values = words[1][:value_bytes]
                operation = name.decode()
                shown = f"{operation} {readable(words[1])}" if name in RETRIEVAL else f"{operation} ?"
            else:
                length = data_length(name, words)
                if length >= 0:
                    taken = min(length, value_bytes)
                    if end + taken > size:
                        return position
                    values = b"%b %b" % (words[1], data[end : end + taken])
                    end += length + 2
                else:
                    values = b" ".join(words[1:])
                if len(values) > value_bytes:
                    values = values[:value_bytes]
                operation = name.decode()
                if length >= 0 and plain:
                    shown = f"{operation} {readable(words[1])} ?"
                else:
                    shown = self._summary(name, words, data[line_end + 1 : line_end + 1 + SHOWN_BYTES], length)
                if name in META and is_quiet(name, words):
                    self._quiet = True
                    role = ONE_WAY
                elif words[-1] == b"noreply" and len(words) > 1 and name not in (b"get", b"gets"):
                    role = ONE_WAY
            if name == b"quit" or (name == b"shutdown" and role == REQUEST):
                role = ONE_WAY
            if role == REQUEST:
                if self._quiet and name == b"mn":
                    self._batches.append(self._asked)
                self._quiet = False
                self._asked += 1
            append(
                Message(
                    role,
                    start,
                    base + end,
                    operation=operation,
                    summary=shown,
                    values=values,
                    attributes=attributes,
                )
            )
            position = end
        return position

    def _check_begun(self, data: bytes, position: int) -> None:
        first = data[position]
        if len(data) - position >= LINE_BYTES or not (97 <= first <= 122 or first in b"\r "):
            raise Violation("not a command of memcached")

    def _summary(self, name: bytes, words: list[bytes], content: bytes, length: int) -> str:
        """One line: keys as they are, everything else as ``?``, unless the user asked for values."""
        operation = name.decode()
        rest = words[1:]
        if name in (b"get", b"gets") or self.context.keep_values:
            keys, others = rest, 0
        elif name in (b"gat", b"gats"):
            keys, others = rest[1:], 0
        elif name in ADMINISTRATION:
            keys, others = [], len(rest)
        else:
            keys, others = rest[:1], len(rest) - 1
        shown = [operation, *[readable(key) for key in keys[:SHOWN_KEYS]]]
        if len(keys) > SHOWN_KEYS:
            shown.append("…")
        if length >= 0:
            shown.append(readable(content[:length]) if self.context.keep_values else "?")
        elif others and name not in META:
            shown.append("?")
        return " ".join(shown)

    def parse_replies(self, data: bytes, at: int, base: int) -> int:
        """Read replies from `data[at:]`; returns the index behind them, as `Protocol.parse` does."""
        size = len(data)
        position = at
        find = data.find
        while position < size:
            line_end = find(b"\n", position, position + LINE_BYTES)
            if line_end < 0:
                if size - position >= LINE_BYTES or not 48 <= data[position] <= 122:
                    self._violate()
                return position
            end = line_end + 1
            first = data[position]
            item = None
            if first == 86 or first == 67:
                item = ITEM_LINE.match(data, position, end) or META_ITEM.match(data, position, end)
            if item is not None:
                length = int(item[1])
                budget = self._budget if self._open is not None else self.context.value_bytes
                taken = length if length < budget else budget
                if end + taken > size:
                    return position
                values = data[end : end + taken]
                end += length + 2
                if data.startswith(b"VA ", position):
                    message = Message(RESPONSE, base + position, base + end, status="VA", values=values)
                    if self._open is not None:
                        self._violate()
                    if not self._close(message, is_meta=True):
                        return position
                else:
                    self._add_item(base + position, values)
                    if data[end : end + 5] == b"END\r\n":
                        end += 5
                        self._open_line(b"END", base + end)
                position = end
                continue
            line = data[position:line_end].rstrip()
            if self._open is not None:
                self._open_line(line, base + end)
            elif line.startswith(LISTED):
                self._open = Message(RESPONSE, base + position, base + position, status=line[:6].split()[0].decode())
                self._budget = 0
            else:
                message = self._line(line, data, base + position, base + end)
                is_meta = META_REPLY.match(data, position) is not None or message.result != Result.OK
                if not self._close(message, is_meta):
                    return position
            position = end
        return position

    def _add_item(self, start: int, values: bytes) -> None:
        """One more VALUE of the reply to a get."""
        if self._open is None:
            self._open = Message(RESPONSE, start, start, status="VALUE")
            self._budget = self.context.value_bytes
        elif self._open.status != "VALUE":
            self._violate()
        if values and self._budget:
            before = self._open.values
            self._open.values = (b"%b %b" % (before, values) if before else values)[: self.context.value_bytes]
            self._budget = self.context.value_bytes - len(self._open.values)

    def _open_line(self, line: bytes, end: int) -> None:
        """A line within a reply of several items: END, one more entry of a list, or an error that ends it."""
        message = self._open
        assert message is not None
        if line == b"END":
            pass
        elif line.startswith(b"SERVER_ERROR"):
            message.status, message.result = "SERVER_ERROR", Result.SERVER_ERROR
        elif not line.startswith(LISTED):
            self._violate()
        else:
            return
        self._open = None
        message.end = end
        self._close(message, is_meta=False)

    def _line(self, line: bytes, data: bytes, start: int, end: int) -> Message:
        """A reply of one line."""
        message = Message(RESPONSE, start, end)
        word = WORDS.get(line)
        if word is not None:
            message.status, message.result = word
        elif line == b"END":
            message.status = "END"
        elif line.isdigit() and len(line) <= 20:
            message.status, message.values = "number", line
        elif META_REPLY.match(line + b"\r") is not None:
            message.status = line[:2].decode()
        elif WATCHED.match(line) is not None:
            message.role = PUSH
            message.operation = message.summary = "watch"
        else:
            prefix = line.split(b" ", 1)[0]
            result = PREFIXES.get(prefix)
            if result is None:
                self._violate()
            message.status, message.result = prefix.decode(), result
        return message

    def _close(self, message: Message, is_meta: bool) -> bool:
        """Append a reply. False: whether it answers a quiet command is known once the client's side was read."""
        if message.role == RESPONSE and self._followed:
            if is_meta and self._answered >= self._asked:
                return False
            while self._batches and self._batches[0] < self._answered:
                self._batches.popleft()
            if is_meta and self._batches and self._batches[0] == self._answered:
                if message.status != "MN":
                    self._add_hit(message)
                    return True
                self._batches.popleft()
                if self._hits is not None:
                    message.start, message.values, self._hits = self._hits.start, self._hits.values, None
            self._answered += 1
        if self._hits is not None:  # no answer to a meta command between theirs: the server broke the protocol
            self.responses.append(self._hits)
            self._hits = None
        self.responses.append(message)
        return True

    def _add_hit(self, message: Message) -> None:
        """What a quiet command brought becomes part of the reply to the ``mn`` behind it."""
        if self._hits is None:
            self._hits = message
        else:
            self._hits.end = message.end
            self._hits.values = (b"%b %b" % (self._hits.values, message.values))[: self.context.value_bytes]

    def _violate(self) -> NoReturn:
        self._open = None
        raise Violation("not a reply of memcached")

    def resync(self, side: Side, data: bytes, at: int, fresh: bool) -> int | None:
        """The first line that is written as clients (or servers) write it; a VALUE or END only where a reply can begin.

        Behind a gap an END may end the reply that was lost: the boundary is the line behind it.
        """
        pattern = COMMAND_LINE if side == Side.CLIENT else REPLY_LINE
        position = at
        may_begin = fresh
        if not fresh:
            position = data.find(b"\r\n", at) + 2
            if position == 1:
                return None
        while True:
            found = pattern.match(data, position)
            if found is not None:
                if side == Side.CLIENT or may_begin or not found[0].startswith((b"VALUE", b"END", b"STAT")):
                    if not found[0].startswith(b"END"):
                        return position
                    return found.end()
                if found[0].startswith(b"END"):
                    return found.end()
            may_begin = False
            position = data.find(b"\r\n", position) + 2
            if position == 1:
                return None

    def lost(self, side: Side, start: int) -> None:
        """Bytes of `side` from stream offset `start` on are missing."""
        self._followed = False
        self._batches.clear()
        self.finish(side, start)

    def finish(self, side: Side, offset: int) -> None:
        """Nothing comes behind stream offset `offset`."""
        if side == Side.CLIENT:
            self._followed = False
            return
        message = self._hits or self._open
        self._hits = self._open = None
        if message is not None:
            message.end = offset
            message.damaged = True
            self.responses.append(message)


def is_quiet(name: bytes, words: list[bytes]) -> bool:
    """Whether a meta command has the flag q: it is answered only if it brings something."""
    return name not in (b"mn", b"me") and b"q" in words[3 if name == b"ms" else 2 :]


def data_length(name: bytes, words: list[bytes]) -> int:
    """Length of the block of data behind a command line; -1: there is none."""
    position = 4 if name in STORAGE else 2
    if (name in STORAGE or name == b"ms") and len(words) > position:
        digits = words[position]
        if digits.isdigit() and len(digits) <= 10:
            return int(digits)
    return -1


def readable(text: bytes) -> str:
    """A key as a person may read it: at most `SHOWN_BYTES`, without control characters."""
    shown = (
        text.decode("utf-8", "replace") if len(text) <= SHOWN_BYTES else text[:SHOWN_BYTES].decode("utf-8", "replace")
    )
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown)
    return shown + "…" if len(text) > SHOWN_BYTES else shown
