"""Losses: how many segments between two hosts did not arrive, as far as the captures of their two ends can tell.

Rules: a segment is lost where its sender sent it again and its receiver saw it no more often than it had to. What the
receiver saw again was sent needlessly: its acknowledgement was lost, a timer was too short (RFC 6298 section 5), or it was
a tail loss probe (RFC 8985 section 7). Where only one end was captured, or the two captures differ in what they hold,
these can not be told apart. What a capture lacks is the recorder's loss: nothing is counted but what was captured twice.
Keep-alive probes are no repetitions, and copies are left out, where packets are read; probes of a closed window bring
nothing new either, so that a connection whose window closed is judged only where both ends saw it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.diagnosis.names import Names, codes_of, distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

ALIKE_SHARE = 0.05
"""Two captures hold the same of a connection where the bytes of each direction differ by no larger share, ..."""
ALIKE_BYTES = 4096
"""... or by no more bytes than a request or two, of which one end may have seen nothing."""
NOT_OPENED = ("unanswered", "refused", "unreachable", "half_open")
"""Ends of attempts to connect that came to nothing: who is not there answers no SYN, and no segment need be lost."""
AT_CLIENT, AT_SERVER, BETWEEN = range(3)
"""Where a connection was captured."""
MIXERS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
"""Odd numbers without pattern (2**64 divided by the golden ratio, and a prime of xxHash)."""

TEXTS = ("transport", "client_address", "server_address", "capture", "ended")
NUMBERS = (
    *("client_port", "server_port", "syns_repeated", "syn_acks_repeated", "client_segments", "server_segments"),
    *("client_retransmitted", "server_retransmitted", "client_bytes", "server_bytes", "client_lost_bytes"),
    *("server_lost_bytes", "zero_windows"),
)
COLUMNS = (*TEXTS, *NUMBERS, "handshake")

VIEW = np.dtype(
    [
        ("key", "u8"),
        ("at", "i8"),
        ("capture", "i8"),
        ("client", "i8"),
        ("server", "i8"),
        ("sent", "i8", 2),
        ("again", "i8", 2),
        ("bytes", "i8", 2),
        ("missed", "i8", 2),
        ("closed", "i8"),
    ]
)
"""What one capture tells of a connection: who talks, and of client and server what they sent, and sent again; how many bytes
that was, and how many the capture misses; how often a window was closed."""


class Losses(NamedTuple):
    """The ways from one host to another. Arrays have shape (ways,)."""

    machines: list[str]
    """Hosts by name, or by address."""
    sender: NDArray[np.int64]
    """Number of the host in `machines`."""
    receiver: NDArray[np.int64]
    sent: NDArray[np.int64]
    """Segments that were sent, repetitions included."""
    lost: NDArray[np.int64]
    """Those that left their sender, as its capture shows, and never came to their receiver, as that one's does."""
    needless: NDArray[np.int64]
    """Those that were sent again, and came both times."""
    again: NDArray[np.int64]
    """Those that were sent again where it can not be told whether they had arrived."""
    missed: NDArray[np.int64]
    """Bytes that the captures lack of the connections with repetitions, though they were acknowledged."""


def losses_of(case: Case) -> Losses:
    """Count the losses of a case. Raises UserError if it is damaged."""
    reader = _Reader(case)
    ways, sums = [np.zeros(0, np.int64)], [np.zeros((0, 3), np.int64)]
    keys = [np.zeros(0, np.uint64)]
    for piece in case.pieces("connections", COLUMNS):
        views = reader.views(piece)
        for direction in range(2):
            way, number = np.unique(_way(views, direction), return_inverse=True)
            seen = np.zeros((len(way), 3), np.int64)
            # First as its sender saw it, then as its receiver did.
            place = np.where(views["at"] == BETWEEN, BETWEEN, views["at"] ^ direction)
            np.add.at(seen, (number, place), views["sent"][:, direction])
            ways.append(way)
            sums.append(seen)
        keys.append(np.unique(views["key"][views["again"].any(axis=1)]))
    way, number = np.unique(np.concatenate(ways), return_inverse=True)
    sent = np.zeros((len(way), 3), np.int64)
    np.add.at(sent, number, np.concatenate(sums))
    figures = np.zeros((4, len(way)), np.int64)
    wanted = np.unique(np.concatenate(keys))
    if len(wanted):
        every = (reader.views(piece) for piece in case.pieces("connections", COLUMNS))
        _count(np.concatenate([views[np.isin(views["key"], wanted)] for views in every]), way, figures)
    # Offload joins segments, at the sender more than at the receiver: whoever counts more is nearer to the wire.
    return Losses(reader.machines.things, way >> 32, way & 0xFFFFFFFF, sent.max(axis=1, initial=0), *figures)


class _Reader:
    """Reads rows of `connections` as `VIEW`."""

    def __init__(self, case: Case) -> None:
        self.machines = Names[str]()
        self._addresses, self._captures, self._words = Names[str](), Names[str](), Names[str]()
        self._machine_of: list[int] = []
        self._recorder_of: list[int] = []
        rows = case.columns("hosts", ["host", "addresses", "captures"]).to_pylist()
        self._host_of = {address: row["host"] for row in rows for address in row["addresses"]}
        self._host_of_capture = {capture: row["host"] for row in rows for capture in row["captures"]}

    def views(self, piece: pa.Table) -> NDArray[np.void]:
        """The TCP connections of a piece of the table between two hosts. Shape (n,)."""
        client, server = (codes_of(piece.column(f"{side}_address"), self._addresses) for side in ("client", "server"))
        capture = codes_of(piece.column("capture"), self._captures)
        new = self._addresses.things[len(self._machine_of) :]
        self._machine_of += [self.machines.code(self._host_of.get(each) or each) for each in new]
        recorders = self._captures.things[len(self._recorder_of) :]
        hosts = [self._host_of_capture.get(each) for each in recorders]
        self._recorder_of += [self.machines.code(host) if host else -1 for host in hosts]
        machine, recorder = (np.array(each, np.int64) for each in (self._machine_of, self._recorder_of))
        found = np.zeros(len(piece), VIEW)
        if not len(piece):
            return found
        ports = {name: piece.column(name).to_numpy().astype(np.uint64) for name in ("client_port", "server_port")}
        found["key"] = (client.astype(np.uint64) << np.uint64(16) | ports["client_port"]) * MIXERS[0]
        found["key"] ^= (server.astype(np.uint64) << np.uint64(16) | ports["server_port"]) * MIXERS[1]
        found["client"], found["server"] = machine[client], machine[server]
        at = np.where(recorder[capture] == found["server"], AT_SERVER, BETWEEN)
        found["at"] = np.where(recorder[capture] == found["client"], AT_CLIENT, at)
        found["capture"] = capture
        numbers = {name: piece.column(name).to_numpy() for name in NUMBERS}
        is_opened = (
            piece.column("handshake").to_numpy()
            & ~pc.is_in(piece.column("ended").cast("string"), pa.array(NOT_OPENED)).to_numpy()
        )
        for direction, (side, opening) in enumerate((("client", "syns_repeated"), ("server", "syn_acks_repeated"))):
            repeated = np.where(is_opened, numbers[opening], 0)
            found["sent"][:, direction] = numbers[f"{side}_segments"] + is_opened + repeated
            found["again"][:, direction] = numbers[f"{side}_retransmitted"] + repeated
            found["bytes"][:, direction] = numbers[f"{side}_bytes"]
            found["missed"][:, direction] = numbers[f"{side}_lost_bytes"]
        found["closed"] = numbers["zero_windows"]
        is_tcp = pc.equal(piece.column("transport").cast("string"), "tcp").fill_null(False).to_numpy()
        between_hosts: NDArray[np.void] = found[is_tcp & (found["client"] != found["server"])]
        return between_hosts


def _way(views: NDArray[np.void], direction: int) -> NDArray[np.int64]:
    """The way of what the client (0) or the server (1) sends, as one number: sender, then receiver."""
    ends = views["client"], views["server"]
    way: NDArray[np.int64] = ends[direction] << 32 | ends[1 - direction]
    return way


def _count(views: NDArray[np.void], ways: NDArray[np.int64], figures: NDArray[np.int64]) -> None:
    """Add to `figures`, shape (4, ways), what connections with repetitions tell: lost, needless, again, missed bytes."""
    unit, first = distinct([*(np.unique(views[name], return_inverse=True)[1] for name in ("key", "at", "capture"))])
    of_unit = views[first]
    for name in ("sent", "again", "bytes", "missed", "closed"):
        of_unit[name] = 0
        np.add.at(of_unit[name], unit, views[name])
    best = _fullest(of_unit)
    client, server = best[:, AT_CLIENT], best[:, AT_SERVER]
    one, other = of_unit[client], of_unit[server]
    most = np.maximum(one["bytes"], other["bytes"])
    apart = np.abs(one["bytes"] - other["bytes"])
    is_alike = (apart <= np.maximum(ALIKE_SHARE * most, ALIKE_BYTES)).all(axis=1)
    both = (client >= 0) & (server >= 0) & is_alike
    # Of the others, what the fullest capture saw; a closed window is probed again and again.
    size = np.where(best >= 0, of_unit["sent"].sum(axis=1)[best], -1)
    alone = of_unit[best[np.arange(len(best)), size.argmax(axis=1)]]
    is_told = ~both & (alone["closed"] == 0)
    for direction in range(2):
        sender, receiver = (one, other) if direction == 0 else (other, one)
        way = np.searchsorted(ways, _way(alone, direction))
        sent_again, came_again = sender["again"][:, direction], receiver["again"][:, direction]
        needless = np.minimum(sent_again, came_again)
        missed = np.maximum(sender["missed"][:, direction], receiver["missed"][:, direction])
        told = (
            np.where(both, sent_again - needless, 0),
            np.where(both, needless, 0),
            np.where(is_told, alone["again"][:, direction], 0),
            np.where(both, missed, alone["missed"][:, direction]),
        )
        for figure, values in zip(figures, told, strict=True):
            np.add.at(figure, way, values)


def _fullest(units: NDArray[np.void]) -> NDArray[np.int64]:
    """Of each connection the unit that saw most of it at each place; -1 where none did. Shape (connections, 3)."""
    key, number = np.unique(units["key"], return_inverse=True)
    best = np.full((len(key), 3), -1, np.int64)
    order = np.argsort(units["sent"].sum(axis=1), kind="stable")
    # Of equal places the last one stays.
    best[number[order], units["at"][order]] = order
    return best
