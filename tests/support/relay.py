"""A TCP relay on loopback that records both directions of the real connections that pass through it.

Rules: one thread a connection, every wait has a timeout, and leaving the ``with`` block ends everything that was started.
Chunks are recorded in the order in which the relay received them, so that a test can replay a conversation step by step.
"""

from __future__ import annotations

import select
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from wiretrace.model.side import Side

if TYPE_CHECKING:
    from types import TracebackType

IDLE_SECONDS = 20.0
"""A relayed connection that is silent for this long is closed."""
MOST_BYTES = 64 << 20
"""A connection that carries more than this is cut, so that a faulty test can not fill the memory."""


@dataclass
class Recording:
    """The bytes of one connection."""

    chunks: list[tuple[Side, bytes]] = field(default_factory=list)
    """What was received, in order, with the side that sent it."""
    finished: threading.Event = field(default_factory=threading.Event)
    """Set when both directions have ended."""

    def stream(self, side: Side) -> bytes:
        """All bytes that `side` sent."""
        return b"".join(chunk for sender, chunk in self.chunks if sender is side)

    @property
    def client(self) -> bytes:
        """All bytes of the client."""
        return self.stream(Side.CLIENT)

    @property
    def server(self) -> bytes:
        """All bytes of the server."""
        return self.stream(Side.SERVER)


class Relay:
    """Listens on a free port of 127.0.0.1 and passes every connection on to `target`.

    Use as a context manager: ``with Relay(("127.0.0.1", 5432)) as relay: connect("127.0.0.1", relay.port)``. Leaving the
    block waits until every connection has ended (the test closes its clients first), then `recordings` is complete.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        """`target` is a host and port, or the path of a Unix socket."""
        self.target = target
        self.recordings: list[Recording] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=IDLE_SECONDS + 1)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the listener was closed
                return
            recording = Recording()
            self.recordings.append(recording)
            thread = threading.Thread(target=self._carry, args=(client, recording), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket, recording: Recording) -> None:
        with client:
            try:
                if isinstance(self.target, str):
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(self.target)
                else:
                    server = socket.create_connection(self.target, timeout=5)
                with server:
                    copy_both_ways(client, server, recording)
            except OSError:  # an end reset the connection: what was recorded is what there was
                pass
            finally:
                recording.finished.set()


def copy_both_ways(client: socket.socket, server: socket.socket, recording: Recording) -> None:
    """Copy until both directions have ended, passing each half-close on."""
    peers = {client: (server, Side.CLIENT), server: (client, Side.SERVER)}
    reading = [client, server]
    total = 0
    while reading and total < MOST_BYTES:
        ready, _, _ = select.select(reading, [], [], IDLE_SECONDS)
        if not ready:
            return
        for source in ready:
            peer, side = peers[source]
            chunk = source.recv(1 << 16)
            if chunk:
                total += len(chunk)
                recording.chunks.append((side, chunk))
                peer.sendall(chunk)
            else:
                reading.remove(source)
                peer.shutdown(socket.SHUT_WR)
