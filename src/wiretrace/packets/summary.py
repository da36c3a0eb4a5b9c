"""CaptureSummary: what is known of one capture file once it has been read."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Count:
    """Packets, and the bytes of them that were captured."""

    packets: int = 0
    bytes: int = 0


@dataclass(slots=True)
class CaptureSummary:
    """One capture file. Complete once `CaptureReader.chunks` is exhausted; `packets` = `decoded` + all of `not_decoded`."""

    format: str = ""
    """pcap or pcapng, with the compression where there is one: 'pcap', 'pcapng+gzip', 'pcap+zstd'."""
    bytes: int = 0
    """Size of the file as stored."""
    sha256: str = ""
    """Digest of the file as stored, in hexadecimal; empty until the whole file has been read."""
    packets: int = 0
    """Packet records in the file."""
    decoded: int = 0
    """Packets that became a row of PacketColumns."""
    dropped: int = -1
    """Packets that the capturing host says it dropped; -1 where it does not say."""
    first_ns: int = -1
    """Time of the first packet in the file; -1 if there is none."""
    last_ns: int = -1
    """Time of the last packet in the file; -1 if there is none."""
    link_types: set[int] = field(default_factory=set)
    """Link types (LINKTYPE_ values) of its interfaces."""
    interfaces: dict[str, int] = field(default_factory=dict)
    """Names of its interfaces, where the file says them, and their link types."""
    host: str = ""
    """Host that recorded it, from the agent's comment in the file; empty where there is none."""
    names: dict[str, str] = field(default_factory=dict)
    """Names of addresses, from the file's own name records."""
    secrets: list[str] = field(default_factory=list, repr=False)
    """TLS key logs that are in the file (NSS key log format, many lines each). They never leave this process group."""
    payload_bytes: int = 0
    """TCP and UDP payload bytes that were captured, repetitions included."""
    damaged_bytes: int = 0
    """Bytes of the (decompressed) file that are no readable record and were passed over."""
    not_decoded: dict[str, Count] = field(default_factory=dict)
    """Packets that did not become a row, by reason."""
