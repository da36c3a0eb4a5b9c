"""Notes: what we could not see or read. A note is never a conclusion (that is a finding) nor a result (an outcome)."""

import enum
from collections import Counter
from dataclasses import dataclass, field


class NoteKind(enum.StrEnum):
    """What we could not see or read, each with the sentence that the user is given."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> "NoteKind":
        """A member is its name as a string, and carries its sentence."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    FILE_TRUNCATED = (
        "file_truncated",
        "The file ends inside a record: the capture was cut off, or is still being written.",
    )
    FILE_DAMAGED = (
        "file_damaged",
        "Part of the file is not readable as capture records and was passed over.",
    )
    NOT_A_CAPTURE = (
        "not_a_capture",
        "Files in a folder of captures that are none, and were passed over.",
    )
    TIME_UNKNOWN = (
        "time_unknown",
        "Packets for which the file gives no time: they were given the time of the packet before.",
    )
    PACKET_NOT_DECODED = (
        "packet_not_decoded",
        "Packets whose layers we do not read.",
    )
    PACKET_CUT = (
        "packet_cut",
        "The snap length cut packets short, and what was behind it can not be read: capture whole packets (tcpdump -s 0).",
    )
    NOT_CAPTURED = (
        "not_captured",
        "Bytes that arrived, for the receiver acknowledged them, and that the capture lacks: whoever captured or mirrored "
        "could not keep up, or they took another way. Capture on the hosts themselves, or with a larger buffer (-B).",
    )
    PACKETS_DROPPED = (
        "packets_dropped",
        "Packets that the capturing host says it dropped: give it a larger buffer (-B) or a narrower filter.",
    )
    ONE_DIRECTION = (
        "one_direction",
        "Connections of which only one direction was captured, though the other end spoke: mirror both directions of the "
        "port, or capture where both pass; until then requests or responses are missing.",
    )
    COPIES = (
        "copies",
        "Packets that were captured more than once, on several interfaces of the host or at both sides of a mirror: each is "
        "counted once. Capturing on one interface saves the rest.",
    )
    STARTED_MIDWAY = (
        "started_midway",
        "Connections that were already open when the capture began.",
    )
    PROTOCOL_UNKNOWN = (
        "protocol_unknown",
        "Connections whose bytes belong to no protocol that we read.",
    )
    ENCRYPTED = (
        "encrypted",
        "Connections that are encrypted, and whose contents we can not read.",
    )
    MALFORMED = (
        "malformed",
        "Bytes that break the rules of the protocol that the connection speaks.",
    )
    SKIPPED_AFTER_GAP = (
        "skipped_after_gap",
        "Bytes behind a gap, up to the next message boundary that we could find.",
    )
    PAIRING_NOT_PROVED = (
        "pairing_not_proved",
        "A request and a response that may belong together, and that the packets do not prove to.",
    )
    PREPARED_BEFORE_CAPTURE = (
        "prepared_before_capture",
        "Statements prepared before the capture began: their text is not known.",
    )
    LIMIT_REACHED = (
        "limit_reached",
        "A named limit was reached, and something was given up to keep memory bounded.",
    )
    CLOCK_UNKNOWN = (
        "clock_unknown",
        "Hosts whose clocks could not be compared, because no packet was seen at both.",
    )


@dataclass(slots=True)
class Notes:
    """Counts of what could not be seen or read, by kind and subject. Adds up over chunks, files and workers."""

    counts: Counter[tuple[NoteKind, str]] = field(default_factory=Counter)
    """How often, by kind and by what it concerns (a file, a protocol, a reason). Subjects are few and bounded."""

    def add(self, kind: NoteKind, subject: str, count: int = 1) -> None:
        """Count `count` more of `kind` about `subject`."""
        self.counts[kind, subject] += count

    def update(self, other: "Notes") -> None:
        """Add all that `other` counted."""
        self.counts.update(other.counts)
