"""Flow numbers are exact."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.packets.buffer import PacketBuffer
from wiretrace.packets.columns import FlowKey, FlowTable
from wiretrace.packets.flows import MULTIPLIERS, SHIFT_29, FlowNumbers, _mixed, ipv4_words, ipv6_words

addresses = st.sampled_from([0, 1, 2, 0xFFFFFFFF, 0x0A000001])
ports = st.sampled_from([0, 1, 80, 0xFFFF])
packets = st.lists(st.tuples(addresses, addresses, ports, ports, st.sampled_from([6, 17])), max_size=60)


@settings(max_examples=150, deadline=None)
@given(first=packets, second=packets, six=st.booleans())
def test_numbers_are_those_of_a_dictionary(
    first: list[tuple[int, ...]], second: list[tuple[int, ...]], six: bool
) -> None:
    """Against a plain twin: a dictionary of sorted ends, asked once a packet, over two blocks."""
    table, twin = FlowTable(), dict[FlowKey, int]()
    numbers = FlowNumbers(table, 5 if six else 2)
    size = 16 if six else 4
    for block in (first, second):
        buffer = PacketBuffer(40 * max(len(block), 1))
        expected = []
        for source, destination, source_port, destination_port, transport in block:
            ends = [(source.to_bytes(size, "big"), source_port), (destination.to_bytes(size, "big"), destination_port)]
            buffer.append(bytes(8 if six else 12) + ends[0][0] + ends[1][0] + bytes(0 if six else 20))
            low, high = sorted(ends)
            key = FlowKey(transport, *low, *high)
            expected.append((twin.setdefault(key, len(twin)), int(ends[0] > ends[1])))
        network = np.arange(len(block), dtype=np.int64) * 40
        words, direction = (ipv6_words if six else ipv4_words)(
            buffer,
            network,
            np.array([packet[2] << 16 | packet[3] for packet in block], np.uint32),
            np.array([packet[4] for packet in block], np.uint8),
        )
        assert list(zip(numbers.number(words).tolist(), direction.tolist(), strict=True)) == expected
    assert table.keys == list(twin)


def test_colliding_hashes_do_not_join_flows() -> None:
    """Two keys made to have one hash: the words decide."""
    candidates = np.arange(1, 2000, dtype=np.uint64)
    mixed = candidates * MULTIPLIERS[0]
    mixed ^= mixed >> SHIFT_29
    order = np.argsort(mixed)
    nearest = int(np.argmin(np.diff(mixed[order])))
    one, other = order[nearest], order[nearest + 1]
    low = candidates[[one, other]].repeat(3)
    high = np.array([(6 << 48) + int(mixed[other] - mixed[one]), 6 << 48], np.uint64).repeat(3)
    assert len(set(_mixed((low, high)).tolist())) == 1
    numbers = FlowNumbers(FlowTable(), 2)
    assert numbers.number((low, high)).tolist() == [0, 0, 0, 1, 1, 1]
    assert numbers.number((low[::-1].copy(), high[::-1].copy())).tolist() == [1, 1, 1, 0, 0, 0]


def test_many_flows_keep_their_numbers() -> None:
    """More flows than the table of recent ones holds: numbers stay what they were."""
    numbers = FlowNumbers(FlowTable(), 2)
    words = np.arange(50_000, dtype=np.uint64), np.full(50_000, 6 << 48, np.uint64)
    assert numbers.number(words).tolist() == list(range(50_000))
    assert numbers.number(words).tolist() == list(range(50_000))
