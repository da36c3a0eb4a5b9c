"""Records in, PacketColumns out: the kernels and the careful path, block by block, and the count of what is left over.

Rules: blocks of `BLOCK_PACKETS` stay in the processor's cache. Every packet becomes a row or is counted under a reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.note import NoteKind
from wiretrace.packets.careful import WAITING
from wiretrace.packets.columns import PacketColumns
from wiretrace.packets.copies import CopyFinder
from wiretrace.packets.flows import FlowNumbers, ipv4_words, ipv6_words
from wiretrace.packets.hardware import learn_hardware
from wiretrace.packets.layers import LayerWalk
from wiretrace.packets.reasons import Reason, reason_code, reason_words
from wiretrace.packets.summary import Count
from wiretrace.packets.transport import Headers, read_headers
from wiretrace.packets.unreachable import ICMP, ICMP_VERSION_6, read_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.model.limits import Limits
    from wiretrace.model.note import Notes
    from wiretrace.packets.buffer import PacketBuffer
    from wiretrace.packets.columns import FlowTable
    from wiretrace.packets.network import Segments
    from wiretrace.packets.records import Records
    from wiretrace.packets.summary import CaptureSummary
    from wiretrace.packets.unreachable import Unreachable

BLOCK_PACKETS = 16_384
OTHER_REASONS = "other reasons"
INT32_MAX = 0x7FFFFFFF
ICMP_REASON = reason_code(Reason.IP_PROTOCOL, ICMP)
ICMP_VERSION_6_REASON = reason_code(Reason.IP_PROTOCOL, ICMP_VERSION_6)
LONGEST_ERROR = 160
"""Bytes of an ICMP error that are looked at: two IP headers, the longest ones, and the beginning of a transport header."""


class BlockDecoder:
    """Decodes the records of one file. Keeps fragments, flow numbers and counts from chunk to chunk."""

    def __init__(self, flows: FlowTable, limits: Limits, summary: CaptureSummary) -> None:
        self._limits = limits
        self._summary = summary
        self._layers = LayerWalk(limits)
        self._copies = CopyFinder()
        self._flow_table = flows
        self._ipv4_flows = FlowNumbers(flows, 2)
        self._ipv6_flows = FlowNumbers(flows, 5)
        self._unreachable: list[Unreachable] = []
        self._errors_read = 0
        self._frames = 0
        self._errors_over_limit = 0
        self._cut = 0
        self._reasons_over_limit = 0
        self._hardware_over_limit = False

    def decode(self, buffer: PacketBuffer, records: Records) -> PacketColumns:
        """The rows of one chunk. Rebuilt datagrams are appended to `buffer`."""
        blocks = [
            self._block(buffer, records.part(start, start + BLOCK_PACKETS), start)
            for start in range(0, len(records), BLOCK_PACKETS)
        ]
        self._frames += len(records)
        joined = [np.concatenate(columns) if len(blocks) > 1 else columns[0] for columns in zip(*blocks, strict=True)]
        columns = PacketColumns(buffer.view[: buffer.used], *joined)
        columns.unreachable, self._unreachable = self._unreachable, []
        self._summary.decoded += len(columns)
        self._summary.payload_bytes += int(columns.payload_length.sum())
        self._cut += int((columns.payload_length < columns.wire_length).sum())
        return columns

    def finish(self, notes: Notes, name: str) -> None:
        """The file has ended: give up what waits, and note what was not decoded."""
        careful = self._layers.careful
        fragments = careful.fragments
        fragments.finish()
        self._add(Reason.FRAGMENT_USED, careful.joined_packets, careful.joined_bytes)
        self._add(Reason.FRAGMENT_ALONE, fragments.given_up_packets, fragments.given_up_bytes)
        for reason, count in self._summary.not_decoded.items():
            notes.add(NoteKind.PACKET_NOT_DECODED, reason, count.packets)
        if self._cut:
            notes.add(NoteKind.PACKET_CUT, name, self._cut)
        if fragments.over_limit:
            notes.add(NoteKind.LIMIT_REACHED, "fragment_bytes", fragments.over_limit)
        if self._errors_over_limit:
            notes.add(NoteKind.LIMIT_REACHED, "icmp_errors", self._errors_over_limit)
        if self._hardware_over_limit:
            notes.add(NoteKind.LIMIT_REACHED, "hardware_addresses")
        if self._reasons_over_limit:
            notes.add(NoteKind.LIMIT_REACHED, "decode_reasons", self._reasons_over_limit)

    def _block(self, buffer: PacketBuffer, block: Records, start: int) -> tuple[NDArray[np.generic], ...]:
        """The arrays of one block, in the order of the fields of PacketColumns."""
        segments = self._layers.segments(buffer, block)
        headers = read_headers(buffer, segments)
        self._count(segments.reason, block.captured)
        self._read_errors(buffer, block, segments, start)
        row = headers.row
        whole = len(row) == len(block)
        network = segments.network if whole else segments.network[row]
        is_ipv4 = segments.is_ipv4 if whole else segments.is_ipv4[row]
        flow, direction = self._flows(buffer, segments, network, is_ipv4, headers)
        copy = self._copies.copies(buffer, block, network, is_ipv4, headers, flow, direction)
        return (
            block.time_ns if whole else block.time_ns[row],
            row + (self._frames + start + 1),
            flow,
            direction,
            headers.transport,
            headers.seq,
            headers.ack,
            headers.flags,
            headers.window,
            headers.header_offset,
            headers.payload_offset,
            headers.payload_length.astype(np.int32),
            np.minimum(headers.wire_length, INT32_MAX).astype(np.int32),
            copy,
        )

    def _read_errors(self, buffer: PacketBuffer, block: Records, segments: Segments, start: int) -> None:
        """Remember the ICMP errors of a block whose first packet is number `start` of the chunk."""
        rows = np.flatnonzero((segments.reason == ICMP_REASON) | (segments.reason == ICMP_VERSION_6_REASON))
        if not len(rows):
            return
        left = max(self._limits.icmp_errors - self._errors_read, 0)
        self._errors_over_limit += max(len(rows) - left, 0)
        for row in rows[:left].tolist():
            network, end = int(segments.network[row]), int(block.offset[row] + block.captured[row])
            error = read_error(
                bytes(buffer.view[network : min(end, network + LONGEST_ERROR)]),
                bool(segments.is_ipv4[row]),
                int(block.time_ns[row]),
                self._frames + start + row + 1,
            )
            self._errors_read += 1
            if error is not None:
                self._unreachable.append(error)

    def _flows(
        self,
        buffer: PacketBuffer,
        segments: Segments,
        network: NDArray[np.int64],
        is_ipv4: NDArray[np.bool_],
        headers: Headers,
    ) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Flow number and direction of each row. `network` and `is_ipv4` are those of the rows."""
        row = headers.row
        if is_ipv4.all():
            words, direction = ipv4_words(buffer, network, headers.ports, headers.transport)
            flow = self._ipv4_flows.number(words)
            self._learn_hardware(buffer, segments, row[self._ipv4_flows.met])
            return flow, direction
        flow = np.empty(len(network), np.int32)
        direction = np.empty(len(network), np.uint8)
        for chosen, pack, flows in (
            (is_ipv4, ipv4_words, self._ipv4_flows),
            (~is_ipv4, ipv6_words, self._ipv6_flows),
        ):
            rows = np.flatnonzero(chosen)
            words, direction[rows] = pack(buffer, network[rows], headers.ports[rows], headers.transport[rows])
            flow[rows] = flows.number(words)
            self._learn_hardware(buffer, segments, row[rows[flows.met]])
        return flow, direction

    def _learn_hardware(self, buffer: PacketBuffer, segments: Segments, rows: NDArray[np.int64]) -> None:
        if len(rows) and not learn_hardware(self._flow_table, self._limits, buffer, segments, rows):
            self._hardware_over_limit = True

    def _count(self, reason: NDArray[np.int32], captured: NDArray[np.int64]) -> None:
        """Count the packets that did not become a row; fragments that wait are counted when their fate is known."""
        left = np.flatnonzero((reason != 0) & (reason != WAITING))
        if len(left):
            codes, group = np.unique(reason[left], return_inverse=True)
            packets = np.bincount(group)
            sizes = np.bincount(group, captured[left])
            for code, count, size in zip(codes.tolist(), packets.tolist(), sizes.tolist(), strict=True):
                self._add(code, count, int(size))

    def _add(self, code: int, packets: int, size: int) -> None:
        if not packets:
            return
        counts = self._summary.not_decoded
        words = reason_words(code)
        if words not in counts and len(counts) >= self._limits.decode_reasons:
            self._reasons_over_limit += packets
            words = OTHER_REASONS
        count = counts.setdefault(words, Count())
        count.packets += packets
        count.bytes += size
