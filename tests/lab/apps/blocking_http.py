"""HTTP/1.1 with blocking sockets and a thread a connection: the server and the client of the threaded processes.

Rules of this file: heads and bodies leave in one write; every message has a Content-Length; connections are kept alive.
"""

import socket
import threading
from collections.abc import Callable
from typing import NamedTuple

REASONS = {200: "OK", 201: "Created", 202: "Accepted", 404: "Not Found", 409: "Conflict", 500: "Internal Server Error"}


class Message(NamedTuple):
    """A request or a response."""

    first_line: str
    headers: dict[str, str]
    body: bytes


class MessageReader:
    """Reads whole messages from one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._waiting = b""

    def read(self) -> Message | None:
        """The next message, or None where the other side closed."""
        while (end := self._waiting.find(b"\r\n\r\n")) < 0:
            if not self._more():
                return None
        first_line, *lines = self._waiting[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = end + 4 + int(headers.get("content-length", 0))
        while len(self._waiting) < size:
            if not self._more():
                return None
        body, self._waiting = self._waiting[end + 4 : size], self._waiting[size:]
        return Message(first_line, headers, body)

    def _more(self) -> bool:
        try:
            received = self._connection.recv(65536)
        except ConnectionError:
            return False
        self._waiting += received
        return bool(received)


class Request(NamedTuple):
    """A request and the connection that it came on."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: socket.socket


Handler = Callable[[Request], tuple[int, bytes, Callable[[], None]]]
"""Answers a request with status, body, and what is to be done once the response is sent."""


def serve(address: str, port: int, handler: Handler) -> None:
    """Answer requests for ever, a thread a connection."""
    with socket.create_server((address, port), backlog=256) as listener:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve_connection, args=(connection, handler), daemon=True).start()


def _serve_connection(connection: socket.socket, handler: Handler) -> None:
    reader = MessageReader(connection)
    with connection:
        while (message := reader.read()) is not None:
            method, target, _ = message.first_line.split(" ", 2)
            status, body, afterwards = handler(Request(method, target, message.headers, message.body, connection))
            head = (
                f"HTTP/1.1 {status} {REASONS[status]}\r\nServer: shop\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body)
            afterwards()


class HttpClient:
    """One kept connection to a server."""

    def __init__(self, address: str, port: int, user_agent: str, timeout: float = 20.0) -> None:
        self.connection = socket.create_connection((address, port), timeout)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = MessageReader(self.connection)
        host = f"[{address}]" if ":" in address else address
        self._common = f"Host: {host}\r\nUser-Agent: {user_agent}\r\nAccept: application/json\r\n"
        self.usable = True

    def request(self, method: str, target: str, headers: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request and return its status and body. Raises `ConnectionError` where the server closed."""
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {target} HTTP/1.1\r\n{self._common}{headers}{length}\r\n"
        self.connection.sendall(head.encode() + body)
        message = self._reader.read()
        if message is None:
            self.usable = False
            raise ConnectionError("the server closed the connection")
        self.usable = message.headers.get("connection") != "close"
        return int(message.first_line.split(" ", 2)[1]), message.body

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
