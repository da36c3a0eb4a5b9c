"""What to call UDP conversations that no protocol claims: by the shape of a datagram where it has one, else by its port."""

from __future__ import annotations

from wiretrace.model.note import NoteKind

EPHEMERAL_PORTS = 32768
"""Where the ports begin that Linux gives to clients."""
QUIC_VERSIONS = (b"\x00\x00\x00\x01", b"\x6b\x33\x43\xcf")
"""Versions 1 and 2 (RFC 9000 section 15, RFC 9369); drafts begin with ff 00 00, Google's with Q."""
LONG_HEADER = 0xC0
"""The first two bits of a long header of QUIC (RFC 9000 section 17.2)."""
DTLS_VERSIONS = (b"\xfe\xff", b"\xfe\xfd")
"""DTLS 1.0, and 1.2 with all later ones (RFC 9147 section 4)."""
DTLS_CONTENTS = range(20, 26)
WIREGUARD_HANDSHAKE = {(1, 148), (2, 92), (3, 64)}
"""First byte and length of the messages that open a tunnel (the WireGuard white paper, section 5.4)."""
RESERVED = b"\x00\x00\x00"


def name_unread(datagram: bytes, ports: tuple[int, int]) -> tuple[NoteKind, str]:
    """The kind and the subject of the note about a conversation that begins with `datagram`."""
    first = datagram[0]
    version = datagram[1:5]
    if first & LONG_HEADER == LONG_HEADER and (
        version in QUIC_VERSIONS or version[:3] == b"\xff\0\0" or version[:1] == b"Q"
    ):
        return NoteKind.ENCRYPTED, "QUIC"
    if first in DTLS_CONTENTS and datagram[1:3] in DTLS_VERSIONS:
        return NoteKind.ENCRYPTED, "DTLS"
    if (first, len(datagram)) in WIREGUARD_HANDSHAKE and datagram[1:4] == RESERVED:
        return NoteKind.ENCRYPTED, "WireGuard"
    port = min(ports)
    return NoteKind.PROTOCOL_UNKNOWN, f"UDP port {port}" if port < EPHEMERAL_PORTS else "UDP ports above 32767"
