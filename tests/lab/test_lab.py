"""The lab itself: what it records is whole, its truth is complete and nowhere on the wire, and it leaves nothing behind."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.lab import topology
from tests.lab.load import record_load
from tests.lab.recording import leaks
from tests.lab.run import LabOptions, record_lab
from tests.lab.score import read_truth
from tests.support.cases import analyzed
from tests.support.command_line import COMMAND_SECONDS

from wiretrace.model.settings import Settings

pytestmark = pytest.mark.lab
REQUESTS = 60


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One small run that the tests of this module look at."""
    out = tmp_path_factory.mktemp("lab")
    record_lab(LabOptions(out, requests=REQUESTS, concurrency=4, clocks={"maria1": (2.0, 0.0)}))
    return out


def fields(capture: Path, display_filter: str, *names: str) -> list[list[str]]:
    command = ["tshark", "-n", "-r", str(capture), "-Y", display_filter, "-T", "fields"]
    command += [word for name in names for word in ("-e", name)]
    output = subprocess.run(command, capture_output=True, check=True, timeout=COMMAND_SECONDS).stdout.decode()
    return [line.split("\t") for line in output.splitlines()]


def test_every_host_has_a_capture_without_drops_that_wireshark_reads_to_the_end(lab):
    summary = json.loads((lab / "lab.json").read_text())
    assert set(summary["captures"]) == {f"{host}.pcap" for host in topology.HOSTS}
    table = _output("capinfos", "-T", "-M", "-r", "-c", *(str(lab / name) for name in summary["captures"]))
    packets = {Path(name).name: int(count) for name, count in (line.split("\t") for line in table.splitlines())}
    assert packets == {name: counts["captured"] for name, counts in summary["captures"].items()}
    assert all(packets.values())
    assert not any(counts["dropped"] for counts in summary["captures"].values())


def test_the_truth_is_complete_trees_of_requests_that_were_answered(lab):
    calls = read_truth(lab / "truth.jsonl")
    by_id = {call.id: call for call in calls}
    roots = [call for call in calls if call.caller == "client"]
    assert len(roots) == REQUESTS
    assert all(call.parent in by_id for call in calls if not call.setup and call.caller != "client")
    assert {call.parent for call in calls if call.caller == "web"} == {root.id for root in roots}
    assert all(call.parent is None for call in calls if call.setup)
    assert {call.protocol for call in calls} == {"http", "postgresql", "mysql", "redis", "memcached"}
    assert set(json.loads((lab / "lab.json").read_text())["statuses"]) <= {"200", "201"}


def test_no_id_of_the_truth_is_in_any_capture(lab):
    ids = {call.id for call in read_truth(lab / "truth.jsonl")}
    for host in topology.HOSTS:
        assert leaks(lab / f"{host}.pcap", ids) == []
    assert re.search(rb"X-Lab-Truth: 0{32}\r\n", (lab / "web1.pcap").read_bytes())


def test_every_request_on_the_wire_lies_in_a_truth_interval_of_its_connection(lab):
    calls = [call for call in read_truth(lab / "truth.jsonl") if call.caller in ("client", "shop")]
    sent = fields(lab / "client.pcap", "http.request", "tcp.srcport", "frame.time_epoch")
    sent += fields(lab / "shop1.pcap", "http.request && tcp.dstport != 8080", "tcp.srcport", "frame.time_epoch")
    http = [call for call in calls if call.protocol == "http"]
    assert len(sent) == len(http)
    for port, time_text in sent:
        seconds, _, fraction = time_text.partition(".")
        at = int(seconds) * 10**9 + int(fraction)
        assert sum(call.client.port == int(port) and call.start_ns <= at <= call.end_ns for call in http) == 1


def test_only_the_host_with_another_clock_is_shifted(lab):
    start = min(call.start_ns for call in read_truth(lab / "truth.jsonl")) / 1e9
    first = {name: float(fields(lab / f"{name}.pcap", "tcp", "frame.time_epoch")[0][0]) for name in ("maria1", "pg1")}
    assert 2 <= first["maria1"] - start < 5
    assert 0 <= first["pg1"] - start < 3


def test_midway_on_a_lossy_link_in_one_file(tmp_path):
    """Connections are already open, packets are retransmitted, and the truth begins with the recording."""
    summary = record_lab(
        LabOptions(tmp_path, requests=40, concurrency=8, loss_percent=2, delay_ms=0.2, midway=True, record="bridge")
    )
    assert list(summary["captures"]) == ["all.pcap"]
    assert fields(tmp_path / "all.pcap", "tcp.analysis.retransmission", "frame.number")
    to_shop = set(map(tuple, fields(tmp_path / "all.pcap", "tcp.dstport == 8080 && tcp.len > 0", "tcp.srcport")))
    opened = set(map(tuple, fields(tmp_path / "all.pcap", "tcp.dstport == 8080 && tcp.flags.syn == 1", "tcp.srcport")))
    assert to_shop - opened, "nginx uses connections from before the recording"
    calls = read_truth(tmp_path / "truth.jsonl")
    assert sum(call.caller == "client" for call in calls) == 40


def test_a_link_that_loses_packets_is_found_and_its_host_is_named(tmp_path):
    """From the captures of all hosts: what left its sender and never arrived was lost at shop1's link, both ways."""
    record_lab(LabOptions(tmp_path, requests=200, concurrency=8, loss_percent=3))
    (finding,) = packet_losses(tmp_path)
    assert (finding["component_kind"], finding["component"]) == ("host", "shop1")
    assert finding["severity"] != "info"
    assert "Segments to and from host shop1 are lost on the way" in finding["title"]
    assert "On all other ways it is 0 of " in finding["detail"]


def test_without_loss_none_is_found(lab, tmp_path):
    """Also where a recorder missed packets itself: their bytes were acknowledged, and nobody sent them again."""
    assert packet_losses(lab) == []
    for capture in lab.glob("*.pcap"):
        (tmp_path / capture.name).write_bytes(capture.read_bytes())
    forget_packets(tmp_path / "shop1.pcap", every=40)
    assert packet_losses(tmp_path) == []


def packet_losses(captures: Path) -> list[dict[str, Any]]:
    """The findings about lost packets in a folder of captures."""
    case = analyzed(captures / "a.case", sorted(captures.glob("*.pcap")), Settings(jobs=1))
    return [row for row in case.table("findings").to_pylist() if row["code"] == "packet-loss"]


def forget_packets(capture: Path, every: int) -> None:
    """Take one in so many packets out of a capture file, as a recorder does that can not keep up."""
    data = capture.read_bytes()
    kept, at, number = [data[:24]], 24, 0
    while at < len(data):
        end = at + 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        number += 1
        if number % every:
            kept.append(data[at:end])
        at = end
    capture.write_bytes(b"".join(kept))


def test_an_interrupted_run_leaves_no_namespace_and_no_process(tmp_path):
    lab = subprocess.Popen(
        [sys.executable, "-m", "tests.lab", "--out", str(tmp_path), "--requests", "100000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    mine = f"wtlab-{lab.pid}-"
    deadline = time.monotonic() + 30
    while not (tmp_path / "client.pcap").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    names = [line.split()[0] for line in _output("ip", "netns", "list").splitlines() if line.startswith(mine)]
    processes = {pid for name in names for pid in _output("ip", "netns", "pids", name).split()}
    assert len(names) == len(topology.HOSTS) + 1
    assert len(processes) > 6
    lab.send_signal(signal.SIGINT)
    assert lab.wait(20) != 0
    assert mine not in _output("ip", "netns", "list")
    assert [pid for pid in processes if Path(f"/proc/{pid}/exe").exists()] == []


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, check=True, timeout=20).stdout.decode()


def test_a_load_repeats_its_nonces_and_lists_them_in_order(tmp_path):
    record_load("redis", exchanges=400, connections=2, out=tmp_path, seed=1)
    lines = [json.loads(line) for line in (tmp_path / "load-redis.truth.jsonl").read_text().splitlines()]
    assert sorted(line["variant"] for line in lines) == ["one-by-one", "one-by-one", "pipelined", "pipelined"]
    assert sum(len(line["nonces"]) for line in lines) == 400
    data = (tmp_path / "load-redis.pcap").read_bytes()
    assert all(data.count(nonce.encode()) == 2 for line in lines for nonce in line["nonces"])
