"""Every limit that bounds memory or time, named, with what happens when it is reached.

Reaching one is never silent: it leaves a note of kind ``limit_reached`` that names it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one analysis."""

    chunk_bytes: int = 8 << 20
    """Bytes of a capture file that are decoded at once."""
    record_bytes: int = 1 << 24
    """Longest packet record that is believed; a longer one is damage in the file."""
    fragment_bytes: int = 16 << 20
    """Bytes of IP fragments that wait for their siblings; the oldest are given up beyond it."""
    link_headers: int = 16
    """VLAN tags, MPLS labels and the like before the IP header that are passed over; a packet with more is not decoded."""
    tunnels: int = 8
    """Tunnels inside of each other that are opened; a packet with more is not decoded."""
    extension_headers: int = 16
    """IPv6 extension headers of one packet that are passed over; a packet with more is not decoded."""
    decode_reasons: int = 64
    """Distinct reasons for which packets of one file are not decoded; further ones are counted together."""
    interfaces: int = 65_536
    """Interfaces of one pcapng section; packets of further ones are not decoded."""
    name_records: int = 100_000
    """Names of addresses that are taken from one file; further ones are passed over."""
    secret_bytes: int = 4 << 20
    """Bytes of TLS key logs that are taken from one file; further ones are passed over."""
    icmp_errors: int = 100_000
    """ICMP errors of one file that are read; further ones are only counted."""
    lost_records: int = 512
    """Records of TLS that may be missing in a gap behind which the next is still opened: each is a number to try."""
    tls_handshake_bytes: int = 256 << 10
    """Bytes of one handshake message of TLS that wait for its rest; of a longer one, and what follows, nothing is read."""
    key_log_secrets: int = 500_000
    """Secrets of TLS connections that are held, of a key log and of capture files; further ones are passed over."""
    hardware_addresses: int = 100_000
    """Addresses of one vantage point whose MAC addresses are remembered; those of further ones are not."""
    connections: int = 500_000
    """Connections followed at once; the longest idle are finished beyond it."""
    out_of_order_bytes: int = 4 << 20
    """Bytes of one direction that wait behind a hole; beyond it the hole is given up as not captured."""
    unparsed_bytes: int = 8 << 20
    """Bytes of one direction that wait for the rest of a message; beyond it they are given up as malformed."""
    pending_messages: int = 10_000
    """Messages of one connection that wait for their other half; beyond it the oldest is finished as a half."""
    probe_bytes: int = 4096
    """Bytes of each direction after which a connection that no protocol claims is given up as unknown."""
    late_acknowledgements: int = 200_000
    """Messages of one vantage point that were in exchanges before they were acknowledged, and of which it is found out in
    the end whether they were; further ones are taken not to have been."""
    message_segments: int = 200_000
    """Packets remembered behind one unfinished message; beyond it only its first and last packets are kept."""
    value_bytes: int = 512
    """Bytes of a message that are searched for values that link it to others."""
    unpacked_bytes: int = 16 << 10
    """Bytes of a compressed message that are unpacked to be read; what lies behind them is passed over."""
    packed_body_bytes: int = 4096
    """Bytes of a compressed HTTP body that are unpacked for the values in them; of those, `value_bytes` are kept."""
    value_tokens: int = 24
    """Values kept of one message, as keyed hashes."""
    statement_bytes: int = 8192
    """Bytes of an SQL statement that are read; its text is cut there."""
    prepared_statements: int = 10_000
    """Prepared statements and portals remembered of one connection; beyond it the oldest is forgotten."""
    known_statements: int = 20_000
    """Prepared statements of one protocol at one vantage point by which others recognise those that were prepared before
    the capture began; further ones are not remembered."""
    open_streams: int = 10_000
    """Streams of one HTTP/2 connection that are followed at once; beyond it the oldest is finished as it stands."""
    header_block_bytes: int = 256 << 10
    """Compressed header fields of one HTTP/2 message that are read; a longer block breaks the rules."""
    header_table_bytes: int = 64 << 10
    """Size of an HPACK table, as RFC 7541 section 4.1 counts; of a larger one the oldest fields are taken for unknown."""
    findings: int = 1_000
    """Findings that are told, the gravest and those that touch most requests first; further ones are only counted."""
    stretch_exchanges: int = 16_000
    """Exchanges that are merged and linked at once, beside those that surround them; a longer capture is cut by time."""
