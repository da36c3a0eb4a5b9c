"""The whole way: equal captures give equal cases, whoever does the work, and in however many stretches."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.captures import TcpConversation, write_pcap
from tests.support.cases import analyzed

from wiretrace.case.reader import Case
from wiretrace.model.analysis import unexplained_bytes
from wiretrace.model.errors import UserError
from wiretrace.model.limits import Limits
from wiretrace.model.settings import Settings
from wiretrace.model.side import Side
from wiretrace.model.tables import TABLES

SHOP = Path(__file__).parent.parent / "pcaps" / "shop"
CAPTURES = [SHOP / "client.pcap", SHOP / "cache1.pcap.gz"]
IN_STRETCHES = Limits(stretch_exchanges=1000)


@pytest.fixture(scope="module")
def in_this_process(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return analyzed(tmp_path_factory.mktemp("whole") / "a.case", CAPTURES, Settings(jobs=1))


def assert_same(one: Case, other: Case) -> None:
    """Both cases hold the same, byte for byte."""
    for name in [*(f"{table}.parquet" for table in TABLES), "manifest.json"]:
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes(), name


def test_worker_processes_change_nothing(in_this_process: Case, tmp_path: Path) -> None:
    assert_same(analyzed(tmp_path / "a.case", CAPTURES, Settings(jobs=2)), in_this_process)


def test_any_executor_does(in_this_process: Case, tmp_path: Path) -> None:
    """The seam is `concurrent.futures.Executor`: here one of threads, elsewhere one of a cluster."""
    assert_same(analyzed(tmp_path / "a.case", CAPTURES, Settings(), ThreadPoolExecutor(2)), in_this_process)


def test_every_byte_is_accounted_for(in_this_process: Case) -> None:
    assert unexplained_bytes(in_this_process.manifest.accounting) == 0


def test_stretches_have_the_calls_of_the_whole_and_nearly_all_of_its_links(tmp_path: Path) -> None:
    """Every call once, none twice, with the same times; parents across the cuts are found."""
    captures = sorted(SHOP.glob("*.pcap*"))
    whole = analyzed(tmp_path / "whole.case", captures, Settings(jobs=1)).table("calls").to_pylist()
    cut = analyzed(tmp_path / "cut.case", captures, Settings(jobs=1, limits=IN_STRETCHES)).table("calls").to_pylist()
    linked = ("tree", "parent", "basis", "confidence", "question", "self_ns")
    plain = [{name: value for name, value in call.items() if name not in linked} for call in whole]
    assert [{name: value for name, value in call.items() if name not in linked} for call in cut] == plain
    same = sum(one["parent"] == other["parent"] for one, other in zip(whole, cut, strict=True))
    assert same >= 0.97 * len(whole)


def test_the_number_of_workers_changes_nothing_in_stretches_either(tmp_path: Path) -> None:
    one = analyzed(tmp_path / "one.case", CAPTURES, Settings(jobs=1, limits=IN_STRETCHES))
    two = analyzed(tmp_path / "two.case", CAPTURES, Settings(jobs=2, limits=IN_STRETCHES))
    assert_same(one, two)


def test_a_request_and_what_it_caused_are_one_tree(tmp_path: Path) -> None:
    """A proxy passes a request on: two calls, one the parent of the other."""
    asked = TcpConversation(("10.0.0.1", 40000), ("10.0.0.2", 80)).open()
    passed_on = TcpConversation(("10.0.0.2", 50000), ("10.0.0.3", 8080), start_ns=asked.now_ns + 300_000).open()
    request, answer = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"
    asked.send(Side.CLIENT, request).wait(2_000_000).send(Side.SERVER, answer)
    passed_on.send(Side.CLIENT, request).send(Side.SERVER, answer)
    capture = write_pcap(tmp_path / "proxy.pcap", sorted(asked.packets + passed_on.packets))
    case = analyzed(tmp_path / "a.case", [capture], Settings(jobs=1))
    calls = {call["server_address"]: call for call in case.table("calls").to_pylist()}
    assert case.table("trees")["tree"].to_pylist() == [calls["10.0.0.2"]["id"]]
    assert calls["10.0.0.3"]["parent"] == calls["10.0.0.2"]["id"]


def test_what_is_no_capture_is_an_error_for_the_user(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not packets")
    with pytest.raises(UserError):
        analyzed(tmp_path / "a.case", [tmp_path / "notes.txt"], Settings(jobs=1))
    assert not (tmp_path / "a.case").exists()
