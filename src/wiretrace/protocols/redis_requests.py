"""The client's direction of Redis: commands, as arrays of bulk strings or inline.

Rules: the commands that change how what follows is read are in `SPECIAL`. Keys and channels are shown, every other
argument is ``?``; credentials are neither shown nor handed on. A short command is read by one regular expression, any
other argument by argument; both give the same message.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from wiretrace.model.limits import Limits
from wiretrace.model.message import Message, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context, Violation
from wiretrace.protocols.redis_commands import ALL, COMMANDS, Command
from wiretrace.protocols.redis_queues import QUEUE_COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable

Attributes = dict[str, str | int]

CRLF = b"\r\n"
INLINE_BYTES = 64 << 10
"""Longest inline command that is believed, as in Redis itself (PROTO_INLINE_MAX_SIZE)."""
KEPT_ARGUMENTS = 16
"""Arguments of a command that are looked at."""
SHOWN_BYTES = 80
"""Bytes of a key that are shown."""
LEARNED_COMMANDS = 500
"""Spellings of command names and subcommands that are remembered."""

SHORT_COMMAND = re.compile(
    rb"\*([2-4])\r\n\$(\d)\r\n([A-Za-z]{1,9})\r\n\$(\d{1,3})\r\n([^\r]{0,256})\r\n"
    rb"(?:\$(\d{1,3})\r\n([^\r]{0,256})\r\n)?(?:\$(\d{1,3})\r\n([^\r]{0,256})\r\n)?"
)
"""A command with one to three arguments, each without a carriage return. Its lengths are checked by the reader."""
ARGUMENTS = {(False, False): b"2", (True, False): b"3", (True, True): b"4"}
LENGTHS = {b"%d" % length: length for length in range(257)}
COMMAND_HEAD = re.compile(rb"\*([1-9]\d{0,6})\r\n\$([1-9]\d?)\r\n")
"""Head of a command up to its name, which has at most 99 bytes."""
COMMAND_HEAD_BEGUN = re.compile(rb"\*(-|\d{0,7})(1?\r(\n(\$(\d{0,2}\r?)?)?)?)?")
EMPTY_COMMAND = re.compile(rb"\*(?:0|-1)\r\n")
COMMAND_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9._|-]{0,31}")
COMMAND_START = re.compile(rb"\*[1-9]\d{0,6}\r\n\$([1-9]\d?)\r\n([A-Za-z][A-Za-z0-9._|-]{0,31})\r\n")
ARGUMENT_HEAD_BYTES = 13
"""Longest head of an argument: a dollar sign, ten digits and the end of the line."""
SHOWN_ARGUMENTS = 4
"""Arguments of a command that its summary has a place for."""
UNKNOWN = Command("?")
REQUEST, ONE_WAY, CONTROL = Role.REQUEST, Role.ONE_WAY, Role.CONTROL


class OpenCommand:
    """A command of which more is to come."""

    __slots__ = ("arguments", "budget", "count", "name", "remaining", "start")

    def __init__(self, start: int, name: bytes, count: int, budget: int) -> None:
        self.start = start
        self.name = name
        self.count = count
        self.remaining = count
        self.arguments: list[bytes] = []
        self.budget = budget


class CommandReader:
    """Reads the commands of one connection into `requests`."""

    def __init__(self, context: Context, requests: list[Message]) -> None:
        self.context = context
        self.requests = requests
        self.awaited: deque[tuple[str, int]] = deque(maxlen=Limits().pending_messages)
        """Subscriptions whose confirmations the server still owes: operation, and how many (0: one for each channel)."""
        self.followed = context.started[Side.CLIENT]
        """Whether every command since the beginning was read, and more may come."""
        self._known: dict[bytes, tuple[Command, Attributes]] = {}
        self._plain: dict[bytes, tuple[str, Attributes]] = {}
        self._command: OpenCommand | None = None
        self._namespace = ""
        self._silent = False
        self._skip_next = False
        self._queued = -1

    def parse(self, data: bytes, at: int, base: int) -> int:
        """Read commands from `data[at:]`; returns the index behind them, as `Protocol.parse` does."""
        size = len(data)
        position = at
        append = self.requests.append
        value_bytes = self.context.value_bytes
        while position < size or self._command is not None:
            if self._command is None:
                short = SHORT_COMMAND.match(data, position)
                if short is not None and not self._silent and not self._skip_next and self._queued < 0:
                    count, name_size, name, key_size, key, second_size, second, third_size, third = short.groups()
                    plain = self._plain.get(name)
                    if (
                        plain is not None
                        and LENGTHS[name_size] == len(name)
                        and LENGTHS.get(key_size) == len(key)
                        and count == ARGUMENTS[second is not None, third is not None]
                        and (second is None or LENGTHS.get(second_size) == len(second))
                        and (third is None or LENGTHS.get(third_size) == len(third))
                    ):
                        start = base + position
                        position = short.end()
                        operation, attributes = plain
                        shown = key.decode("utf-8", "replace")
                        if len(key) > SHOWN_BYTES or not shown.isprintable():
                            shown = readable(key)
                        if second is None:
                            summary = f"{operation} {shown}"
                        elif third is None:
                            summary = f"{operation} {shown} ?"
                            key = b"%b %b" % (key, second)
                        else:
                            summary = f"{operation} {shown} ? ?"
                            key = b"%b %b %b" % (key, second, third)
                        append(
                            Message(
                                REQUEST,
                                start,
                                base + position,
                                operation=operation,
                                summary=summary,
                                values=key if len(key) <= value_bytes else key[:value_bytes],
                                attributes=attributes,
                            )
                        )
                        continue
                position = self._begin(data, position, base)
                if self._command is None:
                    if position < 0:
                        return ~position
                    continue
            position = self._parse_arguments(self._command, data, position)
            if self._command.remaining:
                return position
            command, self._command = self._command, None
            self._append_command(command, base + position)
        return position

    def _begin(self, data: bytes, position: int, base: int) -> int:
        """Read the head of a command and its name, or a whole inline command. Returns ``~position`` for: more is needed."""
        head = COMMAND_HEAD.match(data, position)
        if head is None:
            after = self._unusual_command(data, position, base)
            return after if after > position else ~position
        name_end = head.end() + int(head[2])
        if name_end + 2 > len(data):
            return ~position
        name = data[head.end() : name_end]
        self._command = OpenCommand(base + position, name, int(head[1]) - 1, self.context.value_bytes)
        return name_end + 2

    def _parse_arguments(self, command: OpenCommand, data: bytes, position: int) -> int:
        """Go on with the arguments of `command`, whose `remaining` is 0 when it is complete."""
        size = len(data)
        remaining = command.remaining
        arguments = command.arguments
        budget = command.budget
        while remaining and position < size:
            head_end = data.find(CRLF, position, position + ARGUMENT_HEAD_BYTES)
            digits = data[position + 1 : head_end]
            if head_end < 0 or data[position] != 36 or not digits.isdigit():
                if head_end < 0 and size - position < ARGUMENT_HEAD_BYTES and data[position] == 36:
                    break
                self._command = None
                raise Violation("not a command of Redis")
            body = head_end + 2
            length = int(digits)
            if budget and len(arguments) < KEPT_ARGUMENTS:
                taken = length if length < budget else budget
                if body + taken > size:
                    break
                arguments.append(data[body : body + taken])
                budget -= taken
            position = body + length + 2
            remaining -= 1
        command.remaining = remaining
        command.budget = budget
        return position

    def _unusual_command(self, data: bytes, position: int, base: int) -> int:
        """An empty array, which Redis passes over, or an inline command. Returns `position` where more is needed."""
        empty = EMPTY_COMMAND.match(data, position)
        if empty is not None:
            self.requests.append(Message(CONTROL, base + position, base + empty.end()))
            return empty.end()
        first = data[position]
        if first == 42:
            begun = COMMAND_HEAD_BEGUN.match(data, position)
            if begun is None or begun.end() < len(data):
                raise Violation("not a command of Redis")
            return position
        line_end = data.find(b"\n", position, position + INLINE_BYTES)
        if line_end < 0:
            if len(data) - position >= INLINE_BYTES or not (
                65 <= first <= 90 or 97 <= first <= 122 or first in b"\r \t"
            ):
                raise Violation("not a command of Redis")
            return position
        words = data[position:line_end].split()
        if not words:
            self.requests.append(Message(CONTROL, base + position, base + line_end + 1))
            return line_end + 1
        if COMMAND_NAME.fullmatch(words[0]) is None:
            raise Violation("not a command of Redis")
        command = OpenCommand(base + position, words[0], len(words) - 1, 0)
        command.arguments = [word[: self.context.value_bytes] for word in words[1 : 1 + KEPT_ARGUMENTS]]
        self._append_command(command, base + line_end + 1)
        return line_end + 1

    def _append_command(self, open_command: OpenCommand, end: int, damaged: bool = False) -> None:
        arguments = open_command.arguments
        command, attributes = self._known.get(open_command.name) or self._learn(open_command.name, b"")
        if command.container and arguments:
            spelling = open_command.name + b" " + arguments[0][:SHOWN_BYTES]
            command, attributes = self._known.get(spelling) or self._learn(open_command.name, arguments[0])
        role = ONE_WAY if self._silent or self._skip_next else REQUEST
        self._skip_next = False
        if self._queued >= 0:
            self._queued += 1
        handler = SPECIAL.get(command.operation)
        if handler is not None:
            role, attributes = handler(self, open_command, role, attributes)
        queue = QUEUE_COMMANDS.get(command.operation)
        self.requests.append(
            Message(
                role,
                open_command.start,
                end,
                operation=command.operation,
                summary=self._summary(command, open_command),
                damaged=damaged,
                values=b"" if command.secret else b" ".join(arguments)[: self.context.value_bytes],
                attributes=attributes,
                messaging=queue(arguments) if queue is not None and self._queued < 0 else None,
            )
        )

    def _learn(self, name: bytes, subcommand: bytes) -> tuple[Command, Attributes]:
        """What is known of a command (with its subcommand), and its attributes, shared by all its messages."""
        command = UNKNOWN
        if COMMAND_NAME.fullmatch(name) is not None:
            operation = name.decode().upper()
            command = COMMANDS.get(operation, Command(operation))
            if subcommand and len(subcommand) <= 32 and COMMAND_NAME.fullmatch(subcommand) is not None:
                command = command._replace(operation=f"{operation} {subcommand.decode().upper()}")
        attributes: Attributes = {"db.system.name": "redis", "db.operation.name": command.operation}
        if self._namespace:
            attributes["db.namespace"] = self._namespace
        if len(self._known) < LEARNED_COMMANDS:
            self._known[name + b" " + subcommand[:SHOWN_BYTES] if subcommand else name] = (command, attributes)
            if command.key == 1 and not self.context.keep_values and command.operation not in SPECIAL | QUEUE_COMMANDS:
                self._plain[name] = (command.operation, attributes)
        return command, attributes

    def _summary(self, command: Command, open_command: OpenCommand) -> str:
        """One line: keys as they are, everything else as ``?``, unless the user asked for values."""
        arguments = open_command.arguments
        first = 1 if command.container and command is not UNKNOWN else 0
        keys = key_positions(command, arguments)
        shown = [command.operation]
        for position in range(first, min(open_command.count, first + SHOWN_ARGUMENTS)):
            plain = position in keys or (self.context.keep_values and not command.secret)
            shown.append(readable(arguments[position]) if plain and position < len(arguments) else "?")
        if open_command.count > first + SHOWN_ARGUMENTS:
            shown.append("…")
        return " ".join(shown)

    # Commands that change what follows. Each returns the role and the attributes of its own message.

    def _select(self, command: OpenCommand, role: Role, attributes: Attributes) -> tuple[Role, Attributes]:
        number = command.arguments[0] if command.arguments else b""
        if number.isdigit() and len(number) < 6:
            self._namespace = number.decode()
            self._known.clear()
            self._plain.clear()
            return role, {**attributes, "db.namespace": self._namespace}
        return role, attributes

    def _multi(self, command: OpenCommand, role: Role, attributes: Attributes) -> tuple[Role, Attributes]:
        self._queued = 0
        return role, attributes

    def _end_multi(self, command: OpenCommand, role: Role, attributes: Attributes) -> tuple[Role, Attributes]:
        batch = self._queued - 1
        self._queued = -1
        if batch > 1 and command.name.upper() == b"EXEC":
            attributes = {**attributes, "db.operation.batch.size": batch}
        return role, attributes

    def _client_reply(self, command: OpenCommand, role: Role, attributes: Attributes) -> tuple[Role, Attributes]:
        mode = command.arguments[1].upper() if len(command.arguments) > 1 else b""
        if mode == b"ON":
            self._silent = False
            return REQUEST, attributes
        if mode == b"OFF":
            self._silent = True
        elif mode == b"SKIP" and not self._silent:
            self._skip_next = True
        else:
            return role, attributes
        return ONE_WAY, attributes

    def _subscription(self, command: OpenCommand, role: Role, attributes: Attributes) -> tuple[Role, Attributes]:
        if self._queued < 0:
            self.awaited.append((command.name.decode().upper(), command.count))
        return role, attributes

    def _replconf(self, command: OpenCommand, role: Role, attributes: Attributes) -> tuple[Role, Attributes]:
        acknowledges = bool(command.arguments) and command.arguments[0].upper() == b"ACK"
        return (ONE_WAY if acknowledges else role), attributes

    def _reset(self, command: OpenCommand, role: Role, attributes: Attributes) -> tuple[Role, Attributes]:
        self._silent = False
        self._queued = -1
        return REQUEST, attributes

    def lost(self, start: int) -> None:
        """Bytes from stream offset `start` on are missing."""
        self._give_up(start)
        self.followed = False
        self.awaited.clear()
        self._queued = -1
        self._skip_next = False

    def finish(self, offset: int) -> None:
        """Nothing comes behind stream offset `offset`."""
        self._give_up(offset)
        self.followed = False

    def _give_up(self, offset: int) -> None:
        if self._command is not None:
            command, self._command = self._command, None
            self._append_command(command, offset, damaged=True)


SUBSCRIPTIONS = ("SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE")
SPECIAL: dict[str, Callable[[CommandReader, OpenCommand, Role, Attributes], tuple[Role, Attributes]]] = {
    "SELECT": CommandReader._select,
    "MULTI": CommandReader._multi,
    "EXEC": CommandReader._end_multi,
    "DISCARD": CommandReader._end_multi,
    "CLIENT REPLY": CommandReader._client_reply,
    "REPLCONF": CommandReader._replconf,
    "RESET": CommandReader._reset,
    **dict.fromkeys(SUBSCRIPTIONS, CommandReader._subscription),
}
"""Commands that change how what follows is read, by operation."""


def key_positions(command: Command, arguments: list[bytes]) -> range:
    """Which arguments (from 0) are keys."""
    key = command.key
    if key == ALL:
        return range(len(arguments))
    if command.operation in ("XREAD", "XREADGROUP"):
        for position, argument in enumerate(arguments):
            if argument.upper() == b"STREAMS":
                return range(position + 1, position + 2)
    if key == 3 and len(arguments) > 1 and arguments[1] == b"0":
        return range(0)
    return range(key - 1, key) if key else range(0)


def readable(text: bytes) -> str:
    """A key as a person may read it: at most `SHOWN_BYTES`, without control characters."""
    shown = text[:SHOWN_BYTES].decode("utf-8", "replace")
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown)
    return shown + "…" if len(text) > SHOWN_BYTES else shown


def find_command(data: bytes, at: int) -> int | None:
    """The index of the first command with a known name, at `at` or behind the end of a line."""
    for head in COMMAND_START.finditer(data, at):
        start = head.start()
        if int(head[1]) != len(head[2]) or (start != at and data[start - 2 : start] != CRLF):
            continue
        if head[2].upper().decode() in COMMANDS or b"." in head[2]:
            return start
    return None
