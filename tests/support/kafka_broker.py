"""A Kafka broker of one topic partition each, as far as a client needs one to produce, to fetch and to be in a group.

There is none in Debian. It keeps batches as they came but for their offsets, as Kafka does, and answers requests in the
versions that it announces, flexible ones among them. One thread a connection; everything ends with the block.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

from wiretrace.protocols.kafka_apis import APIS, NUMBERS
from wiretrace.protocols.kafka_wire import Fields

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSIONS = {
    "Produce": (3, 9), "Fetch": (4, 12), "ListOffsets": (1, 1), "Metadata": (1, 9), "OffsetCommit": (2, 2),
    "OffsetFetch": (1, 1), "FindCoordinator": (0, 3), "JoinGroup": (2, 2), "Heartbeat": (1, 1), "LeaveGroup": (1, 1),
    "SyncGroup": (1, 1), "ApiVersions": (0, 3), "InitProducerId": (0, 1),
}  # fmt: skip
WAIT_SECONDS = 0.1
"""How long an empty fetch waits for something to come."""


def plain_text(value: bytes) -> bytes:
    return struct.pack(">h", len(value)) + value


def plain_bytes(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))


def compact(value: bytes) -> bytes:
    return varint(len(value) + 1) + value


class Broker:
    """What all connections share."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.logs: dict[bytes, list[tuple[int, bytes]]] = {}
        """By topic: batches with their first offsets."""
        self.next: dict[bytes, int] = {}
        self.refuse: set[bytes] = set()
        """Topics whose records are refused as too large."""
        self.lock = threading.Lock()
        self.over = threading.Event()

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection: socket.socket) -> None:
        """Answer the requests of one connection, one after the other."""
        with connection, contextlib.suppress(OSError, struct.error):
            file = connection.makefile("rb")
            while not self.over.is_set() and len(size := file.read(4)) == 4:
                data = file.read(int.from_bytes(size, "big"))
                api, version, correlation = struct.unpack_from(">hhi", data)
                name, flexible_from = APIS[api]
                flexible = version >= flexible_from
                fields = Fields(data, 8, len(data), flexible=False)
                fields.text()
                fields.flexible = flexible
                fields.tags()
                answer = getattr(self, f"answer_{name}")(version, fields)
                if answer is not None:
                    head = struct.pack(">i", correlation) + (b"\0" if flexible and name != "ApiVersions" else b"")
                    connection.sendall(struct.pack(">i", len(head) + len(answer)) + head + answer)

    def answer_ApiVersions(self, version: int, fields: Fields) -> bytes:  # noqa: N802 - the API's own name
        listed = [struct.pack(">hhh", NUMBERS[name], *span) for name, span in VERSIONS.items()]
        if version >= 3:
            return b"\0\0" + varint(len(listed) + 1) + b"".join(each + b"\0" for each in listed) + b"\0\0\0\0\0"
        body = b"\0\0" + struct.pack(">i", len(listed)) + b"".join(listed)
        return body + (b"\0\0\0\0" if version else b"")

    def answer_Metadata(self, version: int, fields: Fields) -> bytes:  # noqa: N802
        topics = [fields.text() or b"" for _ in fields.items()] or list(self.logs)
        flexible = version >= 9
        text, count = (compact, lambda n: varint(n + 1)) if flexible else (plain_text, lambda n: struct.pack(">i", n))
        none, tag = (b"\0", b"\0") if flexible else (b"\xff\xff", b"")
        with self.lock:
            for topic in topics:
                self.logs.setdefault(topic, [])
                self.next.setdefault(topic, 0)
        broker = struct.pack(">i", 1) + text(b"127.0.0.1") + struct.pack(">i", self.port) + none + tag
        body = (b"\0\0\0\0" if version >= 3 else b"") + count(1) + broker
        body += text(b"cluster") if version >= 2 else b""
        body += struct.pack(">i", 1) + count(len(topics))
        for topic in topics:
            partition = struct.pack(">hii", 0, 0, 1) + (b"\0\0\0\0" if version >= 7 else b"")
            partition += (count(1) + struct.pack(">i", 1)) * 2 + (count(0) if version >= 5 else b"") + tag
            body += struct.pack(">h", 0) + text(topic) + b"\0" + count(1) + partition
            body += (b"\0\0\0\0" if version >= 8 else b"") + tag
        return body + (b"\0\0\0\0" if version >= 8 else b"") + tag

    def answer_Produce(self, version: int, fields: Fields) -> bytes | None:  # noqa: N802
        fields.text()
        acks = fields.number(2)
        fields.number(4)
        flexible = version >= 9
        text, count = (compact, lambda n: varint(n + 1)) if flexible else (plain_text, lambda n: struct.pack(">i", n))
        tag = b"\0" if flexible else b""
        topics = []
        for _ in fields.items():
            topic = fields.text() or b""
            partitions = []
            for _ in fields.items():
                number = fields.number(4)
                batch = fields.bytes(fields.length(4))
                fields.tags()
                error, offset = (10, -1) if topic in self.refuse else (0, self.keep(topic, batch))
                answer = struct.pack(">ihqq", number, error, offset, -1) + (b"\0" * 8 if version >= 5 else b"")
                answer += count(0) + (b"\0" if flexible else b"\xff\xff") if version >= 8 else b""
                partitions.append(answer + tag)
            fields.tags()
            topics.append(text(topic) + count(len(partitions)) + b"".join(partitions) + tag)
        return count(len(topics)) + b"".join(topics) + b"\0\0\0\0" + tag if acks else None

    def keep(self, topic: bytes, batch: bytes) -> int:
        """Append a batch; only its offset is changed."""
        with self.lock:
            offset = self.next.setdefault(topic, 0)
            self.logs.setdefault(topic, []).append((offset, struct.pack(">q", offset) + batch[8:]))
            self.next[topic] = offset + int.from_bytes(batch[23:27], "big") + 1
        return offset

    def answer_Fetch(self, version: int, fields: Fields) -> bytes:  # noqa: N802
        fields.bytes(12 + 4 + 1 + (8 if version >= 7 else 0))
        flexible = version >= 12
        text, count = (compact, lambda n: varint(n + 1)) if flexible else (plain_text, lambda n: struct.pack(">i", n))
        tag = b"\0" if flexible else b""
        wanted = []
        for _ in fields.items():
            topic = fields.text() or b""
            for _ in fields.items():
                fields.bytes(4 + (4 if version >= 9 else 0))
                wanted.append((topic, fields.number(8)))
                fields.bytes((4 if version >= 12 else 0) + (8 if version >= 5 else 0) + 4)
                fields.tags()
            fields.tags()
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline and not any(self.next.get(topic, 0) > offset for topic, offset in wanted):
            time.sleep(0.005)
        topics = []
        for topic, offset in wanted:
            with self.lock:
                log, high = self.logs.get(topic, []), self.next.get(topic, 0)
                behind = [first for first, _ in log[1:]] + [high]
                data = b"".join(batch for (_, batch), end in zip(log, behind, strict=False) if end > offset)
            body = struct.pack(">ihqq", 0, 0, high, high) + (b"\0" * 8 if version >= 5 else b"") + count(0)
            body += struct.pack(">i", -1) if version >= 11 else b""
            body += (varint(len(data) + 1) if flexible else struct.pack(">i", len(data))) + data + tag
            topics.append(text(topic) + count(1) + body + tag)
        head = b"\0\0\0\0" + (b"\0\0\0\0\0\0" if version >= 7 else b"")
        return head + count(len(topics)) + b"".join(topics) + tag

    def answer_ListOffsets(self, version: int, fields: Fields) -> bytes:  # noqa: N802
        fields.number(4)
        topics = []
        for _ in fields.items():
            topic = fields.text() or b""
            found = []
            for _ in fields.items():
                number, when = fields.number(4), fields.number(8)
                found.append(struct.pack(">ihqq", number, 0, -1, self.next.get(topic, 0) if when == -1 else 0))
            topics.append(plain_text(topic) + struct.pack(">i", len(found)) + b"".join(found))
        return struct.pack(">i", len(topics)) + b"".join(topics)

    def answer_InitProducerId(self, version: int, fields: Fields) -> bytes:  # noqa: N802
        return struct.pack(">ihqh", 0, 0, 4000, 0)

    def answer_FindCoordinator(self, version: int, fields: Fields) -> bytes:  # noqa: N802
        node, text = struct.pack(">i", 1), compact if version >= 3 else plain_text
        none, tag = (b"\0", b"\0") if version >= 3 else (b"\xff\xff", b"")
        head = b"\0\0\0\0\0\0" + none if version else b"\0\0"
        return head + node + text(b"127.0.0.1") + struct.pack(">i", self.port) + tag

    def answer_JoinGroup(self, version: int, fields: Fields) -> bytes:  # noqa: N802
        fields.text()
        fields.bytes(8)
        fields.text()
        fields.text()
        protocols = [(fields.text() or b"", fields.bytes(fields.length(4))) for _ in fields.items()]
        name, metadata = protocols[0]
        member = plain_text(b"member-1")
        body = struct.pack(">ihi", 0, 0, 1) + plain_text(name) + member + member
        return body + struct.pack(">i", 1) + member + plain_bytes(metadata)

    def answer_SyncGroup(self, version: int, fields: Fields) -> bytes:  # noqa: N802
        fields.text()
        fields.number(4)
        fields.text()
        given = [(fields.text(), fields.bytes(fields.length(4))) for _ in fields.items()]
        return b"\0\0\0\0\0\0" + plain_bytes(given[0][1] if given else b"")

    def answer_Heartbeat(self, version: int, fields: Fields) -> bytes:  # noqa: N802
        return b"\0\0\0\0\0\0"

    answer_LeaveGroup = answer_Heartbeat  # noqa: N815

    def answer_OffsetFetch(self, version: int, fields: Fields) -> bytes:  # noqa: N802
        return self.answer_topics(fields, lambda: struct.pack(">iq", fields.number(4), 0) + b"\0\0\0\0")

    def answer_OffsetCommit(self, version: int, fields: Fields) -> bytes:  # noqa: N802
        def committed() -> bytes:
            number = fields.number(4)
            fields.number(8)
            fields.text()
            return struct.pack(">ih", number, 0)

        fields.text()
        fields.number(4)
        fields.text()
        fields.number(8)
        return self.answer_topics(fields, committed, named=False)

    def answer_topics(self, fields: Fields, answer, *, named: bool = True) -> bytes:  # type: ignore[no-untyped-def]
        """For each partition of each topic what `answer` says."""
        if named:
            fields.text()
        topics = []
        for _ in fields.items():
            topic = fields.text() or b""
            found = [answer() for _ in fields.items()]
            topics.append(plain_text(topic) + struct.pack(">i", len(found)) + b"".join(found))
        return struct.pack(">i", len(topics)) + b"".join(topics)


@contextlib.contextmanager
def kafka_broker() -> Iterator[Broker]:
    """A broker on a free port of loopback."""
    broker = Broker()
    thread = threading.Thread(target=broker.serve, daemon=True)
    thread.start()
    try:
        yield broker
    finally:
        broker.over.set()
        broker.listener.shutdown(socket.SHUT_RDWR)
        broker.listener.close()
        thread.join(timeout=5)
