"""Names in an X.509 certificate (RFC 5280): the subject's common name, and the DNS names it is for.

Rules: a bounded walk over DER (X.690) that looks at nothing else. What is not as it should be gives no name; nothing raises.
Names are captured text: only printable ASCII is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SEQUENCE, SET, OCTET_STRING, OBJECT_IDENTIFIER = 0x30, 0x31, 0x04, 0x06
VERSION, EXTENSIONS, DNS_NAME = 0xA0, 0xA3, 0x82
COMMON_NAME = bytes.fromhex("550403")
SUBJECT_ALTERNATIVE_NAME = bytes.fromhex("551d11")
MOST_NAMES = 8
"""DNS names that are told of one certificate."""
MOST_ELEMENTS = 200
"""Elements of one sequence that are looked at."""
LONGEST_NAME = 253


def certificate_names(data: bytes) -> tuple[str, tuple[str, ...]]:
    """The common name (empty: none), and the first DNS names of a certificate."""
    body = _first(_first(data, SEQUENCE), SEQUENCE)
    fields = [field for field in _elements(body) if field[0] != VERSION]
    # serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, then what is optional
    if len(fields) < 6:
        return "", ()
    common = next((_text(value) for kind, value in _attributes(fields[4][1]) if kind == COMMON_NAME), "")
    for tag, extensions in fields[6:]:
        if tag == EXTENSIONS:
            return common, _alternative_names(_first(extensions, SEQUENCE))
    return common, ()


def _alternative_names(extensions: bytes) -> tuple[str, ...]:
    for _, extension in _elements(extensions):
        parts = list(_elements(extension))
        if parts and parts[0] == (OBJECT_IDENTIFIER, SUBJECT_ALTERNATIVE_NAME) and parts[-1][0] == OCTET_STRING:
            names = [_text(value) for tag, value in _elements(_first(parts[-1][1], SEQUENCE)) if tag == DNS_NAME]
            return tuple(name for name in names if name)[:MOST_NAMES]
    return ()


def _attributes(name: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and value of what a distinguished name consists of."""
    for _, relative in _elements(name):
        for _, attribute in _elements(relative):
            parts = list(_elements(attribute))
            if len(parts) == 2:
                yield parts[0][1], parts[1][1]


def _first(data: bytes, tag: int) -> bytes:
    """The contents of the first element, if it has this tag."""
    for found, value in _elements(data):
        return value if found == tag else b""
    return b""


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and contents of the elements that stand side by side in `data`."""
    at = 0
    for _ in range(MOST_ELEMENTS):
        if at + 2 > len(data):
            return
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 3 or at + size > len(data):
                return
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            return
        yield tag, data[at : at + length]
        at += length


def _text(value: bytes) -> str:
    if not 0 < len(value) <= LONGEST_NAME or not value.isascii():
        return ""
    text = value.decode("ascii")
    return text if text.isprintable() else ""
