"""Recorded TLS of real servers on the whole way: secrets inside of the capture, none in the case, names, opaque calls."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.protocols.expectations import CAPTURES
from tests.protocols.test_recorded import packets_of
from tests.support import pcapng
from tests.support.captures import Packet, TcpConversation, write_pcap
from tests.support.cases import analyzed
from tests.support.packets import Exchanges, ExchangesOfFile
from tests.support.tls import NAME

from wiretrace import cli
from wiretrace.exchanges.vantage import read_vantage_point
from wiretrace.model.errors import UserError
from wiretrace.model.note import Notes
from wiretrace.model.settings import Settings
from wiretrace.model.side import Side
from wiretrace.packets.captures import find_captures

if TYPE_CHECKING:
    from pathlib import Path

OPENED = ("tls13_http", "tls12_http", "tls10_http", "tls_http2", "postgresql_tls", "mysql_tls")
TLS_KEY_LOG = 0x544C534B


@pytest.mark.parametrize("name", OPENED)
def test_without_its_keys_a_capture_has_as_many_calls(name: str) -> None:
    """Told by lengths and acknowledgements alone; what is there more are the steps of a login, or an early answer."""
    capture = CAPTURES / f"{name}.pcap"
    opened = ExchangesOfFile(capture, key_log=capture.with_suffix(".keylog")).rows
    opaque = ExchangesOfFile(capture).rows
    assert {row["protocol"] for row in opaque} <= {"tls", "postgresql"}
    requests = {(row["client_port"], row["request_seq"]): row for row in opened}
    calls = {(row["client_port"], row["request_seq"]): row for row in opaque}
    # The first call of HTTP/2 begins with the preface, which asks for nothing.
    assert len(requests.keys() - calls.keys()) <= (name == "tls_http2")
    steps = 2 if name == "postgresql_tls" else 1 if name == "tls13_http" else 0
    assert len(opaque) == len(opened) + steps
    for key in requests.keys() & calls.keys():
        assert abs(requests[key]["response_start_ns"] - calls[key]["response_start_ns"]) < 1_000_000


def test_secrets_inside_of_the_capture_open_it(tmp_path: Path) -> None:
    """A Decryption Secrets Block before the packets that it opens."""
    capture = CAPTURES / "tls13_http.pcap"
    log = capture.with_suffix(".keylog").read_bytes()
    blocks = [pcapng.section_header("<"), pcapng.interface("<")]
    blocks.append(pcapng.block("<", 10, struct.pack("<II", TLS_KEY_LOG, len(log)) + log))
    blocks += [pcapng.enhanced_packet("<", packet.time_ns // 1000, packet.data) for packet in packets_of(capture)]
    path = tmp_path / "inside.pcapng"
    path.write_bytes(b"".join(blocks))
    [found] = find_captures([path], Notes())
    read = read_vantage_point(found, 0, tmp_path / "spool", b"", Settings(jobs=1))
    rows = [row for part in read.spool.parts() for row in part.to_pylist()]
    assert [row["protocol"] for row in rows] == ["http"] * 5
    assert "GET /5000.txt" in [row["summary"] for row in rows]


def test_no_secret_is_in_a_case_or_an_output(tmp_path: Path) -> None:
    """Neither the keys nor what they opened and is redacted: a token in a query."""
    capture = CAPTURES / "tls13_http.pcap"
    keys = capture.with_suffix(".keylog")
    outputs = [
        "--html",
        str(tmp_path / "a.html"),
        "--json",
        str(tmp_path / "a.json"),
        "--jsonl",
        str(tmp_path / "a.jsonl"),
    ]
    result = CliRunner().invoke(
        cli.commands, ["analyze", str(capture), "-o", str(tmp_path / "a.case"), "--tls-keylog", str(keys), *outputs]
    )
    assert result.exit_code == 0, result.output
    assert "GET /hello" in result.output
    written = result.output.encode() + b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    secrets = [word for line in keys.read_text().splitlines() if not line.startswith("#") for word in line.split()[1:]]
    assert len(secrets) >= 10
    for secret in secrets:
        assert secret.encode() not in written
        assert bytes.fromhex(secret) not in written
    assert b"token=abc" not in written
    assert str(keys).encode() not in written


def test_what_is_no_key_log_is_complained_about(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    path.write_text("nothing\n")
    result = CliRunner().invoke(
        cli.commands, ["analyze", str(CAPTURES / "tls13_http.pcap"), "--tls-keylog", str(path), "--jobs", "1"]
    )
    assert isinstance(result.exception, UserError)
    assert "no TLS secrets" in str(result.exception)


def test_the_server_name_names_the_service(tmp_path: Path) -> None:
    """Without keys, a server without a name is called by what it was asked for (SNI)."""
    conversation = TcpConversation(server=("203.0.113.7", 443)).open()
    streams = [chunk for chunk in spoken("tls12_http") if chunk[1]]
    for side, data in streams:
        conversation.send(side, data)
    case = analyzed(
        tmp_path / "a.case", [write_pcap(tmp_path / "a.pcap", conversation.close().packets)], Settings(jobs=1)
    )
    calls = case.table("calls").to_pylist()
    assert [call["operation"] for call in calls] == ["opaque call"] * 2
    assert {call["server_service"] for call in calls} == {NAME}


def spoken(name: str) -> list[tuple[Side, bytes]]:
    """Who sent what in the first connection of a capture, packet by packet."""
    packets = packets_of(CAPTURES / f"{name}.pcap")
    client = packets[0].data[34:36]
    other = packets[0].data[36:38]
    found = []
    for packet in packets:
        ports = packet.data[34:36], packet.data[36:38]
        if ports in ((client, other), (other, client)):
            header = 34 + (packet.data[46] >> 4) * 4
            end = 14 + int.from_bytes(packet.data[16:18], "big")
            found.append((Side.CLIENT if ports[0] == client else Side.SERVER, packet.data[header:end]))
    return found


@pytest.mark.parametrize("name", [*OPENED, "tls13_key_update", "tls_failures", "tls13_client_certificate"])
def test_changed_packets_are_borne_and_explained(name: str) -> None:
    """Bytes changed, packets cut short, lost and doubled, with the keys: every byte is explained all the same."""
    packets = packets_of(CAPTURES / f"{name}.pcap")
    keys = (CAPTURES / f"{name}.keylog").resolve()
    for seed in range(12):
        chooser = random.Random(seed)
        changed = []
        for packet in packets:
            data = bytearray(packet.data)
            for _ in range(chooser.choice((0, 0, 0, 1, 3))):
                if len(data) > 66:
                    data[chooser.randrange(66, len(data))] = chooser.randrange(256)
            if chooser.random() > 0.03:
                changed.append(Packet(packet.time_ns, bytes(data)))
        assert Exchanges(changed, key_log=keys).unexplained == 0
