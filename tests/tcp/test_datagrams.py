"""Datagrams are sorted into conversations: by their ends, and by the silence between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.tcp.datagrams import SILENCE_NS, ConversationTable


def assigned(table: ConversationTable, rows: list[tuple[int, int, int]]) -> list[int]:
    """The conversations of datagrams (flow, direction, time), each with 10 bytes."""
    flow, direction, time_ns = zip(*rows, strict=True)
    columns: tuple[Any, ...] = (np.array(flow, np.int32), np.array(direction, np.uint8), np.array(time_ns, np.int64))
    found: list[int] = table.assign(*columns, np.full(len(rows), 10)).tolist()
    return found


def test_each_flow_has_its_conversation_from_chunk_to_chunk() -> None:
    table = ConversationTable()
    first = assigned(table, [(3, 0, 5), (1, 1, 6), (3, 1, 7)])
    second = assigned(table, [(1, 0, 8), (2, 0, 9), (3, 0, 10)])
    assert first[0] == first[2] == second[2]
    assert first[1] == second[0]
    assert table.count == 3
    number = first[0]
    assert (table.first_ns_of[number], table.last_ns_of[number], table.client_of[number]) == (5, 10, 0)
    assert table.bytes_of[2 * number : 2 * number + 2].tolist() == [20, 10]
    assert table.flow_of[:3].tolist() == [1, 3, 2]


def test_a_long_silence_ends_a_conversation() -> None:
    table = ConversationTable()
    before = assigned(table, [(0, 0, 0), (0, 1, SILENCE_NS), (0, 0, 2 * SILENCE_NS + 1)])
    behind = assigned(table, [(0, 0, 3 * SILENCE_NS + 2), (0, 1, 3 * SILENCE_NS + 3)])
    assert before == [0, 0, 1]
    assert behind == [2, 2]


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=40
    ),
    st.integers(1, 40),
)
@settings(max_examples=100)
def test_chunks_change_nothing(rows: list[tuple[int, int, int]], size: int) -> None:
    """Whatever the times: each flow has the same conversations, in order, whether datagrams come at once or in parts."""
    whole, parts = ConversationTable(), ConversationTable()
    at_once = assigned(whole, rows)
    in_parts = [number for start in range(0, len(rows), size) for number in assigned(parts, rows[start : start + size])]
    for flow in range(5):
        at = [index for index, row in enumerate(rows) if row[0] == flow]
        assert len({at_once[index] for index in at}) == len({in_parts[index] for index in at})
        assert [at_once[a] == at_once[b] for a in at for b in at] == [
            in_parts[a] == in_parts[b] for a in at for b in at
        ]
    assert whole.bytes_of.sum() == parts.bytes_of.sum() == 10 * len(rows)
