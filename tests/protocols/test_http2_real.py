"""HTTP/2 as nginx and gRPC speak it now: what a relay records on loopback is read whole, however the bytes come."""

from __future__ import annotations

import random
from concurrent import futures
from typing import TYPE_CHECKING

import grpc
from tests.protocols.recording.http import free_port, nginx, prior_knowledge
from tests.support.dissect import dissect
from tests.support.http2 import joined, told
from tests.support.relay import Recording, Relay

from wiretrace.protocols.http2 import Http2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.model.message import Message


def read(recording: Recording) -> tuple[list[Message], list[Message]]:
    """Requests and responses, which must be the same in whole windows and in random splits."""
    whole = dissect(Http2, recording.client, recording.server)
    assert whole.violations == []
    assert whole.unread == []
    for seed in range(2):
        assert told(dissect(Http2, recording.client, recording.server, splits=random.Random(seed))) == told(whole)
    requests, responses = joined(whole.requests), joined(whole.responses)
    return [each.message for each in requests], [each.message for each in responses]


def test_a_conversation_with_nginx_is_read_whole() -> None:
    port = free_port()
    asked = [("GET", "/hello", 200), ("HEAD", "/9000.txt", 200), ("GET", "/9000.txt", 200), ("POST", "/orders/1", 200),
             ("GET", "/moved", 302), ("GET", "/empty", 204), ("GET", "/broken", 500), ("GET", "/nothing", 404)]  # fmt: skip
    with nginx(port), Relay(("127.0.0.1", port)) as relay, prior_knowledge(relay.port) as client:
        for method, path, _ in asked:
            client.request(method, path, content=b"some body" if method == "POST" else None)
    requests, responses = read(relay.recordings[0])
    assert [message.summary for message in requests] == [f"{method} {path}" for method, path, _ in asked]
    assert {message.key: message.status for message in responses} == {
        request.key: str(status) for request, (_, _, status) in zip(requests, asked, strict=True)
    }
    assert not any(message.damaged or message.notes for message in requests + responses)


def test_calls_of_grpc_are_read_whole() -> None:
    def watch(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from (request,) * 30

    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
        return b""

    handlers = {
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    }
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    large = b"\x0a\xe8\x07" + b"v" * 1000
    with Relay(("127.0.0.1", port)) as relay:
        with grpc.insecure_channel(f"127.0.0.1:{relay.port}") as channel:
            list(channel.unary_stream("/a.B/Watch")(large))
            try:
                channel.unary_unary("/a.B/Refuse")(b"")
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        server.stop(None).wait()
    requests, responses = read(relay.recordings[0])
    assert [(message.operation, message.protocol) for message in requests] == [
        ("a.B/Watch", "grpc"),
        ("a.B/Refuse", "grpc"),
    ]
    assert [message.status for message in responses] == ["OK", "PERMISSION_DENIED"]
    streamed = responses[0].attributes or {}
    assert streamed["wiretrace.grpc.response.messages"] == 30
    assert streamed["wiretrace.grpc.response.message_bytes"] == 30 * len(large)
