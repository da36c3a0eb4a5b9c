"""The connections of one vantage point: which packet belongs to which, how each opened and ended, and its health.

Rules: a flow (pair of endpoints) carries one connection after another; a SYN with a new initial sequence number begins
the next one (RFC 9293 section 3.5). State is kept in growing arrays, one entry per connection or per stream, so that a
chunk of packets is classified by array operations; Python runs per connection and per SYN, FIN or RST, never per packet.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.columns import ACK, SYN
from wiretrace.tcp.growing import GrowingArrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

NONE = -1
NEVER = -(2**62)
"""Stands in `acknowledged_of` for: nothing was acknowledged."""


class Ending(enum.IntEnum):
    """How a connection ended, as far as the capture shows."""

    OPEN = 0
    """It was still open when the capture ended."""
    CLIENT_FIN = 1
    """The client's end closed first, in order."""
    SERVER_FIN = 2
    """The server's end closed first, in order."""
    CLIENT_RESET = 3
    """The client's end reset it."""
    SERVER_RESET = 4
    """The server's end reset it."""
    REFUSED = 5
    """The server's end answered the SYN with a reset."""
    UNANSWERED = 6
    """Nobody answered the SYN."""
    HALF_OPEN = 7
    """The SYN was answered, again and again, and the client's end never acknowledged that."""
    UNREACHABLE = 8
    """An ICMP error said that the server's end can not be reached."""


class ConnectionTable:
    """All connections met so far. Attributes that end in ``_of`` are arrays indexed by connection or by stream."""

    def __init__(self) -> None:
        self.count = 0
        self.any_closed = False
        """Whether any end takes no more bytes at present."""
        self._flows = GrowingArrays({"connection": (np.int32, NONE)})
        self._connections = GrowingArrays(
            {
                "flow": (np.int32, NONE),
                "client": (np.int8, NONE),
                "syn_seq": (np.int64, NONE),
                "syn_ack_seq": (np.int64, NONE),
                "syn_ns": (np.int64, NONE),
                "syn_ack_ns": (np.int64, NONE),
                "first_ns": (np.int64, NONE),
                "last_ns": (np.int64, NONE),
                "handshake_ns": (np.int64, NONE),
                "syns_repeated": (np.int64, 0),
                "syn_acks_repeated": (np.int64, 0),
                "unreachable_ns": (np.int64, NONE),
                "unreachable_frame": (np.int64, NONE),
                "unreachable_code": (np.int32, NONE),
                "reset_by": (np.int8, NONE),
                "reset_ns": (np.int64, NONE),
                "reset_frame": (np.int64, NONE),
                "first_fin_by": (np.int8, NONE),
                "zero_windows": (np.int64, 0),
                "finished": (np.bool_, 0),
            }
        )
        self._streams = GrowingArrays(
            {
                "base": (np.int64, NONE),
                "next": (np.int64, 0),
                "acknowledged": (np.int64, NEVER),
                "sent": (np.int64, NEVER),
                "heard_ns": (np.int64, NONE),
                "data_rtt_ns": (np.int64, NONE),
                "fin": (np.int64, NONE),
                "fin_ns": (np.int64, NONE),
                "fin_frame": (np.int64, NONE),
                "started": (np.bool_, 0),
                "bytes": (np.int64, 0),
                "segments": (np.int64, 0),
                "lost": (np.int64, 0),
                "retransmitted": (np.int64, 0),
                "out_of_order": (np.int64, 0),
                "keep_alives": (np.int64, 0),
                "closed_since_ns": (np.int64, NONE),
                "closed_ns": (np.int64, 0),
            }
        )

    @property
    def flow_of(self) -> NDArray[np.int32]:
        """Flow number, by connection."""
        return self._connections.arrays["flow"]

    @property
    def client_of(self) -> NDArray[np.int8]:
        """Direction that the client sends in (0 or 1), by connection; -1 while no SYN or SYN-ACK showed it."""
        return self._connections.arrays["client"]

    @property
    def syn_ns_of(self) -> NDArray[np.int64]:
        """Time of the first SYN, by connection; -1 if not captured."""
        return self._connections.arrays["syn_ns"]

    @property
    def syn_ack_ns_of(self) -> NDArray[np.int64]:
        """Time of the first SYN-ACK, by connection; -1 if not captured."""
        return self._connections.arrays["syn_ack_ns"]

    @property
    def handshake_ns_of(self) -> NDArray[np.int64]:
        """Time of the ACK that ended the handshake, by connection; -1 if not captured."""
        return self._connections.arrays["handshake_ns"]

    @property
    def syns_repeated_of(self) -> NDArray[np.int64]:
        """SYNs that were sent again, by connection."""
        return self._connections.arrays["syns_repeated"]

    @property
    def syn_acks_repeated_of(self) -> NDArray[np.int64]:
        """SYN-ACKs that were sent again, by connection."""
        return self._connections.arrays["syn_acks_repeated"]

    @property
    def unreachable_ns_of(self) -> NDArray[np.int64]:
        """Time of the first ICMP error about it, by connection; -1 if there was none."""
        return self._connections.arrays["unreachable_ns"]

    @property
    def unreachable_frame_of(self) -> NDArray[np.int64]:
        """Frame of the first ICMP error, by connection; -1 if there was none."""
        return self._connections.arrays["unreachable_frame"]

    @property
    def unreachable_code_of(self) -> NDArray[np.int32]:
        """What the first ICMP error said, by connection: as `packets.unreachable.Unreachable.code`; -1: nothing."""
        return self._connections.arrays["unreachable_code"]

    @property
    def first_ns_of(self) -> NDArray[np.int64]:
        """Time of the first packet, by connection."""
        return self._connections.arrays["first_ns"]

    @property
    def last_ns_of(self) -> NDArray[np.int64]:
        """Time of the last packet, by connection."""
        return self._connections.arrays["last_ns"]

    @property
    def reset_by_of(self) -> NDArray[np.int8]:
        """Direction of the first RST, by connection; -1 if none."""
        return self._connections.arrays["reset_by"]

    @property
    def reset_ns_of(self) -> NDArray[np.int64]:
        """Time of the first RST, by connection; -1 if none."""
        return self._connections.arrays["reset_ns"]

    @property
    def reset_frame_of(self) -> NDArray[np.int64]:
        """Frame of the first RST, by connection; -1 if none."""
        return self._connections.arrays["reset_frame"]

    @property
    def first_fin_by_of(self) -> NDArray[np.int8]:
        """Direction of the first FIN, by connection; -1 if none."""
        return self._connections.arrays["first_fin_by"]

    @property
    def zero_windows_of(self) -> NDArray[np.int64]:
        """Packets with a window of zero, by connection."""
        return self._connections.arrays["zero_windows"]

    @property
    def finished_of(self) -> NDArray[np.bool_]:
        """Whether the connection was handed on as finished, by connection."""
        return self._connections.arrays["finished"]

    @property
    def base_of(self) -> NDArray[np.int64]:
        """TCP sequence number (32 bits) of stream offset 0, by stream; -1 while unknown."""
        return self._streams.arrays["base"]

    @property
    def next_of(self) -> NDArray[np.int64]:
        """Stream offset up to which everything was delivered or given up, by stream."""
        return self._streams.arrays["next"]

    @property
    def acknowledged_of(self) -> NDArray[np.int64]:
        """Highest offset of the stream that the other end acknowledged, by stream; NEVER if nothing."""
        return self._streams.arrays["acknowledged"]

    @property
    def sent_of(self) -> NDArray[np.int64]:
        """Highest offset that the sender's own bare acknowledgements say it has sent, by stream; NEVER if none says so."""
        return self._streams.arrays["sent"]

    @property
    def heard_ns_of(self) -> NDArray[np.int64]:
        """Time of the last packet of the sender that acknowledges something, by stream; -1 if there was none."""
        return self._streams.arrays["heard_ns"]

    @property
    def data_rtt_ns_of(self) -> NDArray[np.int64]:
        """Shortest time from data to its acknowledgement, by stream; -1 if none was seen."""
        return self._streams.arrays["data_rtt_ns"]

    @property
    def fin_ns_of(self) -> NDArray[np.int64]:
        """Time of the first FIN, by stream; -1 if none was captured."""
        return self._streams.arrays["fin_ns"]

    @property
    def fin_frame_of(self) -> NDArray[np.int64]:
        """Frame of the first FIN, by stream; -1 if none was captured."""
        return self._streams.arrays["fin_frame"]

    @property
    def keep_alives_of(self) -> NDArray[np.int64]:
        """Keep-alive probes, by stream."""
        return self._streams.arrays["keep_alives"]

    @property
    def closed_since_ns_of(self) -> NDArray[np.int64]:
        """Since when the sender takes no more bytes (its window is zero), by stream; -1 where it takes some."""
        return self._streams.arrays["closed_since_ns"]

    @property
    def closed_ns_of(self) -> NDArray[np.int64]:
        """How long the sender took no more bytes, in all, by stream; without what is still going on."""
        return self._streams.arrays["closed_ns"]

    @property
    def fin_of(self) -> NDArray[np.int64]:
        """Stream offset of the FIN, by stream; -1 if none was captured."""
        return self._streams.arrays["fin"]

    @property
    def started_of(self) -> NDArray[np.bool_]:
        """Whether offset 0 is the first byte of the stream (a SYN or its acknowledgement shows it), by stream."""
        return self._streams.arrays["started"]

    @property
    def bytes_of(self) -> NDArray[np.int64]:
        """Payload bytes delivered, each once, by stream."""
        return self._streams.arrays["bytes"]

    @property
    def segments_of(self) -> NDArray[np.int64]:
        """Segments with payload, each time that they were captured, by stream."""
        return self._streams.arrays["segments"]

    @property
    def lost_of(self) -> NDArray[np.int64]:
        """Payload bytes that the capture lacks, by stream."""
        return self._streams.arrays["lost"]

    @property
    def retransmitted_of(self) -> NDArray[np.int64]:
        """Segments that brought nothing new, by stream."""
        return self._streams.arrays["retransmitted"]

    @property
    def out_of_order_of(self) -> NDArray[np.int64]:
        """Segments that came behind a later one and brought something new, by stream."""
        return self._streams.arrays["out_of_order"]

    def endings(self, client: NDArray[np.int64], connection: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """How connections (all, or those numbered) ended, as Ending; `client`: direction of the client. Shapes (n,)."""
        number = np.arange(self.count) if connection is None else connection
        reset_by, first_fin = self.reset_by_of[number], self.first_fin_by_of[number]
        silent = (self.bytes_of[2 * number] == 0) & (self.bytes_of[2 * number + 1] == 0)
        attempt = (self.syn_ns_of[number] >= 0) & (self.syn_ack_ns_of[number] < 0) & silent
        unheard = self.base_of[2 * number + 1 - client] < 0
        silent &= reset_by < 0
        silent &= first_fin < 0
        half_open = (self.syn_ack_ns_of[number] >= 0) & (self.syn_acks_repeated_of[number] > 0) & silent
        half_open &= (self.syn_ns_of[number] >= 0) & (self.handshake_ns_of[number] < 0)
        lost = silent & (self.unreachable_ns_of[number] >= 0) & (self.handshake_ns_of[number] < 0)
        return np.select(
            [
                attempt & (reset_by == 1 - client),
                lost,
                attempt & unheard,
                half_open,
                reset_by == client,
                reset_by >= 0,
                first_fin == client,
                first_fin >= 0,
            ],
            [
                Ending.REFUSED,
                Ending.UNREACHABLE,
                Ending.UNANSWERED,
                Ending.HALF_OPEN,
                Ending.CLIENT_RESET,
                Ending.SERVER_RESET,
                Ending.CLIENT_FIN,
                Ending.SERVER_FIN,
            ],
            Ending.OPEN,
        ).astype(np.int64)

    def assign(
        self,
        flow: NDArray[np.int32],
        direction: NDArray[np.uint8],
        seq: NDArray[np.uint32],
        flags: NDArray[np.uint8],
        time_ns: NDArray[np.int64],
    ) -> NDArray[np.int32]:
        """Number of the connection of each packet, making new ones where needed, and noting handshakes.

        All arrays have shape (n,), in capture order. Returns int32, shape (n,).
        """
        self._flows.reserve(int(flow.max()) + 1 if len(flow) else 0)
        current = self._flows.arrays["connection"]
        connection = current[flow]
        openings = np.flatnonzero(flags & SYN)
        if len(openings):
            by_flow: dict[int, list[int]] = {}
            for index in openings.tolist():
                by_flow.setdefault(int(flow[index]), []).append(index)
            order = np.argsort(flow, kind="stable")
            sorted_flow = flow[order]
            # Of the same type as what is searched: otherwise NumPy would convert all of that.
            wanted = np.fromiter(by_flow, flow.dtype, len(by_flow))
            firsts, lasts = (np.searchsorted(sorted_flow, wanted, side).tolist() for side in ("left", "right"))
            for (flow_number, indices), first, last in zip(by_flow.items(), firsts, lasts, strict=True):
                members = order[first:last]
                starts, numbers = [], []
                for index in indices:
                    number = int(current[flow_number])
                    answers = bool(flags[index] & ACK)
                    if number < 0 or not self._continues(number, answers, int(seq[index])):
                        at = int(np.searchsorted(members, index))
                        if number < 0 and at:
                            # Packets from before the first SYN belong to a connection that was joined midway.
                            connection[members[:at]] = self.begin(flow_number)
                        number = self.begin(flow_number)
                        starts.append(at)
                        numbers.append(number)
                    self._open(number, answers, int(seq[index]), int(time_ns[index]), int(direction[index]))
                if starts:
                    connection[members[starts[0] :]] = np.repeat(numbers, np.diff([*starts, len(members)]))
        unknown = connection < 0
        if unknown.any():
            for flow_number in np.unique(flow[unknown]).tolist():
                if current[flow_number] < 0:
                    self.begin(flow_number)
            connection[unknown] = current[flow[unknown]]
        return connection

    def _continues(self, connection: int, answers: bool, seq: int) -> bool:
        """Whether a SYN (or SYN-ACK, where it `answers`) with this sequence number belongs to `connection`."""
        arrays = self._connections.arrays
        known = int(arrays["syn_ack_seq" if answers else "syn_seq"][connection])
        if known >= 0:
            return known == seq
        # A SYN-ACK continues a connection whose SYN was seen; a SYN only one whose SYN-ACK overtook it in the capture.
        return (
            int(arrays["syn_seq" if answers else "syn_ack_seq"][connection]) >= 0
            and not self.bytes_of[2 * connection : 2 * connection + 2].any()
        )

    def _open(self, connection: int, answers: bool, seq: int, time_ns: int, direction: int) -> None:
        arrays = self._connections.arrays
        if arrays["syn_ack_seq" if answers else "syn_seq"][connection] >= 0:
            arrays["syn_acks_repeated" if answers else "syns_repeated"][connection] += 1
            return
        arrays["syn_ack_seq" if answers else "syn_seq"][connection] = seq
        arrays["syn_ack_ns" if answers else "syn_ns"][connection] = time_ns
        arrays["client"][connection] = 1 - direction if answers else direction
        stream = 2 * connection + direction
        self.base_of[stream] = (seq + 1) & 0xFFFFFFFF
        self.started_of[stream] = True

    def mark_unreachable(self, flow: int, time_ns: int, frame: int, code: int) -> None:
        """Note an ICMP error about the present connection of `flow`, if it is the first about it."""
        known = self._flows.arrays["connection"]
        connection = int(known[flow]) if flow < len(known) else NONE
        if connection >= 0 and self.unreachable_ns_of[connection] < 0:
            self.unreachable_ns_of[connection] = time_ns
            self.unreachable_frame_of[connection] = frame
            self.unreachable_code_of[connection] = code

    def begin(self, flow: int) -> int:
        """Begin the next connection of `flow`: the number of the new connection."""
        number = self.count
        self.count += 1
        self._connections.reserve(self.count)
        self._streams.reserve(2 * self.count)
        self._connections.arrays["flow"][number] = flow
        self._flows.arrays["connection"][flow] = number
        return number
