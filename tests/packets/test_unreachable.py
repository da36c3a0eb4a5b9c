"""ICMP errors are read for the flow that they quote, whatever else they hold."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import layers

from wiretrace.packets.columns import FlowKey
from wiretrace.packets.flows import flow_key, packed_key
from wiretrace.packets.unreachable import is_refusal, read_error, unreachable_words

ENDS = ("10.0.0.9", 40_000), ("10.0.0.2", 80)


def error(kind: int, code: int, source: str = ENDS[0][0], destination: str = ENDS[1][0], cut: int = 999) -> bytes:
    """An IP packet with an ICMP error that quotes a SYN."""
    segment = layers.tcp((source, ENDS[0][1]), (destination, ENDS[1][1]), seq=1, ack=0, flags=2)
    quoted = layers.ip(source, destination, layers.TCP, segment)[:cut]
    version6 = ":" in source
    message = struct.pack(">BBHI", kind, code, 0, 0) + quoted
    return layers.ip(destination, source, 58 if version6 else 1, message)


def test_the_flow_is_that_of_the_quoted_packet() -> None:
    found = read_error(error(3, 1), True, 77, 5)
    assert found is not None
    assert (found.time_ns, found.frame, unreachable_words(found.code)) == (77, 5, "host unreachable")
    assert found.key == FlowKey(6, bytes([10, 0, 0, 2]), 80, bytes([10, 0, 0, 9]), 40_000)
    assert not is_refusal(found.code)


def test_version_6_has_codes_of_its_own() -> None:
    found = read_error(error(1, 4, "2001:db8::9", "2001:db8::2"), False, 1, 1)
    assert found is not None
    assert is_refusal(found.code)
    assert (found.key.port_a, len(found.key.address_a)) == (80, 16)


def test_other_messages_are_no_such_errors() -> None:
    """An echo, a packet that is too large, and a quotation that is too short."""
    assert read_error(error(8, 0), True, 1, 1) is None
    assert read_error(error(3, 4), True, 1, 1) is None
    assert read_error(error(3, 1, cut=22), True, 1, 1) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.booleans(), st.integers(0, 90), st.binary(max_size=6))
def test_arbitrary_bytes_never_raise(packet: bytes, is_ipv4: bool, at: int, more: bytes) -> None:
    read_error(packet, is_ipv4, 0, 1)
    whole = error(3, 3)
    read_error(whole[:at] + more + whole[at + len(more) :], True, 0, 1)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([4, 16]), st.data(), st.sampled_from([6, 17]))
def test_the_key_of_a_flow_is_packed_as_flows_are_numbered(width: int, data: st.DataObject, transport: int) -> None:
    ends = sorted(
        (data.draw(st.binary(min_size=width, max_size=width)), data.draw(st.integers(0, 65535))) for _ in range(2)
    )
    key = FlowKey(transport, *ends[0], *ends[1])
    assert flow_key(packed_key(key)) == key
