"""LDAP: requests, searches of several messages, wrapped messages; splits, gaps, late joiners, and whatever bytes."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import dissect
from tests.support.mangle import mutated
from tests.support.properties import (
    assert_gaps_only_take_away,
    assert_late_joiners_read_the_rest,
    assert_splits_change_nothing,
)

from wiretrace.model.message import Message, Result, Role
from wiretrace.protocols.contract import Context
from wiretrace.protocols.ldap import LDAP

USER = b"cn=user-8812,dc=shop"


def ber(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    length = bytes((size,)) if size < 128 else b"\x82" + struct.pack(">H", size)
    return bytes((tag,)) + length + content


def text(content: bytes, tag: int = 4) -> bytes:
    return ber(tag, content)


def number(value: int, tag: int = 2) -> bytes:
    return ber(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def message(identifier: int, operation: bytes) -> bytes:
    return ber(0x30, number(identifier), operation)


def bind(name: bytes, password: bytes) -> bytes:
    return ber(0x60, number(3), text(name), text(password, 0x80))


def sasl_bind(mechanism: bytes) -> bytes:
    return ber(0x60, number(3), text(b""), ber(0xA3, text(mechanism), text(b"ticket")))


def search(base: bytes, filtered: bytes, scope: int = 2) -> bytes:
    return ber(
        0x63,
        text(base),
        number(scope, 10),
        number(0, 10),
        number(0),
        number(0),
        ber(1, b"\0"),
        filtered,
        ber(0x30, text(b"sn")),
    )


def equal(name: bytes, value: bytes, tag: int = 0xA3) -> bytes:
    return ber(tag, text(name), text(value))


def entry(name: bytes, **attributes: bytes) -> bytes:
    found = [ber(0x30, text(key.encode()), ber(0x31, text(value))) for key, value in attributes.items()]
    return ber(0x64, text(name), ber(0x30, *found))


def result(tag: int, code: int, words: bytes = b"") -> bytes:
    return ber(tag, number(code, 10), text(b""), text(words))


FILTER = ber(0xA0, equal(b"objectClass", b"person"), ber(0xA2, equal(b"uid", b"4711")), text(b"mail", 0x87))
CLIENT = (
    message(1, bind(b"cn=admin,dc=shop", b"hunter2"))
    + message(2, search(b"dc=shop", FILTER))
    + message(3, search(b"dc=shop", equal(b"cn", b"user-8812")))
    + message(
        4, ber(0x66, text(USER), ber(0x30, ber(0x30, number(2, 10), ber(0x30, text(b"sn"), ber(0x31, text(b"Anna"))))))
    )
    + message(5, text(USER, 0x4A))
    + message(6, b"\x42\0")
)
SERVER = (
    message(1, result(0x61, 0))
    + message(2, entry(b"cn=user-1,dc=shop", sn=b"Mary", userPassword=b"secret77"))
    + message(3, entry(USER, sn=b"Anna"))
    + message(2, entry(b"cn=user-2,dc=shop", sn=b"Mary"))
    + message(3, result(0x65, 0))
    + message(2, result(0x65, 4, b"too many for mary@example.com"))
    + message(4, result(0x67, 0))
    + message(5, result(0x6B, 32, b"no mary@example.com"))
)


def test_splits_change_nothing() -> None:
    read = assert_splits_change_nothing(LDAP, CLIENT, SERVER)
    asked = [each for each in read.requests if each.role is Role.REQUEST]
    assert [each.operation for each in asked] == ["bind", "search", "search", "modify", "delete"]
    answers = {each.key: each for each in read.responses if each.role is Role.RESPONSE}
    assert [(answers[each.key].status, answers[each.key].result) for each in asked] == [
        ("success", Result.OK),
        ("sizeLimitExceeded", Result.SERVER_ERROR),
        ("success", Result.OK),
        ("success", Result.OK),
        ("noSuchObject", Result.SERVER_ERROR),
    ]
    assert answers[3].attributes == {"db.response.returned_rows": 1}
    assert [each.role for each in read.responses].count(Role.PART) == 3


def test_what_is_missing_only_takes_away() -> None:
    assert assert_gaps_only_take_away(LDAP, CLIENT, SERVER) > 300


def test_who_comes_late_reads_the_rest() -> None:
    assert assert_late_joiners_read_the_rest(LDAP, CLIENT, SERVER) > 20


def request(operation: bytes, *, keep_values: bool = False) -> Message:
    context = Context(started=(True, False), keep_values=keep_values)
    [found] = dissect(LDAP, message(7, operation), b"", context=context).requests
    return found


def test_names_are_shown_and_passwords_are_not_read() -> None:
    found = request(bind(b"cn=admin,dc=shop", b"hunter2"), keep_values=True)
    assert (found.summary, found.values) == ("bind cn=admin,dc=shop", b"")
    assert request(sasl_bind(b"GSSAPI")).summary == "bind SASL GSSAPI"


@pytest.mark.parametrize(
    ("filtered", "shown"),
    [
        (FILTER, "(&(objectClass=?)(!(uid=?))(mail=*))"),
        (ber(0xA1, equal(b"a", b"1", 0xA5), equal(b"b", b"2", 0xA6), equal(b"c", b"3", 0xA8)), "(|(a>=?)(b<=?)(c~=?))"),
        (ber(0xA4, text(b"cn"), ber(0x30, text(b"us", 0x80), text(b"er", 0x81), text(b"12", 0x82))), "(cn=?*?*?)"),
        (ber(0xA4, text(b"cn"), ber(0x30, text(b"er", 0x81))), "(cn=*?*)"),
        (ber(0xA9, text(b"1.2", 0x81), text(b"cn", 0x82), text(b"x", 0x83)), "(cn:1.2:=?)"),
    ],
)
def test_filters_are_shown_without_values(filtered: bytes, shown: str) -> None:
    assert request(search(b"dc=shop", filtered)).summary == f"search dc=shop sub {shown}"


def test_values_of_filters_and_entries_link_but_for_secrets() -> None:
    filtered = ber(0xA0, equal(b"uid", b"4711"), equal(b"userPassword", b"secret77"))
    found = request(search(b"dc=shop", filtered), keep_values=True)
    assert found.values == b"dc=shop 4711"
    assert found.summary == "search dc=shop sub (&(uid=4711)(userPassword=?))"
    answers = [each for each in dissect(LDAP, CLIENT, SERVER).responses if each.role is Role.RESPONSE]
    assert answers[2].values == b"cn=user-1,dc=shop Mary"


def test_filters_in_filters_without_end_are_not_followed() -> None:
    deep = equal(b"uid", b"4711")
    for _ in range(40):
        deep = ber(0xA2, deep)
    assert request(search(b"dc=shop", deep)).summary.count("(!") == 11
    wide = ber(0xA0, *[equal(b"uid", b"%d" % each) for each in range(300)])
    assert len(request(search(b"dc=shop", wide)).summary) < 1000


@pytest.mark.parametrize(
    ("operation", "summary"),
    [
        (
            ber(0x68, text(USER), ber(0x30, ber(0x30, text(b"sn"), ber(0x31, text(b"Mary"))))),
            f"add {USER.decode()} (sn)",
        ),
        (ber(0x6C, text(USER), text(b"cn=user-9"), ber(1, b"\xff")), f"modify dn {USER.decode()} to cn=user-9"),
        (ber(0x6E, text(USER), ber(0x30, text(b"sn"), text(b"Mary"))), f"compare {USER.decode()} (sn)"),
        (ber(0x77, text(b"1.3.6.1.4.1.4203.1.11.1", 0x80), text(b"secret", 0x81)), "modify password"),
        (ber(0x77, text(b"1.2.3", 0x80)), "extended 1.2.3"),
    ],
)
def test_other_requests(operation: bytes, summary: str) -> None:
    assert request(operation).summary == summary


def test_an_abandoned_request_is_called_off() -> None:
    read = dissect(LDAP, message(2, search(b"", FILTER)) + message(3, number(2, 0x50)), b"")
    assert [(each.role, each.key) for each in read.requests] == [(Role.REQUEST, 2), (Role.CANCEL, 2)]


def test_words_of_errors_only_on_demand_and_unsolicited_notices_are_pushes() -> None:
    for keep_values in (False, True):
        context = Context(started=(False, True), keep_values=keep_values)
        [found] = dissect(LDAP, b"", message(5, result(0x6B, 32, b"no mary@example.com")), context=context).responses
        assert found.attributes is not None
        assert found.attributes["db.response.status_code"] == "32"
        assert ("wiretrace.error.message" in found.attributes) is keep_values
    [notice] = dissect(LDAP, b"", message(0, result(0x78, 52))).responses
    assert (notice.role, notice.status) == (Role.PUSH, "unavailable")


def test_tls_takes_over_behind_the_answer_that_allows_it() -> None:
    client = message(1, ber(0x77, text(b"1.3.6.1.4.1.1466.20037", 0x80)))
    for code, taken in ((0, "tls"), (2, None)):
        server = message(1, result(0x78, code))
        read = dissect(LDAP, client, server)
        assert read.requests[0].operation == "StartTLS"
        assert (read.succession.protocol if read.succession else None) == taken
    assert dissect(LDAP, client + b"\x16\x03", message(1, result(0x78, 0)) + b"\x16\x03").succession is not None


def wrapped(content: bytes, *, sealed: bool = False, rotated: bool = True) -> bytes:
    """A token of Kerberos (RFC 4121 section 4.2.4) around `content`."""
    checksum = b"c" * 12
    head = struct.pack(">HBBHHQ", 0x0504, 2 if sealed else 0, 0xFF, 12, 12 if rotated else 0, 1)
    token = head + (checksum + content if rotated else content + checksum)
    return struct.pack(">I", len(token)) + token


BOUND = message(1, sasl_bind(b"GSS-SPNEGO")), message(1, result(0x61, 0))


@pytest.mark.parametrize("rotated", [False, True])
def test_what_is_only_signed_is_read(rotated: bool) -> None:
    client = BOUND[0] + wrapped(message(2, search(b"dc=shop", FILTER)), rotated=rotated)
    both = message(2, entry(USER, sn=b"Anna")) + message(2, result(0x65, 0))
    server = BOUND[1] + wrapped(both, rotated=rotated)
    read = assert_splits_change_nothing(LDAP, client, server)
    assert [each.operation for each in read.requests] == ["bind", "search"]
    assert [each.role for each in read.responses] == [Role.RESPONSE, Role.PART, Role.RESPONSE]
    late = Context(started=(False, False))
    assert len(dissect(LDAP, client[len(BOUND[0]) :], server[len(BOUND[1]) :], context=late).requests) == 1
    assert LDAP.probe(client[len(BOUND[0]) :], server[len(BOUND[1]) :]) >= 0.9


def test_what_is_sealed_is_handed_over_as_encrypted() -> None:
    sealed = wrapped(b"?" * 80, sealed=True)
    read = dissect(LDAP, BOUND[0] + sealed, BOUND[1] + sealed)
    assert read.succession is not None
    assert read.succession.protocol == "sasl"
    assert (read.succession.client_offset, read.succession.server_offset) == (len(BOUND[0]), len(BOUND[1]))


def test_an_answer_that_was_cut_off_keeps_what_was_found() -> None:
    read = dissect(LDAP, message(2, search(b"dc=shop", FILTER)), message(2, entry(USER, sn=b"Anna")))
    assert [(each.role, each.damaged, each.result) for each in read.responses] == [
        (Role.PART, False, Result.OK),
        (Role.RESPONSE, True, Result.CUT_OFF),
    ]


def test_it_is_recognised_by_its_bytes_in_the_right_roles() -> None:
    assert LDAP.probe(CLIENT, SERVER) >= 0.85
    assert LDAP.probe(SERVER, CLIENT) == 0.0
    assert LDAP.probe(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"") == 0.0
    assert LDAP.probe(bytes(100), bytes(100)) == 0.0


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_no_bytes_raise_anything_but_violation(seed: int) -> None:
    chooser = random.Random(seed)
    client, server = mutated(CLIENT, chooser), mutated(BOUND[1] + wrapped(SERVER), chooser)
    whole = chooser.random() < 0.5
    LDAP.probe(client, server)
    dissect(LDAP, client, server, context=Context(started=(whole, whole)))
