"""The fault lab: its faults happen as they are written down, and what is said of them is never wrong."""

from pathlib import Path

import pytest
from tests.lab.faults.link import FaultyLink
from tests.lab.faults.recording import FaultOptions, record_faults
from tests.lab.faults.score import analyzed, score
from tests.lab.faults.truth import CLIENT, FAULTS, HEADER, OUTCOME_OF, SERVER, read_truth
from tests.support import layers

COUNT = 5


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few calls of each class of fault."""
    out = tmp_path_factory.mktemp("faults")
    record_faults(FaultOptions(out, COUNT, seed=3))
    return out


@pytest.mark.lab
def test_with_both_sides_captured_every_fault_is_told(recording: Path, tmp_path: Path) -> None:
    """One call in each class may be mistaken: five waits are few to tell a timeout from a person by."""
    truth = read_truth(recording / "truth.jsonl")
    assert len(truth) == COUNT * len(OUTCOME_OF)
    result = score(analyzed(tmp_path / "a.case", [recording / f"{host}.pcap" for host in (CLIENT, SERVER)]), truth)
    assert {
        fault: result.confusion[fault, fault] for fault in FAULTS if result.confusion[fault, fault] < COUNT - 1
    } == {}
    assert result.claims == []
    assert result.spoiled == []


@pytest.mark.lab
@pytest.mark.parametrize("host", [CLIENT, SERVER])
def test_with_one_side_captured_the_truth_is_among_what_is_possible(recording: Path, tmp_path: Path, host: str) -> None:
    truth = read_truth(recording / "truth.jsonl")
    result = score(analyzed(tmp_path / "a.case", [recording / f"{host}.pcap"]), truth)
    assert result.outside == []
    assert result.spoiled == []
    assert result.mean_size <= 2.5


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        (b"lose-request", [True, False, False, False]),
        (b"cut-request", [True, True, False, False]),
        (b"lose-response", [False, False, True, False]),
        (b"cut-response", [False, False, True, True]),
        (b"error", [False, False, False, False]),
    ],
)
def test_the_link_loses_what_the_request_asks_for_and_nothing_of_other_connections(
    fault: bytes, lost: list[bool]
) -> None:
    """The request, a bare acknowledgement of the client, the answer, a bare acknowledgement of the server."""
    client, server = ("10.77.0.2", 40_000), ("10.77.0.4", 8080)

    def frame(source: tuple[str, int], target: tuple[str, int], payload: bytes, flags: int = 0x10) -> bytes:
        segment = layers.tcp(source, target, seq=1, ack=1, flags=flags, payload=payload)
        return layers.ethernet(layers.ip(source[0], target[0], layers.TCP, segment))

    request = b"GET / HTTP/1.1\r\n" + HEADER + fault + b"\r\n\r\n"
    link = FaultyLink()
    passed = [
        link.passes(frame(client, server, request), True),
        link.passes(frame(client, server, b""), True),
        link.passes(frame(server, client, b"HTTP/1.1 200 OK\r\n\r\n"), False),
        link.passes(frame(server, client, b""), False),
    ]
    assert [not each for each in passed] == lost
    assert link.passes(frame((client[0], 40_001), server, b"GET / HTTP/1.1\r\n\r\n"), True)
    other = (server[0], 8444)
    link.passes(frame(client, other, b"", flags=0x02), True)
    assert link.passes(frame(server, client, b"HTTP/1.1 200 OK\r\n\r\n"), False) is not lost[2], "a port used again"
