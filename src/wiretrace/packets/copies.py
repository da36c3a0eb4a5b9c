"""Copies: one packet that was captured more than once, on its way through the interfaces of a host or a mirror.

Rules: a packet is a copy of an earlier one if it says the same (flow, direction, sequence and acknowledgement number,
flags, window, length, and for UDP the first bytes of the payload), follows soon, and was not sent twice. That it was not
shows in IPv4's identification, of which most hosts give every packet its own (RFC 6864 section 3.1), or else in what was
around it: another interface, link layer, tunnel or time to live. Without either, two equal packets are a repetition. A
hash finds candidates; what is compared are the fields themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.packets.columns import TCP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer
    from wiretrace.packets.records import Records
    from wiretrace.packets.transport import Headers

FARTHEST_NS = 100_000_000
"""A copy follows within this time. Before it nobody repeats a packet that was lost, but for fast retransmissions."""
FARTHEST_SAME_NS = 10_000_000
"""The same where nothing but the identification tells copy and repetition apart: some hosts never change it."""
MOST_SIGHTINGS = 4
"""More often than this no mirror shows a packet in the same surroundings: somebody sends it again and again."""
FARTHEST_PACKETS = 512
"""A copy follows within so many packets."""
MULTIPLIERS = tuple(np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
SHIFTS = tuple(np.uint64(bits) for bits in (48, 32, 16, 0))
SLOT_BITS = 16
SLOT_MASK = np.uint64((1 << SLOT_BITS) - 1)
HALF, QUARTER, FLOW_SHIFT = np.uint64(32), np.uint64(16), np.uint64(17)
LOW_16, LOWER_HALF = np.uint64(0xFFFF), np.uint64(0xFFFFFFFF)
UDP_PAYLOAD_BYTES = 8
NOTHING = np.empty(0, np.int64)


@dataclass(slots=True)
class _Seen:
    """What is compared of packets. Shapes are all (n,) uint64."""

    header: NDArray[np.uint64]
    """Acknowledgement number, data offset, flags, window; of UDP the first bytes of the payload."""
    place: NDArray[np.uint64]
    """Sequence number, length."""
    sender: NDArray[np.uint64]
    """Flow, direction, and in the low 16 bits the identification; 0 where there is none."""

    def hashes(self) -> NDArray[np.uint64]:
        """(n,) hashes, equal where the packets are."""
        hashed = self.header * MULTIPLIERS[0]
        hashed ^= hashed >> HALF
        hashed += self.place * MULTIPLIERS[1]
        hashed ^= self.sender
        hashed *= MULTIPLIERS[2]
        hashed ^= hashed >> HALF
        hashed *= MULTIPLIERS[0]
        return hashed


@dataclass(slots=True)
class _Recent:
    """The last packets before a block. Shapes are all (m,), m at most `FARTHEST_PACKETS`."""

    seen: _Seen
    hashes: NDArray[np.uint64]
    around: NDArray[np.uint64]
    time_ns: NDArray[np.int64]


class CopyFinder:
    """Finds copies in the packets of one file. Keeps the last packets from block to block."""

    def __init__(self) -> None:
        none = np.empty(0, np.uint64)
        self._recent = _Recent(_Seen(none, none, none), none, none, NOTHING)

    def copies(
        self,
        buffer: PacketBuffer,
        block: Records,
        network: NDArray[np.int64],
        is_ipv4: NDArray[np.bool_],
        headers: Headers,
        flow: NDArray[np.int32],
        direction: NDArray[np.uint8],
    ) -> NDArray[np.bool_]:
        """(m,) bool: which rows are copies of earlier ones. All but `block` describe the rows, shapes (m,)."""
        seen = _seen(buffer, network, is_ipv4, headers, flow, direction)
        hashes = seen.hashes()

        def around_of(rows: NDArray[np.int64]) -> NDArray[np.uint64]:
            offsets = headers.header_offset[rows]
            return _around(buffer, block, headers.row[rows], network[rows], is_ipv4[rows], offsets)

        recent = self._recent
        before = len(recent.hashes)
        candidates = repeated(np.concatenate([recent.hashes, hashes]))
        copy = np.zeros(before + len(hashes), np.bool_)
        if len(candidates) and candidates[-1] >= before:
            inside = candidates[candidates >= before] - before
            earlier = candidates[candidates < before]
            around = np.concatenate([recent.around[earlier], around_of(inside)])
            time_ns = np.concatenate([recent.time_ns[earlier], block.time_ns[headers.row[inside]]])
            joined = _Seen(
                *(
                    np.concatenate([getattr(recent.seen, name)[earlier], getattr(seen, name)[inside]])
                    for name in _Seen.__slots__
                )
            )
            senders = np.concatenate([recent.seen.sender, seen.sender])
            identified = ~np.isin(joined.sender, _used_again(senders, np.concatenate([recent.hashes, hashes])))
            copy[candidates[_are_copies(candidates, joined, identified, around, time_ns)]] = True
        last = np.arange(max(len(hashes) - FARTHEST_PACKETS, 0), len(hashes))
        self._remember(seen, hashes, around_of(last), block.time_ns[headers.row[last]])
        return copy[before:]

    def _remember(
        self, seen: _Seen, hashes: NDArray[np.uint64], around: NDArray[np.uint64], time_ns: NDArray[np.int64]
    ) -> None:
        """Keep the last packets of a block; of `around` and `time_ns` only theirs are given."""
        recent = self._recent
        last = slice(-FARTHEST_PACKETS, None)

        def joined(old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([old, new[last]])[last]

        self._recent = _Recent(
            _Seen(*(joined(getattr(recent.seen, name), getattr(seen, name)) for name in _Seen.__slots__)),
            joined(recent.hashes, hashes),
            joined(recent.around, around),
            joined(recent.time_ns, time_ns),
        )


def repeated(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(n,) hashes -> the indices, ascending, of those that occur more than once.

    The first index of each slot of a table stays in it: whoever finds another's there is equal to it, or takes part in the
    next round, where other bits of the hash choose the slot.
    """
    found = []
    waiting: NDArray[np.signedinteger] = np.arange(len(hashes), dtype=np.int32)
    mine = hashes
    table = np.empty(1 << SLOT_BITS, np.int32)
    for shift in SHIFTS:
        slot = ((mine >> shift) & SLOT_MASK).view(np.int64)
        table[slot[::-1]] = waiting[::-1]
        first = table[slot]
        behind = np.flatnonzero(first != waiting)
        if not len(behind):
            break
        waiting, mine, first = waiting[behind], mine[behind], first[behind]
        equal = hashes[first] == mine
        if equal.any():
            found += [waiting[equal], first[equal]]
            waiting, mine = waiting[~equal], mine[~equal]
    else:
        _, group, count = np.unique(mine, return_inverse=True, return_counts=True)
        found.append(waiting[count[group] > 1])
    return np.unique(np.concatenate(found)).astype(np.int64) if found else NOTHING


def _seen(
    buffer: PacketBuffer,
    network: NDArray[np.int64],
    is_ipv4: NDArray[np.bool_],
    headers: Headers,
    flow: NDArray[np.int32],
    direction: NDArray[np.uint8],
) -> _Seen:
    udp = headers.transport != TCP
    header = headers.second
    if udp.any():
        header[udp] = buffer.be64[headers.payload_offset[udp]]
        header[udp & (headers.payload_length < UDP_PAYLOAD_BYTES)] = 0
    place = headers.seq.astype(np.uint64) << HALF
    place |= headers.wire_length.view(np.uint64) & LOWER_HALF
    sender = flow.astype(np.uint64) << FLOW_SHIFT
    sender |= direction.astype(np.uint64) << QUARTER
    identification = buffer.be16[network + 4]
    sender |= identification if is_ipv4.all() else np.where(is_ipv4, identification, 0).astype(np.uint64)
    return _Seen(header, place, sender)


def _around(
    buffer: PacketBuffer,
    block: Records,
    row: NDArray[np.int64],
    network: NDArray[np.int64],
    is_ipv4: NDArray[np.bool_],
    transport: NDArray[np.int64],
) -> NDArray[np.uint64]:
    """(m,) hashes of what is around packets: interface, first bytes of the link layer, how deep they are, time to live."""
    begin = block.offset[row]
    life = buffer.u8[network + np.where(is_ipv4, 8, 7)].astype(np.uint64)
    depth = np.where(transport < begin + block.captured[row], transport - begin, 0).astype(np.uint64)
    around = buffer.be64[begin] * MULTIPLIERS[0]
    around ^= around >> HALF
    around += buffer.be64[begin + 8] * MULTIPLIERS[1]
    around ^= around >> HALF
    around += (block.interface[row].astype(np.uint64) << HALF | depth << QUARTER | life) * MULTIPLIERS[2]
    return around


def _used_again(senders: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The values of `senders` (n,) that packets with different `hashes` (n,) have: identifications that identify nothing."""
    order = np.lexsort((hashes, senders))
    sender, hashed = senders[order], hashes[order]
    return np.unique(sender[1:][(sender[1:] == sender[:-1]) & (hashed[1:] != hashed[:-1])])


def _are_copies(
    index: NDArray[np.int64],
    seen: _Seen,
    identified: NDArray[np.bool_],
    around: NDArray[np.uint64],
    time_ns: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """(k,) candidates, in the order of the file -> (k,) bool: which are copies. `index` counts all packets.

    A packet that says nothing of itself is a copy of one that was seen as often in other surroundings as it was in its
    own: the second time in the same surroundings, it was sent again. `identified`: whether its identification may be its
    own, if it has one.
    """
    same = np.lexsort((index, around, seen.sender, seen.place, seen.header))
    begins = np.ones(len(same), np.bool_)
    begins[1:] = _differ(seen, same[1:], same[:-1]) | (around[same[1:]] != around[same[:-1]])
    start = np.maximum.accumulate(np.where(begins, np.arange(len(same)), 0))
    time_before = np.empty(len(same), np.int64)
    time_before[same] = np.arange(len(same)) - start
    sightings = np.empty(len(same), np.int64)
    sightings[same] = np.bincount(np.cumsum(begins))[np.cumsum(begins)]
    identified = identified & (seen.sender & LOW_16 != 0) & (sightings <= MOST_SIGHTINGS)
    generation = np.where(identified, 0, time_before)
    order = np.lexsort((index, generation, seen.sender, seen.place, seen.header))
    one, other = order[1:], order[:-1]
    away = time_ns[one] - time_ns[other]
    farthest = np.where(around[one] == around[other], FARTHEST_SAME_NS, FARTHEST_NS)
    near = (np.abs(away) <= farthest) & (index[one] - index[other] <= FARTHEST_PACKETS)
    copy = np.zeros(len(index), np.bool_)
    copy[one] = near & (generation[one] == generation[other]) & ~_differ(seen, one, other)
    return copy


def _differ(seen: _Seen, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the packets numbered `one` and `other`, (m,) each, say different things."""
    differ: NDArray[np.bool_] = (
        (seen.header[one] != seen.header[other])
        | (seen.place[one] != seen.place[other])
        | (seen.sender[one] != seen.sender[other])
    )
    return differ
