"""gRPC calls of every kind: grpcio as client and server."""

from __future__ import annotations

import contextlib
import time
from concurrent import futures
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

from tests.protocols.recording.loopback import recorded

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def grpc_calls() -> None:
    """Calls of every kind, with the statuses that a server gives and those that a client gives itself."""

    def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
        return b"\x0a\x08" + b"order-42" + b"\x10\x2a"

    def failing(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "no order of mary@example.com")
        return b""

    def slow(request: bytes, context: grpc.ServicerContext) -> bytes:
        time.sleep(0.5)
        return b""

    def streaming(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(4):
            yield b"\x08" + bytes((number + 100,))
            time.sleep(0.01)

    def collecting(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return b"\x08" + bytes((sum(1 for _ in requests),))

    def talking(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from requests

    handlers = {
        "Get": grpc.unary_unary_rpc_method_handler(unary),
        "Fail": grpc.unary_unary_rpc_method_handler(failing),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "Watch": grpc.unary_stream_rpc_method_handler(streaming),
        "Collect": grpc.stream_unary_rpc_method_handler(collecting),
        "Talk": grpc.stream_stream_rpc_method_handler(talking),
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    message = b"\x0a\x07user-88\x12\x02\x08\x4d"
    with recorded("grpc_calls", port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        channel.unary_unary("/shop.Orders/Get")(message, metadata=(("traceparent", TRACE),), timeout=5)
        with contextlib.suppress(grpc.RpcError):
            channel.unary_unary("/shop.Orders/Fail")(message)
        with contextlib.suppress(grpc.RpcError):
            channel.unary_unary("/shop.Orders/Missing")(message)
        with contextlib.suppress(grpc.RpcError):
            channel.unary_unary("/shop.Orders/Slow")(message, timeout=0.1)
        list(channel.unary_stream("/shop.Orders/Watch")(message))
        channel.stream_unary("/shop.Orders/Collect")(iter([message] * 3))
        list(channel.stream_stream("/shop.Orders/Talk")(iter([message] * 2)))
        called_off = channel.unary_stream("/shop.Orders/Watch")(message)
        next(called_off)
        called_off.cancel()
        several = [channel.unary_unary("/shop.Orders/Get").future(message) for _ in range(3)]
        for each in several:
            each.result()
        time.sleep(0.6)
    server.stop(None).wait()


SCENARIOS = (grpc_calls,)
