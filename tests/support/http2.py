"""Streams of HTTP/2 for tests, written frame by frame with the reference encoder of header fields."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import hpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.dissect import Dissection

    from wiretrace.model.message import Message

from wiretrace.model.message import Role

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def grpc_message(payload: bytes, *, compressed: bool = False) -> bytes:
    """A message of gRPC behind its prefix."""
    return bytes((compressed,)) + struct.pack(">I", len(payload)) + payload


class Sender:
    """One side of a connection: `stream` is all that it has sent."""

    def __init__(self, opening: bytes = b"") -> None:
        self.stream = opening
        self.encoder = hpack.Encoder()

    def send(self, *frames: bytes) -> Sender:
        """Send frames as they are."""
        self.stream += b"".join(frames)
        return self

    def headers(self, stream: int, fields: Sequence[tuple[str, str]], *, end: bool = False, pieces: int = 1) -> Sender:
        """A header block, in a HEADERS frame and as many CONTINUATION frames as make `pieces`."""
        block = self.encoder.encode(fields)
        step = -(-len(block) // pieces)
        parts = [block[at : at + step] for at in range(0, len(block), step)] or [b""]
        for number, part in enumerate(parts):
            flags = END_HEADERS * (number == len(parts) - 1) | END_STREAM * (end and number == 0)
            self.send(frame(CONTINUATION if number else HEADERS, flags, stream, part))
        return self

    def ask(self, stream: int, path: str, *more: tuple[str, str], method: str = "GET", end: bool = True) -> Sender:
        """The head of a request."""
        fields = [(":method", method), (":scheme", "http"), (":authority", "shop:8080"), (":path", path), *more]
        return self.headers(stream, fields, end=end)

    def answer(self, stream: int, status: int = 200, *more: tuple[str, str], end: bool = True) -> Sender:
        """The head of a response."""
        return self.headers(stream, [(":status", str(status)), *more], end=end)

    def data(self, stream: int, content: bytes, *, end: bool = False, padding: int = -1) -> Sender:
        """A DATA frame; `padding` bytes follow the content if that is not negative."""
        if padding < 0:
            return self.send(frame(DATA, END_STREAM * end, stream, content))
        return self.send(frame(DATA, END_STREAM * end | PADDED, stream, bytes((padding,)) + content + bytes(padding)))


def client() -> Sender:
    """A client that has sent its preface and settings."""
    return Sender(PREFACE + frame(SETTINGS, 0, 0))


def server() -> Sender:
    """A server that has sent its settings."""
    return Sender(frame(SETTINGS, 0, 0))


class Whole:
    """A message with all its pieces."""

    def __init__(self, message: Message, pieces: list[tuple[int, int]]) -> None:
        self.message = message
        self.pieces = pieces
        self.size = sum(end - start for start, end in pieces)

    @property
    def told(self) -> tuple[object, ...]:
        """What must not depend on how the bytes came."""
        message = self.message
        return (
            message.key, message.role, message.operation, message.summary, message.status, message.result,
            message.damaged, message.identifiers, message.attributes, message.notes, message.protocol, self.size,
            self.pieces[0][0], self.pieces[-1][1],
        )  # fmt: skip


def joined(messages: Sequence[Message]) -> list[Whole]:
    """The messages of one side, put together from their pieces, without CONTROL."""
    pieces: dict[int, list[tuple[int, int]]] = {}
    whole = []
    for message in messages:
        if message.role is Role.PART:
            pieces.setdefault(message.key, []).append((message.start, message.end))
        elif message.role not in (Role.CONTROL, Role.CANCEL):
            whole.append(Whole(message, [*pieces.pop(message.key, []), (message.start, message.end)]))
    return whole


def told(result: Dissection) -> list[list[tuple[object, ...]]]:
    """What a connection's messages tell, by side, in the order of their streams."""
    return [
        sorted((each.told for each in joined(messages)), key=lambda each: (each[0], repr(each)))
        for messages in (result.requests, result.responses)
    ]
