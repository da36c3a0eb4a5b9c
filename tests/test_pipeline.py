"""The whole way: equal captures give equal tables, whoever does the work."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.captures import TcpConversation, write_pcap

from wiretrace.model.analysis import Analysis, unexplained_bytes
from wiretrace.model.errors import UserError
from wiretrace.model.progress import NoProgress
from wiretrace.model.settings import Settings
from wiretrace.model.side import Side
from wiretrace.pipeline import analyze

SHOP = Path(__file__).parent.parent / "pcaps" / "shop"
CAPTURES = [SHOP / "client.pcap", SHOP / "cache1.pcap.gz"]


@pytest.fixture(scope="module")
def in_this_process() -> Analysis:
    return analyze(CAPTURES, Settings(jobs=1), NoProgress())


def test_worker_processes_change_nothing(in_this_process: Analysis) -> None:
    in_two = analyze(CAPTURES, Settings(jobs=2), NoProgress())
    assert in_two.tables == in_this_process.tables
    assert in_two.accounting == in_this_process.accounting
    assert in_two.inputs == in_this_process.inputs


def test_any_executor_does(in_this_process: Analysis) -> None:
    """The seam is `concurrent.futures.Executor`: here one of threads, elsewhere one of a cluster."""
    in_threads = analyze(CAPTURES, Settings(), NoProgress(), ThreadPoolExecutor(2))
    assert in_threads.tables == in_this_process.tables


def test_every_byte_is_accounted_for(in_this_process: Analysis) -> None:
    assert unexplained_bytes(in_this_process.accounting) == 0


def test_a_request_and_what_it_caused_are_one_tree(tmp_path: Path) -> None:
    """A proxy passes a request on: two calls, one the parent of the other."""
    asked = TcpConversation(("10.0.0.1", 40000), ("10.0.0.2", 80)).open()
    passed_on = TcpConversation(("10.0.0.2", 50000), ("10.0.0.3", 8080), start_ns=asked.now_ns + 300_000).open()
    request, answer = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"
    asked.send(Side.CLIENT, request).wait(2_000_000).send(Side.SERVER, answer)
    passed_on.send(Side.CLIENT, request).send(Side.SERVER, answer)
    capture = write_pcap(tmp_path / "proxy.pcap", sorted(asked.packets + passed_on.packets))
    tables = analyze([capture], Settings(jobs=1), NoProgress()).tables
    calls = {call["server_address"]: call for call in tables["calls"].to_pylist()}
    assert tables["trees"]["tree"].to_pylist() == [calls["10.0.0.2"]["id"]]
    assert calls["10.0.0.3"]["parent"] == calls["10.0.0.2"]["id"]


def test_what_is_no_capture_is_an_error_for_the_user(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not packets")
    with pytest.raises(UserError):
        analyze([tmp_path / "notes.txt"], Settings(jobs=1), NoProgress())
