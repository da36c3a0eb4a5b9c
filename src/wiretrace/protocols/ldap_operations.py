"""What requests and answers of LDAP say (RFC 4511 section 4): operations, names, filters, results.

Rules: a filter is shown without the values that it compares with, names (DNs) as they are: people search by them.
Credentials are passed over. Depth and number of what is read are bounded.
"""

from __future__ import annotations

from typing import NamedTuple

from wiretrace.protocols.ldap_wire import (
    ABANDON,
    ADD,
    BIND,
    BIND_ANSWER,
    COMPARE,
    DELETE,
    ENTRY,
    ENUMERATED,
    EXTENDED,
    MODIFY,
    OCTETS,
    OPERATIONS,
    RENAME,
    SEARCH,
    Element,
    children,
    element,
    number,
    octets,
)
from wiretrace.protocols.sensitive import is_sensitive
from wiretrace.protocols.sql_message import shown

RESULTS = {
    0: "success", 1: "operationsError", 2: "protocolError", 3: "timeLimitExceeded", 4: "sizeLimitExceeded",
    5: "compareFalse", 6: "compareTrue", 7: "authMethodNotSupported", 8: "strongerAuthRequired", 10: "referral",
    11: "adminLimitExceeded", 12: "unavailableCriticalExtension", 13: "confidentialityRequired",
    14: "saslBindInProgress", 16: "noSuchAttribute", 17: "undefinedAttributeType", 18: "inappropriateMatching",
    19: "constraintViolation", 20: "attributeOrValueExists", 21: "invalidAttributeSyntax", 32: "noSuchObject",
    33: "aliasProblem", 34: "invalidDNSyntax", 36: "aliasDereferencingProblem", 48: "inappropriateAuthentication",
    49: "invalidCredentials", 50: "insufficientAccessRights", 51: "busy", 52: "unavailable", 53: "unwillingToPerform",
    54: "loopDetect", 64: "namingViolation", 65: "objectClassViolation", 66: "notAllowedOnNonLeaf", 67: "notAllowedOnRDN",
    68: "entryAlreadyExists", 69: "objectClassModsProhibited", 71: "affectsMultipleDSAs", 80: "other", 118: "canceled",
    119: "noSuchOperation", 120: "tooLate", 121: "cannotCancel",
}  # fmt: skip
"""Result codes by number (RFC 4511 appendix A.2, RFC 3909)."""
FINE = frozenset({0, 5, 6, 10, 14})
"""Results that are no errors."""
_SCOPES = ("base", "one", "sub", "children")
EXTENSIONS = {
    b"1.3.6.1.4.1.1466.20037": "StartTLS",
    b"1.3.6.1.4.1.4203.1.11.1": "modify password",
    b"1.3.6.1.4.1.4203.1.11.3": "who am I",
    b"1.3.6.1.1.8": "cancel",
}
"""Extended operations (RFC 4511, 3062, 4532, 3909)."""
START_TLS = "StartTLS"
_SASL = 0xA3
_AND, _OR, _NOT, _EQUAL, _SUBSTRINGS, _AT_LEAST, _AT_MOST, _PRESENT, _ALIKE, _EXTENSIBLE = (
    0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0x87, 0xA8, 0xA9,
)  # fmt: skip
_COMPARISONS = {_EQUAL: "=", _AT_LEAST: ">=", _AT_MOST: "<=", _ALIKE: "~="}
_DEEPEST_FILTER = 10
_MOST_PARTS = 60
_LONGEST_VALUE = 128
_NAME_BYTES = 300


class Asked(NamedTuple):
    """A request as a message shows it."""

    operation: str
    summary: str
    values: bytes
    attributes: dict[str, str | int]


class _Filter:
    """Puts a filter (RFC 4515) together."""

    def __init__(self, data: bytes, keep_values: bool) -> None:
        self._data = data
        self._keep_values = keep_values
        self._parts = _MOST_PARTS
        self.values: list[bytes] = []

    def text(self, part: Element, depth: int = 0) -> str:
        """The filter in `part`."""
        self._parts -= 1
        data, tag = self._data, part.tag
        if depth > _DEEPEST_FILTER or self._parts < 0:
            return "(...)"
        inner = children(data, part.at, part.end, _MOST_PARTS)
        if tag in (_AND, _OR, _NOT):
            sign = {_AND: "&", _OR: "|", _NOT: "!"}[tag]
            return f"({sign}{''.join(self.text(each, depth + 1) for each in inner)})"
        if tag == _PRESENT:
            return f"({_shown(data, part)}=*)"
        if tag in _COMPARISONS and len(inner) == 2:
            return f"({_shown(data, inner[0])}{_COMPARISONS[tag]}{self._value(inner[0], inner[1])})"
        if tag == _SUBSTRINGS and len(inner) == 2:
            pieces = children(data, inner[1].at, inner[1].end, 8)
            texts = [self._value(inner[0], each) for each in pieces]
            first = "" if pieces and pieces[0].tag == 0x80 else "*"
            last = "" if pieces and pieces[-1].tag == 0x82 else "*"
            return f"({_shown(data, inner[0])}={first}{'*'.join(texts)}{last})"
        if tag == _EXTENSIBLE:
            named = {each.tag: each for each in inner}
            name = _shown(data, named[0x82]) if 0x82 in named else ""
            rule = f":{_shown(data, named[0x81])}" if 0x81 in named else ""
            value = self._value(named.get(0x82), named[0x83]) if 0x83 in named else "?"
            return f"({name}{rule}:={value})"
        return "(?)"

    def _value(self, name: Element | None, part: Element) -> str:
        value = octets(self._data, part, _LONGEST_VALUE)
        if name is None or not is_sensitive(_shown(self._data, name)):
            self.values.append(value)
            if self._keep_values:
                return shown(value)
        return "?"


def _shown(data: bytes, part: Element) -> str:
    return shown(octets(data, part, _NAME_BYTES))


def request(data: bytes, part: Element, keep_values: bool, room: int) -> Asked:
    """What the request in `part` asks for."""
    tag = part.tag
    name = OPERATIONS[tag]
    attributes: dict[str, str | int] = {}
    parts = children(data, part.at, part.end, 8) if tag not in (DELETE, ABANDON) else []
    values: list[bytes] = []
    target, detail = "", ""
    if tag == BIND and len(parts) >= 2:
        target = _shown(data, parts[1])
        if len(parts) > 2 and parts[2].tag == _SASL:
            mechanism = element(data, parts[2].at, parts[2].end)
            detail = f"SASL {_shown(data, mechanism)}" if mechanism is not None else "SASL"
    elif tag == SEARCH and len(parts) >= 7:
        target = _shown(data, parts[0])
        scope = number(data, parts[1])
        filtered = _Filter(data, keep_values)
        detail = f"{_SCOPES[scope] if 0 <= scope < len(_SCOPES) else scope} {filtered.text(parts[6])}"
        values = [octets(data, parts[0], _NAME_BYTES), *filtered.values]
    elif tag == DELETE:
        target = _shown(data, part)
        values = [octets(data, part, _NAME_BYTES)]
    elif tag in (MODIFY, ADD, RENAME, COMPARE) and parts:
        target = _shown(data, parts[0])
        values = [octets(data, parts[0], _NAME_BYTES)]
        if tag == RENAME and len(parts) > 1:
            values.append(octets(data, parts[1], _NAME_BYTES))
            detail = f"to {_shown(data, parts[1])}"
        elif tag != RENAME and len(parts) > 1:
            names, found = _attributes(data, parts[1], tag)
            detail = f"({', '.join(names)})" if names else ""
            values += found
    elif tag == EXTENDED and parts:
        number_of_it = octets(data, parts[0], 100)
        name = EXTENSIONS.get(number_of_it) or f"extended {shown(number_of_it)}"
    summary = " ".join(filter(None, (name, target, detail)))
    if tag == SEARCH:
        attributes = {"wiretrace.ldap.base": target} if target else {}
    return Asked(name, summary, b" ".join(values)[:room], attributes)


def _attributes(data: bytes, part: Element, tag: int) -> tuple[list[str], list[bytes]]:
    """Names of the attributes that are written or compared, and their values but for secrets."""
    names: list[str] = []
    values: list[bytes] = []
    changes = [part] if tag == COMPARE else children(data, part.at, part.end, _MOST_PARTS)
    for change in changes:
        inner = children(data, change.at, change.end, 3)
        if tag == MODIFY and len(inner) == 2 and inner[0].tag == ENUMERATED:
            inner = children(data, inner[1].at, inner[1].end, 3)
        if not inner:
            continue
        name = _shown(data, inner[0])
        names.append(name)
        if len(inner) > 1 and not is_sensitive(name):
            stored = [inner[1]] if inner[1].tag == OCTETS else children(data, inner[1].at, inner[1].end, 8)
            values += [octets(data, each, _LONGEST_VALUE) for each in stored]
    return names[:12], values[:_MOST_PARTS]


class Answered(NamedTuple):
    """A result as a message shows it."""

    code: int
    status: str
    message: bytes


def result(data: bytes, part: Element) -> Answered:
    """The LDAPResult in `part`."""
    parts = children(data, part.at, part.end, 3)
    code = number(data, parts[0]) if parts else -1
    message = octets(data, parts[2], 400) if len(parts) > 2 else b""
    status = RESULTS.get(code, str(code)) if code >= 0 else ""
    return Answered(code, status, message if part.tag != BIND_ANSWER else b"")


def entry_values(data: bytes, part: Element, room: int) -> bytes:
    """Name and values of an entry that a search found."""
    if part.tag != ENTRY:
        return b""
    parts = children(data, part.at, part.end, 2)
    if not parts:
        return b""
    found = [octets(data, parts[0], _NAME_BYTES)]
    if len(parts) > 1:
        found += _attributes(data, parts[1], ADD)[1]
    return b" ".join(found)[:room]
