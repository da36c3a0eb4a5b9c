"""Flow numbers: which conversation each packet belongs to, exactly.

Rules: a flow's key is packed into a few 64-bit words (two for IPv4, five for IPv6). A hash of the words only chooses a slot
of a small table of recently met flows; all words are compared, so that no two flows ever share a number, whatever an
attacker sends. What the table lacks is grouped once per block, and a dictionary is asked once per group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.columns import FlowKey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer
    from wiretrace.packets.columns import FlowTable

Words = tuple["NDArray[np.uint64]", ...]
"""The key words of n packets: each (n,) uint64."""

SLOT_BITS = 14
MULTIPLIERS = tuple(
    np.uint64(odd)
    for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F)
)
"""Odd numbers with mixed bits: multiplying by one moves every low bit upwards."""
SHIFT_16, SHIFT_29, SHIFT_32, SHIFT_48 = (np.uint64(bits) for bits in (16, 29, 32, 48))
NOTHING = np.empty(0, np.int64)
LOW_16, LOW_32 = np.uint64(0xFFFF), np.uint64(0xFFFFFFFF)


def ipv4_words(
    buffer: PacketBuffer, network: NDArray[np.int64], ports: NDArray[np.uint32], transport: NDArray[np.uint8]
) -> tuple[Words, NDArray[np.uint8]]:
    """(n,) offsets of IPv4 headers, ports and transports -> two key words and the direction of each packet.

    Word 0: address and port of end a; word 1: transport, address and port of end b.
    """
    pair = buffer.be64[network + 12].astype(np.uint64)
    both = ports.astype(np.uint64)
    source = (pair >> SHIFT_32) << SHIFT_16 | both >> SHIFT_16
    destination = (pair & LOW_32) << SHIFT_16 | both & LOW_16
    direction = source > destination
    low, high = np.minimum(source, destination), np.maximum(source, destination)
    high |= transport.astype(np.uint64) << SHIFT_48
    return (low, high), direction.view(np.uint8)


def ipv6_words(
    buffer: PacketBuffer, network: NDArray[np.int64], ports: NDArray[np.uint32], transport: NDArray[np.uint8]
) -> tuple[Words, NDArray[np.uint8]]:
    """(n,) offsets of IPv6 headers, ports and transports -> five key words and the direction of each packet.

    Words 0, 1: address of end a; 2, 3: of end b; 4: transport, port of a, port of b.
    """
    source = (buffer.be64[network + 8].astype(np.uint64), buffer.be64[network + 16].astype(np.uint64))
    destination = (buffer.be64[network + 24].astype(np.uint64), buffer.be64[network + 32].astype(np.uint64))
    both = ports.astype(np.uint64)
    source_port, destination_port = both >> SHIFT_16, both & LOW_16
    direction = source_port > destination_port
    for mine, theirs in zip(reversed(source), reversed(destination), strict=True):
        direction = (mine > theirs) | ((mine == theirs) & direction)
    words = [np.where(direction, theirs, mine) for mine, theirs in zip(source, destination, strict=True)]
    words += [np.where(direction, mine, theirs) for mine, theirs in zip(source, destination, strict=True)]
    port_a = np.where(direction, destination_port, source_port)
    port_b = np.where(direction, source_port, destination_port)
    words.append(transport.astype(np.uint64) << SHIFT_32 | port_a << SHIFT_16 | port_b)
    return tuple(words), direction.view(np.uint8)


def flow_key(words: tuple[int, ...]) -> FlowKey:
    """The key that `words` pack."""
    if len(words) == 2:
        low, high = words
        return FlowKey(
            high >> 48,
            (low >> 16).to_bytes(4, "big"),
            low & 0xFFFF,
            ((high >> 16) & 0xFFFFFFFF).to_bytes(4, "big"),
            high & 0xFFFF,
        )
    a, b = words[0] << 64 | words[1], words[2] << 64 | words[3]
    last = words[4]
    return FlowKey(last >> 32, a.to_bytes(16, "big"), (last >> 16) & 0xFFFF, b.to_bytes(16, "big"), last & 0xFFFF)


def packed_key(key: FlowKey) -> tuple[int, ...]:
    """The words that pack `key`: what `FlowTable.numbers` is asked with."""
    a, b = (int.from_bytes(address, "big") for address in (key.address_a, key.address_b))
    if len(key.address_a) == 4:
        return a << 16 | key.port_a, key.transport << 48 | b << 16 | key.port_b
    low = (1 << 64) - 1
    return a >> 64, a & low, b >> 64, b & low, key.transport << 32 | key.port_a << 16 | key.port_b


class FlowNumbers:
    """Gives the packets of one IP version their flow numbers; numbers are shared through the FlowTable."""

    def __init__(self, table: FlowTable, words: int) -> None:
        self._table = table
        self._recent = tuple(np.zeros(1 << SLOT_BITS, np.uint64) for _ in range(words))
        self._recent_flow = np.full(1 << SLOT_BITS, -1, np.int32)
        self.met = NOTHING
        """Indices of the packets of the last call that belong to flows that were met in it."""

    def number(self, words: Words) -> NDArray[np.int32]:
        """(n,) flow numbers of packets with these key words; new flows are numbered in the order of their first packets."""
        hashed = _mixed(words)
        slot = (hashed >> np.uint64(64 - SLOT_BITS)).astype(np.int64)
        flow = self._recent_flow[slot]
        known = flow >= 0
        for recent, word in zip(self._recent, words, strict=True):
            known &= recent[slot] == word
        if known.all():
            self.met = NOTHING
            return flow
        missing = np.flatnonzero(~known)
        met_before = len(self._table.keys)
        flow[missing] = self._look_up(hashed[missing], tuple(word[missing] for word in words))
        for recent, word in zip(self._recent, words, strict=True):
            recent[slot[missing]] = word[missing]
        self._recent_flow[slot[missing]] = flow[missing]
        self.met = missing[flow[missing] >= met_before]
        return flow

    def _look_up(self, hashed: NDArray[np.uint64], words: Words) -> NDArray[np.int32]:
        """(n,) flow numbers through the dictionary, asked once for each distinct hash."""
        _, first, group = np.unique(hashed, return_index=True, return_inverse=True)
        representative = first[group]
        if not all(bool((word == word[representative]).all()) for word in words):
            first, group = np.arange(len(hashed)), np.arange(len(hashed))  # hashes collide: ask for every packet
        order = np.argsort(first)
        keys = zip(*(word[first[order]].tolist() for word in words), strict=True)
        numbers = np.empty(len(first), np.int32)
        numbers[order] = [self._number_of(key) for key in keys]
        return numbers[group]

    def _number_of(self, key: tuple[int, ...]) -> int:
        numbers = self._table.numbers
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(self._table.keys)
            self._table.keys.append(flow_key(key))
        return number


def _mixed(words: Words) -> NDArray[np.uint64]:
    """(n,) hashes whose upper bits depend on all bits of all words."""
    mixed = words[0] * MULTIPLIERS[0]
    for word, multiplier in zip(words[1:], MULTIPLIERS[1:], strict=False):
        mixed ^= mixed >> SHIFT_29
        mixed += word
        mixed *= multiplier
    mixed ^= mixed >> SHIFT_32
    mixed *= MULTIPLIERS[0]
    return mixed
