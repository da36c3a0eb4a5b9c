"""The truth: what every process of the lab writes down about the calls it makes and serves.

Rules of this file: one JSON object a line, one line a call, times from CLOCK_REALTIME, the clock that the kernel
stamps packets with.
- ``seen_by`` is ``caller`` where the times enclose the packets (before the first is sent, after the last is read),
  and ``callee`` where they lie inside the exchange: nginx can not write down what it calls, so the application that
  it calls does.
- ``exchanges`` is how many exchanges on the wire the call is, null where the library decides (a statement that is
  prepared first).
- ``setup`` marks logins and pings, which belong to no request; their parent is null.
"""

import random
import time
from pathlib import Path

import msgspec

HEADER = "X-Lab-Truth"
"""Carries the id of the calling call in HTTP requests; its value is overwritten in the captures after recording."""
ID_LENGTH = 32
"""Hexadecimal digits of an id."""

now_ns = time.time_ns


class Endpoint(msgspec.Struct):
    """One end of a connection."""

    address: str
    port: int


class TruthCall(msgspec.Struct):
    """One call as the processes that took part know it."""

    id: str
    parent: str | None
    caller: str
    callee: str
    protocol: str
    operation: str
    client: Endpoint
    server: Endpoint
    start_ns: int
    end_ns: int
    seen_by: str = "caller"
    exchanges: int | None = 1
    setup: bool = False
    tree: str | None = None


def new_id() -> str:
    """A fresh id."""
    return f"{random.getrandbits(4 * ID_LENGTH):0{ID_LENGTH}x}"


def endpoint(name: tuple[object, ...]) -> Endpoint:
    """The endpoint of a ``getsockname`` or ``getpeername`` answer."""
    return Endpoint(str(name[0]), int(str(name[1])))


class TruthLog:
    """The side file of one process."""

    def __init__(self, path: Path, service: str) -> None:
        self.service = service
        self._file = path.open("wb", buffering=1 << 18)
        self._encode = msgspec.json.Encoder().encode

    def write(
        self,
        parent: str | None,
        callee: str,
        protocol: str,
        operation: str,
        client: Endpoint,
        server: Endpoint,
        start_ns: int,
        call_id: str | None = None,
        exchanges: int | None = 1,
        setup: bool = False,
    ) -> None:
        """Write down a call that this process made and that ended now."""
        end_ns = now_ns()
        self._line(
            TruthCall(
                call_id or new_id(), parent, self.service, callee, protocol, operation, client, server, start_ns, end_ns,
                "caller", exchanges, setup,
            )
        )  # fmt: skip

    def write_served(
        self, call_id: str, parent: str, caller: str, operation: str, client: Endpoint, server: Endpoint, start_ns: int
    ) -> None:
        """Write down an HTTP call that this process served on behalf of a caller that can not write."""
        self._line(
            TruthCall(
                call_id, parent, caller, self.service, "http", operation, client, server, start_ns, now_ns(), "callee"
            )
        )

    def _line(self, call: TruthCall) -> None:
        self._file.write(self._encode(call) + b"\n")

    def close(self) -> None:
        """Write out what is in memory."""
        self._file.close()


def merge(parts: list[Path], not_before_ns: int, target: Path) -> list[TruthCall]:
    """Join the side files into ``target``, sorted by start, with the tree of each call, and return the calls.

    Trees and set-up that began before ``not_before_ns``, when recording began, are left out.
    """
    calls: dict[str, TruthCall] = {}
    decode = msgspec.json.Decoder(TruthCall).decode
    for part in parts:
        for line in part.read_bytes().splitlines():
            call = decode(line)
            calls[call.id] = call
    kept = []
    for call in calls.values():
        root = call
        while root.parent is not None:
            root = calls[root.parent]
        call.tree = root.id
        if root.start_ns >= not_before_ns:
            kept.append(call)
    kept.sort(key=lambda call: call.start_ns)
    encode = msgspec.json.Encoder().encode
    target.write_bytes(b"".join(encode(call) + b"\n" for call in kept))
    return kept
