"""TLS: hellos, certificates, keys, records; opened or told by their lengths; whatever bytes."""

from __future__ import annotations

import random
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers import aead
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dissect import Dissection, dissect
from tests.support.mangle import mutated, with_gaps
from tests.support.tls import NAME, client_context, make_certificate, shaken_hands

from wiretrace.model.message import Result, Role
from wiretrace.model.side import Side
from wiretrace.protocols.contract import Context
from wiretrace.protocols.tls import Tls
from wiretrace.protocols.tls_certificate import certificate_names
from wiretrace.protocols.tls_handshake import ALERTS, read_client_hello, read_server_hello
from wiretrace.protocols.tls_key_log import KeyLog
from wiretrace.protocols.tls_key_schedule import Keys, connection_keys, expand_label, next_secret, traffic_keys
from wiretrace.protocols.tls_opening import opener
from wiretrace.protocols.tls_session import KEY_LOG
from wiretrace.protocols.tls_suites import KNOWN, suite_of
from wiretrace.protocols.tls_wire import boundary

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = b"GET /orders/1881 HTTP/1.1\r\nHost: shop.test\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate."""
    folder: Path = tmp_path_factory.mktemp("tls")
    make_certificate(folder)
    return folder


def talk(place: Path, version: ssl.TLSVersion, times: int = 2) -> tuple[bytes, bytes, KeyLog]:
    """What a client and a server of Python's library say to each other, and their secrets."""
    keys = place / "keys.log"
    keys.unlink(missing_ok=True)
    client, server = shaken_hands(place, client_context(keys, version=version), [(REQUEST, ANSWER)] * times)
    log = KeyLog(100)
    log.add(keys.read_bytes().splitlines())
    return client, server, log


def context(log: KeyLog | None, *, started: tuple[bool, bool] = (True, True)) -> Context:
    return Context(started=started, shared={} if log is None else {KEY_LOG: log})


def carried(read: Dissection) -> tuple[bytes, bytes]:
    """What was inside, by side."""
    units = read.protocol.carried or ([], [])
    return b"".join(unit.data for unit in units[0]), b"".join(unit.data for unit in units[1])


@pytest.mark.parametrize("version", VERSIONS)
def test_records_are_opened_whatever_the_splits(place: Path, version: ssl.TLSVersion) -> None:
    """Each unit's body bytes stand, one for one, for what it carries; units and messages do not overlap."""
    client, server, log = talk(place, version)
    for seed in range(12):
        read = dissect(Tls, client, server, context=context(log), splits=random.Random(seed))
        assert carried(read) == (REQUEST * 2, ANSWER * 2)
        assert {message.role for message in read.requests + read.responses} == {Role.CONTROL}
        for side, stream in enumerate((client, server)):
            units = read.protocol.carried[side] if read.protocol.carried else []
            ends = [message.end for message in (read.requests, read.responses)[side]]
            at = max(ends)
            for unit in units:
                assert unit.start == at
                assert unit.start < unit.body <= unit.body + len(unit.data) <= unit.end
                assert stream[unit.body : unit.body + len(unit.data)] != unit.data or not unit.data
                at = unit.end
            assert at == len(stream)
        told = read.protocol.carried_attributes
        assert told is not None
        assert told["server.address"] == NAME
        assert told["tls.protocol.version"] == {0x0303: "1.2", 0x0304: "1.3"}[version]
        assert told["tls.server.subject"] == f"CN={NAME}"
        assert told["wiretrace.tls.server.names"] == f"{NAME} www.{NAME}"
        assert not any(secret in repr(told) for secret in ("SECRET", "CLIENT_RANDOM"))


@pytest.mark.parametrize("version", VERSIONS)
def test_without_keys_pieces_are_told_whatever_the_splits(place: Path, version: ssl.TLSVersion) -> None:
    client, server, _ = talk(place, version)
    whole = dissect(Tls, client, server)
    pieces = [message for message in whole.requests if message.role is Role.PART]
    assert len(pieces) == 2
    assert pieces[0].summary == f"opaque call to {NAME}"
    assert pieces[0].attributes is not None
    assert pieces[0].attributes["wiretrace.opaque"] is True
    answers = [message for message in whole.responses if message.role is Role.PART and not message.status]
    tickets = [message for message in whole.responses if message.status == "ticket"]
    assert len(answers) + len(tickets) == (2 if version == 0x0303 else 4)
    assert {message.result for message in answers + tickets} == {Result.UNREADABLE}
    for seed in range(12):
        split = dissect(Tls, client, server, splits=random.Random(seed))
        for one, other in ((whole.requests, split.requests), (whole.responses, split.responses)):
            spans = [
                [(each.start, each.end, each.status) for each in messages if each.role is Role.PART]
                for messages in (one, other)
            ]
            assert spans[0] == spans[1]


@pytest.mark.parametrize("version", VERSIONS)
def test_behind_a_gap_records_are_opened_again(place: Path, version: ssl.TLSVersion) -> None:
    """One record of the server is missing: what is inside of the others is there, and how much is missing is told."""
    client, server, log = talk(place, version, times=5)
    whole = dissect(Tls, client, server, context=context(log))
    assert whole.protocol.carried is not None
    units = [unit for unit in whole.protocol.carried[1] if unit.data]
    lost = units[2]
    gapped = [server[: lost.start], lost.end - lost.start, server[lost.end :]]
    read = dissect(Tls, client, gapped, context=context(log))
    assert read.protocol.carried is not None
    found = [unit for unit in read.protocol.carried[1] if unit.data]
    assert [unit.start for unit in found] == [unit.start for unit in units if unit is not lost]
    assert [unit.missing for unit in found] == [0, 0, len(ANSWER), 0]


def test_a_failed_handshake_is_an_exchange_with_the_alert_as_its_status() -> None:
    """The server refuses: version 1.2, an alert in clear."""
    hello = record(22, b"\x01" + client_hello().to_bytes_with_length())
    read = dissect(Tls, hello, record(21, b"\x02\x28"))
    [request], [response] = read.requests, read.responses
    assert (request.role, request.operation, request.summary) == (Role.REQUEST, "handshake", f"handshake with {NAME}")
    assert (response.status, response.result) == ("handshake_failure", Result.TLS_FAILED)
    assert response.attributes is not None
    assert response.attributes["error.type"] == "tls_alert_handshake_failure"
    assert response.attributes["wiretrace.tls.alert.sender"] == "server"


def test_a_hello_is_read_over_several_records() -> None:
    """Also: a closed connection leaves a request without an answer."""
    body = b"\x01" + client_hello().to_bytes_with_length()
    split = b"".join(record(22, body[at : at + 20]) for at in range(0, len(body), 20))
    read = dissect(Tls, split, b"")
    assert [message.summary for message in read.requests] == [f"handshake with {NAME}"]
    assert read.responses == []


class Hello:
    """A ClientHello as bytes."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def to_bytes_with_length(self) -> bytes:
        return len(self.body).to_bytes(3, "big") + self.body


def client_hello() -> Hello:
    name = NAME.encode()
    entry = b"\0" + len(name).to_bytes(2, "big") + name
    names = len(entry).to_bytes(2, "big") + entry
    protocols = b"\x02h2\x08http/1.1"
    offer = len(protocols).to_bytes(2, "big") + protocols
    extensions = b"".join(
        kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body
        for kind, body in ((0, names), (16, offer), (43, b"\x04\x0a\x0a\x03\x04"))
    )
    suites = b"\0\x02\x13\x01"
    return Hello(b"\x03\x03" + bytes(32) + b"\0" + suites + b"\x01\0" + len(extensions).to_bytes(2, "big") + extensions)


def record(kind: int, payload: bytes) -> bytes:
    return bytes((kind, 3, 3)) + len(payload).to_bytes(2, "big") + payload


def test_hellos_say_who_is_asked_for_and_how() -> None:
    hello = read_client_hello(client_hello().body)
    assert hello is not None
    assert (hello.server_name, hello.protocols, hello.versions) == (NAME, ("h2", "http/1.1"), (0x0304,))
    assert read_client_hello(b"\x03\x03" + bytes(20)) is None
    answer = read_server_hello(b"\x03\x03" + bytes(32) + b"\0\xc0\x30\0\0\x06\0\x16\0\0\0\x17")
    assert answer is not None
    assert (answer.version, answer.suite.name) == (0x0303, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")
    assert answer.encrypt_then_mac


def test_names_that_are_none_are_not_told() -> None:
    """A server name with bytes that act on a terminal is no name."""
    body = client_hello().body.replace(NAME.encode(), b"shop\x1b[31")
    hello = read_client_hello(body)
    assert hello is not None
    assert hello.server_name == ""


def test_keys_are_those_of_the_specification() -> None:
    """RFC 8448 section 3: the server's handshake traffic secret, its key and nonce; and the form of a KeyUpdate."""
    secret = bytes.fromhex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
    keys = traffic_keys(secret, suite_of(0x1301))
    assert keys.key.hex() == "3fce516009c21727d0f2e4e86ee403bc"
    assert keys.iv.hex() == "5d313eb2671276ee13000b30"
    assert next_secret(secret, suite_of(0x1301)) == expand_label(secret, b"traffic upd", 32, "sha256") != secret


def test_keys_up_to_1_2_have_their_lengths() -> None:
    for number in (0x002F, 0xC030, 0x0005, 0xCCA8):
        suite = suite_of(number)
        for version in (0x0301, 0x0303):
            client, server = connection_keys(bytes(48), version, suite, bytes(32), bytes(32))
            assert len(client.key) == len(server.key) == suite.key_bytes
            assert client.key != server.key


def test_suites_are_known_by_the_names_of_the_registry() -> None:
    assert suite_of(0x1303).name == "TLS_CHACHA20_POLY1305_SHA256"
    assert suite_of(0xC0A0).way == "ccm8"
    assert suite_of(0x0A0A).name == "0x0a0a"
    assert all(suite.name.startswith("TLS_") for suite in KNOWN.values())
    assert len(set(ALERTS.values())) == len(ALERTS)


def test_a_record_that_is_not_authentic_is_not_opened() -> None:
    keys = Keys(bytes(16), bytes(12))
    header = record(23, bytes(25))[:5]
    sealed = aead.AESGCM(keys.key).encrypt(keys.iv, b"shop\0\0\0\x17"[:4] + b"\x17", header[:3] + b"\0\x15")
    header = header[:3] + b"\0\x15"
    opened = opener(suite_of(0x1301), keys, 0x0304)
    assert opened.open(0, header, sealed) == (23, b"shop")
    assert opened.open(1, header, sealed) is None
    assert opened.open(0, header, sealed[:-1] + bytes((sealed[-1] ^ 1,))) is None
    assert opened.open(0, header, b"") is None


def test_a_key_log_holds_what_it_may_and_shows_nothing() -> None:
    log = KeyLog(2)
    lines = [b"CLIENT_RANDOM " + bytes((65 + at,)).hex().encode() * 32 + b" " + b"ab" * 48 for at in range(3)]
    log.add([b"# a comment", b"nonsense", b"CLIENT_RANDOM 00 11", b"x" * 5000, *lines])
    assert len(log) == 2
    assert log.refused == 1
    assert log.secret("CLIENT_RANDOM", b"A" * 32) == b"\xab" * 48
    assert log.secret("CLIENT_RANDOM", b"C" * 32) is None
    assert log.secret("NO_LABEL", b"A" * 32) is None
    assert "ab" * 8 not in repr(log)


def test_a_certificate_gives_its_names_and_damage_none(place: Path) -> None:
    der = ssl.PEM_cert_to_DER_cert((place / "certificate.pem").read_text())
    assert certificate_names(der) == (NAME, (NAME, f"www.{NAME}"))
    for at in range(len(der)):
        certificate_names(der[:at])


@given(st.binary(max_size=600))
@settings(max_examples=150)
def test_no_certificate_and_no_hello_breaks_anything(body: bytes) -> None:
    certificate_names(b"\x30\x82" + len(body).to_bytes(2, "big") + body)
    read_client_hello(body)
    read_server_hello(body)
    boundary(body, 0)


@given(st.integers(0, 10**6), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_bytes_break_it(spoken: tuple[bytes, bytes, KeyLog], seed: int, started: bool, keyed: bool) -> None:
    """Changed, removed and repeated bytes; gaps anywhere; with keys and without."""
    client, server, log = spoken
    chooser = random.Random(seed)
    client, server = mutated(client, chooser), mutated(server, chooser)
    dissect(
        Tls,
        with_gaps(client, chooser),
        with_gaps(server, chooser),
        context=context(log if keyed else None, started=(started, started)),
        splits=chooser,
    )


@given(st.binary(max_size=400), st.binary(max_size=400), st.booleans())
@settings(max_examples=100)
def test_any_bytes_are_borne(client: bytes, server: bytes, started: bool) -> None:
    Tls.probe(client, server)
    head = b"\x16\x03\x01"
    dissect(Tls, head + client, head + server, context=Context(started=(started, started)))


@pytest.fixture(scope="module")
def spoken(place: Path) -> tuple[bytes, bytes, KeyLog]:
    """A conversation in TLS 1.3."""
    return talk(place, ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_record_behind_a_damaged_one_is_found_by_its_length(place: Path, version: ssl.TLSVersion) -> None:
    """Twenty bytes in its middle are missing: nothing but this record is."""
    client, server, log = talk(place, version, times=5)
    whole = dissect(Tls, client, server, context=context(log))
    assert whole.protocol.carried is not None
    units = [unit for unit in whole.protocol.carried[1] if unit.data]
    hole = units[2].start + 10
    read = dissect(Tls, client, [server[:hole], 20, server[hole + 20 :]], context=context(log))
    assert read.protocol.carried is not None
    found = [unit for unit in read.protocol.carried[1] if unit.data]
    assert [unit.start for unit in found] == [unit.start for unit in units if unit is not units[2]]
    assert read.protocol.resync(Side.SERVER, server, hole, 0) is not None


def test_wrong_secrets_open_nothing_and_the_calls_are_opaque(place: Path) -> None:
    client, server, log = talk(place, VERSIONS[0], times=12)
    hello = read_client_hello(client[9:])
    assert hello is not None
    wrong = KeyLog(10)
    wrong.add([b"CLIENT_RANDOM " + hello.random.hex().encode() + b" " + b"ab" * 48])
    read = dissect(Tls, client, server, context=context(wrong))
    assert carried(read) == (b"", b"")
    assert sum(message.role is Role.PART for message in read.requests) >= 4
    assert len(log) == 1
