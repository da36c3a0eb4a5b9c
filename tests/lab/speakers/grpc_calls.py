"""gRPC: grpcio as client and server; calls of every kind, several at once on a connection, failures and deadlines.

The library does not tell its connections' ports: calls are known by their method, whose name is their nonce.
"""

from __future__ import annotations

import contextlib
import time
from concurrent import futures
from typing import TYPE_CHECKING

import grpc
from tests.lab.speakers.diary import CLIENTS, Diary, Scenario, at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CALLS_A_ROUND = 16
DEADLINE_SECONDS, LATE_SECONDS = 0.1, 0.4
WAIT_SECONDS = 60.0
MESSAGE = b"\x0a\x07user-88\x12\x02\x08\x4d"
LARGE = b"\x0a\xc0\xcf\x24" + b"paint " * 100_000
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
"""Each channel has a connection of its own."""


def unary(request: bytes, _context: grpc.ServicerContext) -> bytes:
    return request


def failing(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.NOT_FOUND, "no such order")
    return request


def late(request: bytes, _context: grpc.ServicerContext) -> bytes:
    time.sleep(LATE_SECONDS)
    return request


def streaming(request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
    for _ in range(4):
        yield request


def breaking(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    yield request
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more")


def endless(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    while context.is_active():
        yield request
        time.sleep(0.02)


def collecting(requests: Iterator[bytes], _context: grpc.ServicerContext) -> bytes:
    return b"\x08" + bytes((sum(1 for _ in requests),))


def talking(requests: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
    yield from requests


HANDLERS = {
    "Get": grpc.unary_unary_rpc_method_handler(unary),
    "Fail": grpc.unary_unary_rpc_method_handler(failing),
    "Late": grpc.unary_unary_rpc_method_handler(late),
    "Watch": grpc.unary_stream_rpc_method_handler(streaming),
    "Break": grpc.unary_stream_rpc_method_handler(breaking),
    "Follow": grpc.unary_stream_rpc_method_handler(endless),
    "Collect": grpc.stream_unary_rpc_method_handler(collecting),
    "Talk": grpc.stream_stream_rpc_method_handler(talking),
}


class Orders(grpc.GenericRpcHandler):
    """Serves every method whose name begins with that of a handler: what follows is a nonce."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        name = details.method.removeprefix("/shop.Orders/").partition("nonce")[0]
        return HANDLERS.get(name)


@contextlib.contextmanager
def server(_folder: Path) -> Iterator[int]:
    """A server in this process."""
    running = grpc.server(futures.ThreadPoolExecutor(16))
    running.add_generic_rpc_handlers((Orders(),))
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    try:
        yield port
    finally:
        running.stop(None).wait(10)


def speak(port: int, diary: Diary, calls: int) -> None:
    """Several channels."""
    at_once(lambda _: visit(port, diary, max(1, calls // CLIENTS // CALLS_A_ROUND)))


def visit(port: int, diary: Diary, rounds: int) -> None:
    """One client with a connection of its own."""

    def call(name: str, make: Callable[[str], None]) -> None:
        """One call; `make` is given its method, and raises what the library raises."""
        nonce, otherwise = diary.nonce(), None
        operation, status = f"shop.Orders/{name}nonce{nonce}", "OK"
        try:
            make(f"/{operation}")
        except grpc.RpcError as error:
            status = error.code().name
        if status == "DEADLINE_EXCEEDED":
            otherwise = "", "client_timeout"  # it is over for both ends at once: either may say so
        diary.note(operation, status, "ok" if status == "OK" else "error", nonce=nonce, otherwise=otherwise)

    with grpc.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel:

        def get(method: str) -> None:
            channel.unary_unary(method)(MESSAGE, timeout=WAIT_SECONDS)

        for _ in range(rounds):
            call("Get", get)
            call("Get", lambda method: channel.unary_unary(method)(LARGE, timeout=WAIT_SECONDS))
            call("Get", lambda method: channel.unary_unary(method)(b"", timeout=WAIT_SECONDS))
            call("Fail", get)
            call("Missing", get)
            call("Late", lambda method: channel.unary_unary(method)(MESSAGE, timeout=DEADLINE_SECONDS))
            call("Watch", lambda method: [*channel.unary_stream(method)(MESSAGE)].clear())
            call("Break", lambda method: [*channel.unary_stream(method)(MESSAGE)].clear())
            call("Collect", lambda method: channel.stream_unary(method)(iter([MESSAGE] * 3)))
            call("Talk", lambda method: [*channel.stream_stream(method)(iter([MESSAGE] * 3))].clear())
            nonce = diary.nonce()
            followed = channel.unary_stream(f"/shop.Orders/Follownonce{nonce}")(MESSAGE)
            next(followed)
            followed.cancel()
            diary.note(f"shop.Orders/Follownonce{nonce}", "200", "client_aborted", nonce=nonce)
            nonces = [diary.nonce() for _ in range(5)]
            several = [channel.unary_unary(f"/shop.Orders/Getnonce{nonce}").future(MESSAGE) for nonce in nonces]
            for nonce, each in zip(nonces, several, strict=True):
                each.result(WAIT_SECONDS)
                diary.note(f"shop.Orders/Getnonce{nonce}", each.code().name, nonce=nonce)


SCENARIOS = (Scenario("gRPC", server, speak),)
