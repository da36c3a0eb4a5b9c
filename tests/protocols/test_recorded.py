"""Captures of real clients and servers are read as their expected files say, in any chunks, and with packets missing.

They are recorded by `recording/`, and the expected files written by `expectations.py`.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import dpkt
import pytest
from tests.protocols.expectations import CAPTURES, exchanges_of_capture, key_log_of
from tests.support.captures import Packet
from tests.support.packets import Exchanges

from wiretrace.exchanges import threads
from wiretrace.model.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

PATHS = sorted(CAPTURES.glob("*.pcap"))
STATED = ("summary", "status", "protocol")
MOST_BYTES = 50_000


def packets_of(path: Path) -> list[Packet]:
    """The packets of a capture; tcpdump counts microseconds."""
    with path.open("rb") as file:
        return [Packet(round(seconds * 1_000_000) * 1000, data) for seconds, data in dpkt.pcap.Reader(file)]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_capture_is_read_as_expected(path: Path) -> None:
    assert exchanges_of_capture(path) == json.loads(path.with_suffix(".json").read_text())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_byte_is_explained_and_times_lie_in_their_packets(path: Path) -> None:
    read = Exchanges(packets_of(path), key_log=key_log_of(path))
    assert read.unexplained == 0
    assert set(read.accounting) <= {"in_exchanges", "in_halves", "control", "repeated", "encrypted"}
    times = {at + 1: packet.time_ns for at, packet in enumerate(packets_of(path))}
    for row in read.rows:
        for side in ("request", "response"):
            frames = row[f"{side}_frames"]
            if frames:
                assert row[f"{side}_start_ns"] == times[frames[0]]
                assert row[f"{side}_end_ns"] == times[frames[-1]]
                assert frames == sorted(set(frames))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("chunk", [500, 3000])
def test_chunks_change_nothing(path: Path, chunk: int) -> None:
    """Streams go on from chunk to chunk, in pieces or not. (What a window ends in is a matter of values alone.)"""
    packets, keys = packets_of(path), key_log_of(path)
    assert_same(Exchanges(packets, key_log=keys), Exchanges(packets, Limits(chunk_bytes=chunk), key_log=keys))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize(("messages", "octets"), [(1, 200), (5, 1500)])
def test_turns_within_a_chunk_change_nothing(
    path: Path, messages: int, octets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk of very many messages is worked through in turns, a long connection in pieces."""
    packets, keys = packets_of(path), key_log_of(path)
    whole = Exchanges(packets, key_log=keys)
    monkeypatch.setattr(threads, "MESSAGES_AT_ONCE", messages)
    monkeypatch.setattr(threads, "BYTES_AT_ONCE", octets)
    assert_same(whole, Exchanges(packets, key_log=keys))


def assert_same(whole: Exchanges, parts: Exchanges) -> None:
    """Two readings told the same of every exchange, and of every byte."""
    drop = ("request_tokens", "response_tokens", "request_digest")
    as_told = [[{name: row[name] for name in row if name not in drop} for row in read.rows] for read in (whole, parts)]
    by_frames = [sorted(rows, key=lambda row: (row["request_frames"], row["response_frames"])) for rows in as_told]
    assert by_frames[0] == by_frames[1]
    assert whole.accounting == parts.accounting


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_who_comes_late_or_misses_packets_pairs_nothing_wrongly(path: Path) -> None:
    """With packets missing at the beginning or anywhere, a pair is one of the whole capture, and no field is made up."""
    packets, keys = packets_of(path), key_log_of(path)
    rows = Exchanges(packets, key_log=keys).rows
    truth = {(row["request_start_ns"], row["request_seq"]): row for row in rows}
    by_answer: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for row in rows:
        # One acknowledgement may answer several messages.
        by_answer.setdefault((row["response_start_ns"], row["response_seq"]), []).append(row)
    chooser = random.Random(1)
    worse = [packets[skipped:] for skipped in range(1, len(packets), max(1, len(packets) // 12))]
    worse += [[packet for packet in packets if chooser.random() > 0.06] for _ in range(12)]
    for left in worse:
        read = Exchanges(left, key_log=keys)
        assert read.unexplained == 0
        for row in read.rows:
            asked = truth.get((row["request_start_ns"], row["request_seq"]))
            answered = by_answer.get((row["response_start_ns"], row["response_seq"]), [])
            if row["proof"] and asked is not None and answered:
                assert asked["request_seq"] in [each["request_seq"] for each in answered], row["summary"]
            if row["protocol"] == "tls" and row["request_frames"] and asked is not None and asked["protocol"] != "tls":
                # The handshake was missed: without it nothing can be opened.
                assert row["summary"].startswith(("opaque call", "handshake")) and not row["status"]
                continue
            if asked is not None and row["request_start_ns"] >= 0 and "(not known)" not in row["summary"]:
                # Without its kind a call is a POST, and without its upgrade a session has no path.
                assert asked["summary"] in row["summary"] or asked["summary"].startswith(row["summary"])
            if answered and row["status"]:
                attributes = json.loads(answered[0]["attributes"])
                known = [answered[0]["status"], str(attributes.get("http.response.status_code"))]
                if answered[0]["status"].endswith("NO_ROUTE"):
                    known.append("ack")  # what the broker says of a message that it gave back, if that is not known
                assert row["status"] in known


def test_captures_are_small_and_each_has_its_expected_file() -> None:
    assert PATHS
    for path in PATHS:
        assert path.stat().st_size < MOST_BYTES, path.name
        assert path.with_suffix(".json").is_file(), path.name
