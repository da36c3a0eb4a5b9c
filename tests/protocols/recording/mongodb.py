"""MongoDB: pymongo as the client of a small server that knows a few commands, compressed and not."""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
import zlib
from typing import TYPE_CHECKING, Any

import bson
import cramjam
import pymongo
from backports import zstd
from pymongo.errors import PyMongoError
from tests.protocols.recording.loopback import recorded
from tests.support.exact import ExactHandler

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPRESSORS = {1: cramjam.snappy, 2: zlib, 3: zstd}
ROWS = [{"_id": number, "article": f"paint-{number}", "price": number * 1.5} for number in range(40)]


def answer_to(command: dict[str, Any], sequences: dict[str, list[Any]]) -> dict[str, Any]:
    """What the server says to a command."""
    name = next(iter(command))
    if name.lower() in ("hello", "ismaster"):
        return {
            "ok": 1.0, "ismaster": True, "isWritablePrimary": True, "helloOk": True,
            "minWireVersion": 0, "maxWireVersion": 17,
            "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000,
            "logicalSessionTimeoutMinutes": 30, "compression": command.get("compression", []),
        }  # fmt: skip
    if name == "find":
        first, cursor = (ROWS[:20], 4711) if command.get("batchSize") else (ROWS[:3], 0)
        return {"cursor": {"firstBatch": first, "id": bson.Int64(cursor), "ns": "shop.orders"}, "ok": 1.0}
    if name == "getMore":
        return {"cursor": {"nextBatch": ROWS[20:], "id": bson.Int64(0), "ns": "shop.orders"}, "ok": 1.0}
    if name == "insert":
        documents = sequences.get("documents") or command.get("documents", [])
        if any(each.get("_id") == 13 for each in documents):
            error = {"index": 0, "code": 11000, "errmsg": "E11000 duplicate key: mary@example.com"}
            return {"n": 0, "writeErrors": [error], "ok": 1.0}
        return {"n": len(documents), "ok": 1.0}
    if name in ("update", "delete", "count", "endSessions", "ping"):
        return {"n": 1, "nModified": 1, "ok": 1.0}
    return {"ok": 0.0, "errmsg": f"no such command: '{name}'", "code": 59, "codeName": "CommandNotFound"}


def sections(body: bytes) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Command and document sequences of an OP_MSG."""
    at, command, sequences = 4, {}, {}
    while at < len(body):
        kind = body[at]
        size = struct.unpack_from("<i", body, at + 1)[0]
        content = body[at + 1 : at + 1 + size]
        if kind == 0:
            command = bson.decode(content)
        else:
            name, _, documents = content[4:].partition(b"\0")
            sequences[name.decode()] = bson.decode_all(documents)
        at += 1 + size
    return command, sequences


class Handler(ExactHandler):
    """One connection to the small server."""

    def handle(self) -> None:
        """Answer until the client goes."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                length, number, _, operation = struct.unpack("<iiii", self.take(16))
                self.respond(number, operation, self.take(length - 16))

    def respond(self, number: int, operation: int, body: bytes) -> None:
        """Answer one message, compressed as it came."""
        compressor = 0
        if operation == 2012:
            operation, _, compressor = struct.unpack_from("<iiB", body)
            body = body[9:]
            body = (
                cramjam.snappy.decompress_raw(body).read()
                if compressor == 1
                else COMPRESSORS[compressor].decompress(body)
            )
        if operation == 2004:
            command = bson.decode(body[body.index(b"\0", 4) + 9 :])
            document = bson.encode(answer_to(command, {}))
            self.send(1, struct.pack("<iqii", 8, 0, 0, 1) + document, number, 0)
            return
        flags = struct.unpack_from("<I", body)[0]
        command, sequences = sections(body)
        if not flags & 2:
            answer = b"\0\0\0\0\0" + bson.encode(answer_to(command, sequences))
            self.send(2013, answer, number, compressor)

    def send(self, operation: int, body: bytes, number: int, compressor: int) -> None:
        """Send one message."""
        if compressor:
            packed = (
                bytes(cramjam.snappy.compress_raw(body)) if compressor == 1 else COMPRESSORS[compressor].compress(body)
            )
            body = struct.pack("<iiB", operation, len(body), compressor) + packed
            operation = 2012
        self.request.sendall(struct.pack("<iiii", 16 + len(body), 7000 + number, number, operation) + body)


class Server(socketserver.ThreadingTCPServer):
    """The small server; its threads end with its clients."""

    allow_reuse_address = True
    daemon_threads = True


@contextlib.contextmanager
def small_server() -> Iterator[int]:
    """Run the small server; gives its port."""
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def use(port: int, compressor: str) -> None:
    """Do what applications do, on one connection."""
    address = f"mongodb://127.0.0.1:{port}/?directConnection=true&serverMonitoringMode=poll&retryWrites=false"
    with pymongo.MongoClient(address + (f"&compressors={compressor}" if compressor else "")) as client:
        orders = client["shop"]["orders"]
        list(orders.find({"customer": "user-8812", "state": {"$in": ["open", "paid"]}}, limit=3))
        orders.insert_many([{"_id": number, "article": f"paint-{number}"} for number in range(900, 903)])
        with contextlib.suppress(PyMongoError):
            orders.insert_one({"_id": 13, "mail": "mary@example.com"})
        orders.update_one({"_id": 42}, {"$set": {"state": "paid", "password": "hunter2"}})
        orders.with_options(write_concern=pymongo.WriteConcern(w=0)).delete_one({"_id": 42})
        list(orders.find({}, batch_size=20))
        with contextlib.suppress(PyMongoError):
            client["shop"].command({"sellEverything": 1, "to": "user-8812"})


def mongodb_plain() -> None:
    """Commands without compression: sequences, cursors, errors, writes that nobody waits for."""
    with small_server() as port, recorded("mongodb_plain", port):
        use(port, "")


def mongodb_compressed() -> None:
    """The same with each of the three compressors, a client each."""
    with small_server() as port, recorded("mongodb_compressed", port):
        for compressor in ("snappy", "zlib", "zstd"):
            use(port, compressor)


SCENARIOS = (mongodb_plain, mongodb_compressed)
