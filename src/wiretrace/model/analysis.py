"""What an analysis tells of itself: the files that were read, and where every payload byte went."""

from __future__ import annotations

import enum

import msgspec


class InputFile(msgspec.Struct, frozen=True):
    """A capture file that was read."""

    path: str
    """As given on the command line."""
    bytes: int
    """Its size."""
    sha256: str
    """Digest of what was read."""
    packets: int
    """Packets in it."""
    dropped: int
    """Packets that the capturing host says it dropped; -1 where it does not say."""


class Payload(enum.StrEnum):
    """Where captured payload bytes went: the keys of a case's accounting.

    All but CAPTURED add up to CAPTURED; what does not is *unexplained*, and a defect of ours. The docstring of a
    member completes the sentence "N bytes ...".
    """

    CAPTURED = "captured"
    """were captured in TCP and UDP packets, repetitions included, at all vantage points"""
    IN_EXCHANGES = "in_exchanges"
    """are in exchanges, a request with its response"""
    IN_HALVES = "in_halves"
    """are in requests or responses whose other half is missing"""
    CONTROL = "control"
    """belong to a protocol and to no exchange (greetings, goodbyes, padding)"""
    REPEATED = "repeated"
    """were sent more than once"""
    COPIED = "copied"
    """are of packets that were captured before, on another interface or at the other side of a mirror"""
    ENCRYPTED = "encrypted"
    """are encrypted"""
    PROTOCOL_UNKNOWN = "protocol_unknown"
    """belong to no protocol that wiretrace reads"""
    MALFORMED = "malformed"
    """break the rules of their protocol"""
    SKIPPED_AFTER_GAP = "skipped_after_gap"
    """lie beside a gap, in a message of which too little was captured"""
    UNFINISHED = "unfinished"
    """are of messages that the end of the connection or of the capture cut off"""
    AFTER_THE_END = "after_the_end"
    """came when their connection was over"""


def unexplained_bytes(accounting: dict[str, int]) -> int:
    """Captured payload bytes that no entry of `accounting` explains (0 if all is well; negative if counted twice)."""
    captured = accounting.get(Payload.CAPTURED, 0)
    return captured - sum(count for fate, count in accounting.items() if fate != Payload.CAPTURED)
