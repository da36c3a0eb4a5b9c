"""Packets and tokens of TDS for tests, and a small server that answers a few statements with them."""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from typing import TYPE_CHECKING

from tests.support.exact import ExactHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

END = 1
HEADERS = struct.pack("<IIHQI", 22, 18, 2, 0, 1)
"""ALL_HEADERS with a transaction descriptor."""


def packets(kind: int, payload: bytes, size: int = 4096, status: int = 0) -> bytes:
    """A message in packets of `size` bytes."""
    parts = [payload[at : at + size - 8] for at in range(0, len(payload), size - 8)] or [b""]
    return b"".join(
        struct.pack(">BBHHBB", kind, (END if at == len(parts) - 1 else 0) | status, len(part) + 8, 0, (at + 1) % 256, 0)
        + part
        for at, part in enumerate(parts)
    )


def wide(text: str) -> bytes:
    return text.encode("utf-16-le")


def batch(text: str) -> bytes:
    return packets(1, HEADERS + wide(text))


def nvarchar(text: str, name: str = "") -> bytes:
    """A parameter."""
    head = bytes((len(name),)) + wide(name) + b"\0\xe7" + struct.pack("<H", 8000) + b"\x09\x04\xd0\0\x34"
    return head + struct.pack("<H", 2 * len(text)) + wide(text)


def integer(value: int | None, name: str = "", flags: int = 0) -> bytes:
    """A parameter."""
    head = bytes((len(name),)) + wide(name) + bytes((flags,)) + b"\x26\x04"
    return head + (b"\0" if value is None else b"\x04" + struct.pack("<i", value))


def call(procedure: int | str, *parameters: bytes) -> bytes:
    """A remote procedure call, without its packets."""
    if isinstance(procedure, int):
        return struct.pack("<HHH", 0xFFFF, procedure, 0) + b"".join(parameters)
    return struct.pack("<H", len(procedure)) + wide(procedure) + bytes(2) + b"".join(parameters)


def rpc(*calls: bytes) -> bytes:
    return packets(3, HEADERS + b"\xff".join(calls))


def login(user: str, password: str, database: str, application: str = "shop", version: int = 0x74000004) -> bytes:
    """LOGIN7."""
    names = ["web1", user, password, application, "db1", "", "pytds", "", database]
    at, table, content = 94, b"", b""
    for name in names:
        stored = wide(name)
        if name is password:
            stored = bytes((byte << 4 & 0xF0 | byte >> 4) ^ 0xA5 for byte in stored)
        table += struct.pack("<HH", at + len(content), len(name))
        content += stored
    table += bytes(6) + struct.pack("<HHHHHHI", at + len(content), 0, at + len(content), 0, at + len(content), 0, 0)
    fixed = struct.pack("<IIIII", version, 4096, 1, 2, 0) + bytes(12)
    body = fixed + table
    return packets(16, struct.pack("<I", 4 + len(body) + len(content)) + body + content)


def prelogin(*, encryption: int = 2, mars: int = 0) -> bytes:
    """The options of PRELOGIN."""
    options = [(0, b"\x10\0\0\0\0\0"), (1, bytes((encryption,))), (4, bytes((mars,)))]
    at = 5 * len(options) + 1
    table, content = b"", b""
    for number, value in options:
        table += struct.pack(">BHH", number, at + len(content), len(value))
        content += value
    return table + b"\xff" + content


def done(rows: int = -1, status: int = 0, command: int = 0xC1, token: int = 0xFD) -> bytes:
    return struct.pack("<BHHQ", token, status | (0x10 if rows >= 0 else 0), command, max(rows, 0))


def error(number: int, message: str, level: int = 16) -> bytes:
    body = (
        struct.pack("<IBBH", number, 1, level, len(message)) + wide(message) + b"\x03" + wide("db1") + b"\0" + bytes(4)
    )
    return struct.pack("<BH", 0xAA, len(body)) + body


def environment(kind: int, new: str, old: str = "") -> bytes:
    body = bytes((kind, len(new))) + wide(new) + bytes((len(old),)) + wide(old)
    return struct.pack("<BH", 0xE3, len(body)) + body


def transaction(kind: int) -> bytes:
    number = b"\x01" + bytes(7)
    body = bytes((kind, 8)) + number + b"\0" if kind == 8 else bytes((kind, 0, 8)) + number
    return struct.pack("<BH", 0xE3, len(body)) + body


def login_answer(database: str) -> bytes:
    name = "Microsoft SQL Server"
    body = b"\x01\x74\0\0\x04" + bytes((len(name),)) + wide(name) + b"\x10\0\0\0"
    return environment(1, database, "master") + struct.pack("<BH", 0xAD, len(body)) + body + done(status=0, command=0)


def columns(*names: str) -> bytes:
    """Two kinds of columns: names that begin with 'n' are numbers, others text."""
    found = struct.pack("<BH", 0x81, len(names))
    for name in names:
        kind = b"\x26\x04" if name.startswith("n") else b"\xe7" + struct.pack("<H", 200) + b"\x09\x04\xd0\0\x34"
        found += struct.pack("<IH", 0, 1) + kind + bytes((len(name),)) + wide(name)
    return found


def row(*values: int | str | None) -> bytes:
    """A row for `columns`."""
    found = b"\xd1"
    for value in values:
        if isinstance(value, int):
            found += b"\x04" + struct.pack("<i", value)
        else:
            found += b"\xff\xff" if value is None else struct.pack("<H", 2 * len(value)) + wide(value)
    return found


def returned(value: int, name: str = "") -> bytes:
    """RETURNVALUE with a number."""
    head = struct.pack("<BHB", 0xAC, 0, len(name)) + wide(name) + b"\x01" + struct.pack("<IH", 0, 0)
    return head + b"\x26\x04\x04" + struct.pack("<i", value)


def smp(flags: int, session: int, content: bytes = b"", number: int = 0) -> bytes:
    """A frame of the session multiplex protocol."""
    return struct.pack("<BBHIII", 0x53, flags, session, 16 + len(content), number, 4) + content


def several(options: bytes) -> bool:
    """Whether the client asks in PRELOGIN for several sessions."""
    at = 0
    while options[at] != 0xFF:
        number, place = struct.unpack_from(">BH", options, at)
        if number == 4:
            return bool(options[place])
        at += 5
    return False


def answer_to(kind: int, payload: bytes) -> bytes:
    """What the small server says."""
    if kind == 18:
        # The client's options end with that for several sessions.
        return prelogin(mars=int(several(payload)))
    if kind == 16:
        return login_answer("shop")
    if kind == 14:
        begins = payload[22:24] == b"\x05\0"
        return transaction(8 if begins else 9) + done(command=0)
    if kind == 6:
        return done(status=0x20, command=0)
    text = payload[22:].decode("utf-16-le", "replace")
    if "missing" in text:
        return error(208, "Invalid object name 'missing' of mary@example.com") + done(status=2)
    if "INSERT" in text:
        return done(1, command=0xC3)
    found = columns("n_id", "article") + b"".join(row(number, f"paint-{number}") for number in (8812, 8813)) + done(2)
    return found if kind == 1 else found[:-13] + done(2, token=0xFF, status=1) + b"\x79\0\0\0\0" + done(token=0xFE)


class Handler(ExactHandler):
    """One connection to the small server."""

    def handle(self) -> None:
        numbers: dict[int, int] = {}
        with contextlib.suppress(EOFError, OSError):
            payload = b""
            while True:
                session = -1
                head = self.take(8)
                if head[0] == 0x53:
                    flags, session, length = struct.unpack_from("<BHI", head, 1)
                    self.take(8)
                    if flags != 8:
                        if flags == 1:
                            continue
                        if flags == 4:
                            self.request.sendall(smp(4, session))
                        continue
                    head = self.take(8)
                kind, status, length = struct.unpack_from(">BBH", head)
                payload += self.take(length - 8)
                if not status & END:
                    continue
                answer = packets(4, answer_to(kind, payload))
                payload = b""
                if session >= 0:
                    numbers[session] = numbers.get(session, 0) + 1
                    answer = smp(8, session, answer, numbers[session])
                self.request.sendall(answer)


class Server(socketserver.ThreadingTCPServer):
    """The small server; its threads end with its clients."""

    allow_reuse_address = True
    daemon_threads = True


@contextlib.contextmanager
def small_server() -> Iterator[int]:
    """Run the small server; gives its port."""
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
