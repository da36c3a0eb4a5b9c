"""The whole capture command on real loopback traffic, checked with tshark."""

import contextlib
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "wiretrace", "capture"]
SECONDS = 20


@contextlib.contextmanager
def capturing(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``wiretrace capture`` on the loopback, wait until it listens, and make sure that it ends."""
    process = subprocess.Popen([*COMMAND, "-i", "lo", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"listening on lo"), process.stderr.read()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[bytes], number: int = signal.SIGINT) -> str:
    """Send a signal and return what the command printed on standard error after its first line."""
    process.send_signal(number)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    return errors.decode()


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    """A UDP socket that is connected to one that nobody reads: one packet a send, and no answer."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source,
    ):
        sink.bind(("127.0.0.1", 0))
        source.connect(sink.getsockname())
        yield source


def port_filter(sender: socket.socket) -> str:
    return f"udp dst port {sender.getpeername()[1]}"


def tshark_fields(path: Path, field: str) -> list[str]:
    result = subprocess.run(
        ["tshark", "-n", "-r", path, "-T", "fields", "-e", field], capture_output=True, timeout=SECONDS
    )
    return result.stdout.decode().split()


def test_every_packet_is_in_the_file_with_nanoseconds_and_the_summary_counts_them(tmp_path, sender):
    path = tmp_path / "lo.pcap"
    with capturing("-w", str(path), "-f", port_filter(sender)) as process:
        for number in range(500):
            sender.send(b"%d" % number)
        summary = ended(process)
    # The kernel counts a loopback packet on its way out and on its way in, for tcpdump too.
    assert summary == "500 packets captured\n1000 packets received by filter\n0 packets dropped by kernel\n"
    times = tshark_fields(path, "frame.time_epoch")
    assert len(times) == 500
    assert path.read_bytes()[:4] == bytes.fromhex("4d3cb2a1"), "the nanosecond magic, little-endian"
    assert any(not time.endswith("000") for time in times), "digits below the microsecond"


def test_sigterm_ends_as_well_and_packets_sent_just_before_are_kept(tmp_path, sender):
    path = tmp_path / "lo.pcap"
    with capturing("-w", str(path), port_filter(sender)) as process:
        sender.send(b"last")
        assert ended(process, signal.SIGTERM).startswith("1 packet captured\n2 packets received by filter\n")


def test_count_stops_at_exactly_that_many_packets(tmp_path, sender):
    path = tmp_path / "lo.pcap"
    with capturing("-w", str(path), "-c", "7", port_filter(sender)) as process:
        for _ in range(20):
            sender.send(b"x")
        assert process.wait(SECONDS) == 0
    assert len(tshark_fields(path, "frame.number")) == 7


def test_files_rotate_by_size_in_a_ring_and_lose_nothing(tmp_path, sender):
    with capturing("-w", str(tmp_path / "ring.pcap"), "-C", "100k", "-W", "3", port_filter(sender)) as process:
        for _ in range(1000):
            sender.send(bytes(984))
        summary = ended(process)
    assert summary.startswith("1000 packets captured")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert len(sizes) == 3
    numbers = sorted(int(re.fullmatch(r"ring-(\d{5})\.pcap", name)[1]) for name in sizes)
    assert numbers == [numbers[-1] - 2, numbers[-1] - 1, numbers[-1]]
    assert all(size <= 102_400 + 1042 for size in sizes.values()), "at most one packet beyond the size"
    assert sizes[f"ring-{numbers[0]:05d}.pcap"] >= 102_400


def test_rotated_files_together_hold_every_packet_once(tmp_path, sender):
    with capturing("-w", str(tmp_path / "all.pcap"), "-C", "400k", port_filter(sender)) as process:
        for number in range(1000):
            sender.send(b"%04d" % number + bytes(980))
        ended(process)
    payloads = [value for path in sorted(tmp_path.iterdir()) for value in tshark_fields(path, "data.data")]
    assert [bytes.fromhex(value)[:4] for value in payloads] == [b"%04d" % number for number in range(1000)]


def test_a_file_that_can_not_grow_ends_the_capture_with_one_clear_line(tmp_path, sender):
    """A file size limit stands in for a full disk: the C library notices both only when it writes."""
    with capturing("-w", str(tmp_path / "a.pcap"), port_filter(sender)) as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (50_000, 50_000))
        for _ in range(300):
            sender.send(bytes(984))
        assert process.wait(SECONDS) == 1
        assert b"the disk is full" in process.stderr.read()


def test_files_rotate_by_time(tmp_path, sender):
    with capturing("-w", str(tmp_path / "t.pcap"), "-G", "1", port_filter(sender)) as process:
        ticker = threading.Event()
        for _ in range(13):
            sender.send(b"tick")
            ticker.wait(0.1)
        ended(process)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[:2] == ["t-00001.pcap", "t-00002.pcap"]
    assert sum(len(tshark_fields(tmp_path / name, "frame.number")) for name in names) == 13


def test_standard_output_is_one_capture_file(tmp_path, sender):
    with capturing("-w", "-", "-c", "3", port_filter(sender)) as process:
        for _ in range(3):
            sender.send(b"x")
        output, _ = process.communicate(timeout=SECONDS)
    (tmp_path / "piped.pcap").write_bytes(output)
    assert len(tshark_fields(tmp_path / "piped.pcap", "frame.number")) == 3


def test_snapshot_length_cuts_packets_and_keeps_their_true_length(tmp_path, sender):
    path = tmp_path / "short.pcap"
    with capturing("-w", str(path), "-s", "60", "-c", "1", port_filter(sender)) as process:
        sender.send(bytes(500))
        assert process.wait(SECONDS) == 0
    assert tshark_fields(path, "frame.cap_len") == ["60"]
    assert tshark_fields(path, "frame.len") == ["542"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["-i", "nosuch0", "-w", "a.pcap"], 1, "no interface is named nosuch0"),
        (["-i", "lo", "-w", "a.pcap", "tcp prot 80"], 2, 'bad filter "tcp prot 80"'),
        (["-i", "lo", "-w", "missing/a.pcap"], 1, "there is no directory missing"),
        (["-i", "lo", "-w", "there.pcap"], 1, "exists already"),
        (["-i", "lo", "-w", "/proc/a.pcap"], 1, "can not write /proc/a.pcap"),
        (["-i", "lo", "-w", "a.pcap", "-C", "ten"], 2, '"ten" is not a size'),
        (["-i", "lo", "-w", "a.pcap", "-W", "2"], 2, "say with -C or -G"),
        (["-i", "lo", "-w", "a.pcap", "-f", "tcp", "udp"], 2, "not both"),
        (["-i", "lo"], 2, "Missing option '-w'"),
    ],
)
def test_what_is_wrong_is_told_in_one_clear_line(tmp_path, arguments, status, words):
    (tmp_path / "there.pcap").touch()
    result = subprocess.run([*COMMAND, *arguments], capture_output=True, cwd=tmp_path, timeout=SECONDS)
    assert result.returncode == status
    lines = [line for line in result.stderr.decode().splitlines() if line.startswith("wiretrace: ")]
    assert len(lines) == 1
    assert words in lines[0]


def test_a_user_without_the_capability_is_told_what_is_missing(tmp_path):
    result = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *COMMAND, "-i", "lo", "-w", str(tmp_path / "a.pcap")],
        capture_output=True,
        timeout=SECONDS,
    )
    assert result.returncode == 1
    assert "no permission to capture on lo" in result.stderr.decode()
