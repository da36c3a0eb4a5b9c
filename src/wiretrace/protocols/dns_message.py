"""DNS messages (RFC 1035 section 4): from the bytes of one to a Message. Shared by all that carries them.

Rules: names are followed through compression only backwards, so that reading ends whatever the pointers say; names,
records and what is shown of them are bounded. A message whose question can not be read is none; one whose records can not
is read as far as they can, and marked damaged. TXT and other records that may hold anything are not shown.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple
from zlib import crc32

from wiretrace.model.message import Message, Result, Role

HEADER = struct.Struct(">HHHHHH")
"""Identification, flags, and the numbers of questions, answers, authority and additional records."""
HEADER_BYTES = 12
FIXED = struct.Struct(">HHIH")
"""Of a record, behind its name: type, class, time to live, length of its data."""
FIXED_BYTES = 10
RESPONSE, TRUNCATED, ZERO = 0x8000, 0x0200, 0x0040
"""Flags: it is a response; it was cut to fit the datagram; must be zero (RFC 6895 section 2.1)."""
POINTER = 0xC0
LONGEST_NAME = 255
"""Bytes of a name on the wire (RFC 1035 section 2.3.4)."""
MOST_POINTERS = 32
"""Pointers of one name that are followed."""
MOST_RECORDS = 256
"""Records of one message that are read; what is behind them is passed over."""
MOST_SHOWN = 16
"""Answers of one message that are shown."""
ROOT = "."

OPERATIONS = {0: "", 1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE", 6: "STATEFUL"}
"""Opcodes (IANA DNS Parameters); a plain query is called by the type that it asks for."""
A, NS, CNAME, PTR, MX, TXT, AAAA, SRV, OPT = 1, 2, 5, 12, 15, 16, 28, 33, 41
TYPES = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS", 12: "PTR",
    13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC",
    32: "NB", 33: "SRV", 35: "NAPTR", 36: "KX", 37: "CERT", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP",
    45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA",
    53: "SMIMEA", 55: "HIP", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB",
    65: "HTTPS", 99: "SPF", 108: "EUI48", 109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB",
    254: "MAILA", 255: "ANY", 256: "URI", 257: "CAA", 260: "AMTRELAY", 32768: "TA", 32769: "DLV",
}  # fmt: skip
"""Types of records (IANA DNS Parameters)."""
CLASSES = frozenset({1, 3, 4, 254, 255})
"""Internet, Chaos, Hesiod, none, any."""
UNICAST_WANTED = 0x8000
"""Bit of the class of a question that asks for an answer to the asker alone (RFC 6762 section 5.4)."""
STATUSES = (
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE", "DSOTYPENI", "12", "13", "14", "15", "BADVERS", "BADKEY", "BADTIME", "BADMODE", "BADNAME", "BADALG",
    "BADTRUNC", "BADCOOKIE",
)  # fmt: skip
"""Response codes (IANA DNS Parameters), those behind 15 through EDNS (RFC 6891 section 6.1.3)."""
CLIENT_ERRORS = frozenset({1, 3, 4})
"""Codes by which the server says that the question is at fault: its form, its name, its kind."""
QUESTION_BITS = 32
"""Lower bits of the key of a message that stand for its question."""
UNREADABLE = "its records could not be read"


class Question(NamedTuple):
    """What is asked for."""

    name: str
    kind: str
    checksum: int
    """Of the question in small letters: it is repeated in the answer, in any case of letters."""
    values: bytes
    attributes: dict[str, str | int] | None
    """Shared by all messages that ask for the same."""


NO_QUESTION = Question("", "", 0, b"", None)


class Reply(NamedTuple):
    """What the records of a response say."""

    answers: tuple[str, ...]
    """Addresses and names, at most MOST_SHOWN."""
    lifetime: int
    """Seconds for which the addresses may be kept; -1 where there are none."""
    code: int
    """The whole response code."""
    whole: bool
    """Whether all records could be read."""


def looks_like_message(data: bytes, *, exact: bool = True) -> bool:
    """Whether `data` is one DNS message with a question or an answer; where `exact`, with nothing behind it."""
    if len(data) < HEADER_BYTES or not plausible_header(data, 0, len(data)):
        return False
    _, flags, questions, answers, authority, additional = HEADER.unpack_from(data)
    if not questions and not (flags & RESPONSE and answers):
        return False
    at = HEADER_BYTES
    for _ in range(questions):
        end = skip_name(data, at, len(data))
        if end < 0 or end + 4 > len(data):
            return False
        if int.from_bytes(data[end + 2 : end + 4], "big") & ~UNICAST_WANTED not in CLASSES:
            return False
        at = end + 4
    for _ in range(min(answers + authority + additional, MOST_RECORDS)):
        end = skip_name(data, at, len(data))
        if end < 0 or end + FIXED_BYTES > len(data):
            return False
        at = end + FIXED_BYTES + int.from_bytes(data[end + 8 : end + 10], "big")
        if at > len(data):
            return False
    return not exact or at == len(data) or answers + authority + additional > MOST_RECORDS


def plausible_header(data: bytes, at: int, length: int) -> bool:
    """Whether the 12 bytes from `at` can be the header of a message of `length` bytes."""
    _, flags, questions, answers, authority, additional = HEADER.unpack_from(data, at)
    opcode = flags >> 11 & 0xF
    if opcode not in OPERATIONS or flags & ZERO or questions > 8:
        return False
    if not flags & RESPONSE and (flags & 0xF or (answers and opcode not in (4, 5))):
        return False
    # The shortest question has 5 bytes, the shortest record 11.
    return HEADER_BYTES + 5 * questions + 11 * (answers + authority + additional) <= length or bool(flags & TRUNCATED)


def skip_name(data: bytes, at: int, end: int) -> int:
    """The index behind the name at `at`; -1 where there is none before `end`."""
    while at < end:
        size = data[at]
        if size >= POINTER:
            return at + 2 if at + 2 <= end else -1
        if not size:
            return at + 1
        if size > 63:
            return -1
        at += size + 1
    return -1


def read_name(data: bytes, at: int, begin: int, end: int) -> str | None:
    """The name at `at` of the message in ``data[begin:end]``, without the last dot; None where it can not be read."""
    labels: list[bytes] = []
    length = pointers = 0
    lowest = at
    while at < end:
        size = data[at]
        if size >= POINTER:
            if at + 2 > end:
                return None
            target = begin + ((size & 0x3F) << 8 | data[at + 1])
            pointers += 1
            # Only backwards: otherwise a pointer could lead to itself.
            if target >= lowest or pointers > MOST_POINTERS:
                return None
            at = lowest = target
            continue
        if not size:
            return b".".join(labels).decode("utf-8", "replace") if labels else ROOT
        if size > 63 or at + 1 + size > end:
            return None
        length += size + 1
        if length > LONGEST_NAME:
            return None
        labels.append(data[at + 1 : at + 1 + size])
        at += size + 1
    return None


def question_of(name: str, wire: bytes) -> Question:
    """The question for `name` that stands as `wire` in a message."""
    kind = type_name(wire[-4] << 8 | wire[-3])
    attributes: dict[str, str | int] = {"dns.question.name": name, "wiretrace.dns.question.type": kind}
    return Question(name, kind, crc32(wire.lower()), name.lower().encode(), attributes if name else None)


@lru_cache(maxsize=8192)
def known_question(wire: bytes) -> Question | None:
    """The question that `wire` is, from its name to its class; None where its name does not end 4 bytes before its end."""
    end = len(wire) - 4
    if skip_name(wire, 0, end) != end or max(wire[0], wire[end - 2]) >= POINTER:
        return None
    name = read_name(wire, 0, 0, end)
    return None if name is None else question_of(name, wire)


def read_message(data: bytes, begin: int, end: int, start: int, keep_values: bool) -> Message | None:
    """The message in ``data[begin:end]``, whose first byte has stream offset `start`; None where it is none.

    `end` may lie behind what was captured: then records are missing.
    """
    behind = min(end, len(data))
    if behind - begin < HEADER_BYTES:
        return None
    number, flags, questions, answers, authority, additional = HEADER.unpack_from(data, begin)
    at = begin + HEADER_BYTES
    asked = NO_QUESTION
    for which in range(questions if questions < MOST_RECORDS else MOST_RECORDS):
        # Behind a name without pointers, which all but hostile questions have, stands the first zero byte.
        zero = data.find(0, at, behind)
        found = known_question(data[at : zero + 5]) if zero >= 0 and zero + 5 <= behind else None
        name_end = zero + 1
        if found is None:
            name_end = skip_name(data, at, behind)
            if name_end < 0 or name_end + 4 > behind:
                return None
            name = read_name(data, at, begin, behind)
            if name is None:
                return None
            found = question_of(name, data[at : name_end + 4])
        if not which:
            asked = found
        at = name_end + 4
    opcode = flags >> 11 & 0xF
    operation = OPERATIONS.get(opcode, f"OPCODE{opcode}") if opcode else ""
    operation = operation or asked.kind or "QUERY"
    summary = f"{operation} {asked.name}" if asked.name else operation
    key = number << QUESTION_BITS | asked.checksum
    if not flags & RESPONSE:
        return Message(
            Role.REQUEST,
            start,
            start + end - begin,
            operation=operation,
            summary=summary,
            key=key,
            damaged=behind < end,
            values=asked.values,
            attributes=asked.attributes,
        )
    reply = _read_records(data, at, begin, behind, (answers, authority, additional), flags, keep_values)
    attributes: dict[str, str | int] = {}
    if reply.answers:
        attributes["dns.answers"] = ", ".join(reply.answers)
    if reply.lifetime >= 0:
        attributes["wiretrace.dns.ttl"] = reply.lifetime
    if flags & TRUNCATED:
        attributes["wiretrace.dns.truncated"] = 1
    status = status_name(reply.code)
    if reply.code:
        attributes["error.type"] = f"dns_{status.lower()}"
    return Message(
        Role.RESPONSE,
        start,
        start + end - begin,
        operation=operation,
        summary=summary,
        status=status,
        result=Result.OK
        if not reply.code
        else Result.CLIENT_ERROR
        if reply.code in CLIENT_ERRORS
        else Result.SERVER_ERROR,
        key=key,
        damaged=behind < end,
        values=" ".join(reply.answers).encode(),
        attributes=attributes,
        notes=() if reply.whole or behind < end else (UNREADABLE,),
    )


def _read_records(
    data: bytes, at: int, begin: int, end: int, counts: tuple[int, int, int], flags: int, keep_values: bool
) -> Reply:
    """Read the answers, and pass over the other records in search of the upper bits of the response code."""
    shown: list[str] = []
    lifetime = -1
    code = flags & 0xF
    total = sum(counts)
    whole = bool(flags & TRUNCATED)
    for which in range(min(total, MOST_RECORDS)):
        name_end = skip_name(data, at, end)
        if name_end < 0 or name_end + FIXED_BYTES > end:
            break
        kind, _, seconds, size = FIXED.unpack_from(data, name_end)
        content = name_end + FIXED_BYTES
        at = content + size
        if at > end:
            break
        if which < counts[0]:
            if kind in (A, AAAA, CNAME):
                lifetime = seconds if lifetime < 0 else min(lifetime, seconds)
            if len(shown) < MOST_SHOWN and (text := record_text(data, kind, content, at, begin, keep_values)):
                shown.append(text)
        elif kind == OPT:
            code |= seconds >> 24 << 4
    else:
        whole = True
    return Reply(tuple(shown), lifetime, code, whole)


def record_text(data: bytes, kind: int, at: int, end: int, begin: int, keep_values: bool) -> str:
    """What a record says, where that is an address or a name; empty where not, or where it can not be read."""
    if kind == A:
        return f"{data[at]}.{data[at + 1]}.{data[at + 2]}.{data[at + 3]}" if end - at == 4 else ""
    if kind == AAAA:
        return version6(data[at:end]) if end - at == 16 else ""
    if kind in (CNAME, PTR, NS):
        return read_name(data, at, begin, end) or ""
    if kind == SRV and end - at > 6:
        target = read_name(data, at + 6, begin, end)
        return f"{target}:{data[at + 4] << 8 | data[at + 5]}" if target else ""
    if kind == MX and end - at > 2:
        return read_name(data, at + 2, begin, end) or ""
    if kind == TXT and keep_values:
        return data[at + 1 : end].decode("utf-8", "replace")
    return ""


@lru_cache(maxsize=4096)
def version6(packed: bytes) -> str:
    """The text of an IPv6 address."""
    return str(IPv6Address(packed))


def type_name(number: int) -> str:
    """The name of a type of records."""
    return TYPES.get(number) or f"TYPE{number}"


def status_name(code: int) -> str:
    """The name of a response code."""
    return STATUSES[code] if code < len(STATUSES) else str(code)
