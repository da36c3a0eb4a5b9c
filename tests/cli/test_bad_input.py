"""What goes wrong around wiretrace is one line that says what and what to do, and leaves nothing half-written.

Everything runs as users run it: the real command, as a process of its own, on real captures.
"""

from __future__ import annotations

import gzip
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.captures import TcpConversation, write_pcap
from tests.support.command_line import COMMAND_SECONDS, PROGRAM, environment, run, run_on_terminal

from wiretrace.case.reader import Case
from wiretrace.model.note import NoteKind
from wiretrace.model.side import Side

if TYPE_CHECKING:
    from collections.abc import Iterator

AS_ROOT = os.geteuid() == 0
TINY = 32 * 1024
"""Bytes of a file system that is too small."""


def write_capture(path: Path, requests: int = 20, port: int = 40000) -> Path:
    conversation = TcpConversation(client=("10.0.0.1", port)).open()
    for number in range(requests):
        conversation.send(Side.CLIENT, b"GET /orders/%d HTTP/1.1\r\nHost: shop\r\n\r\n" % number)
        conversation.send(Side.SERVER, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return write_pcap(path, conversation.close().packets)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("captures") / "web1.pcap")


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two captures whose spool, case and outputs exceed a tiny file system."""
    folder = tmp_path_factory.mktemp("big")
    for number in (1, 2):
        write_capture(folder / f"web{number}.pcap", 1500, 40000 + number)
    return folder


@pytest.fixture(scope="module")
def stored(big: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "big.case"
    assert run(["analyze", big, "--jobs", "1", "-o", path]).returncode == 0
    return path


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of TINY bytes. Mounting needs root, as the laboratory does."""
    path = tmp_path / "tiny"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TINY}", "wiretrace-test", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def complaint(result: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """The one line on standard error."""
    assert result.returncode == status, result.stderr
    assert re.fullmatch(r"wiretrace: [^\n]+\n", result.stderr), result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr[len("wiretrace: ") : -1]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.rglob("*"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty. Give a capture file"),
        (b"just some notes\n" * 10, "not a capture. Give a pcap or pcapng file"),
        (b"\xd4\xc3\xb2\xa1\x02", "not a capture. Give a pcap or pcapng file"),
        (gzip.compress(b"just some notes", mtime=0), "not a capture. Give a pcap or pcapng file"),
    ],
    ids=["empty", "text", "cut", "compressed text"],
)
def test_a_file_that_is_no_capture(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "odd.bin").write_bytes(content)
    assert words in complaint(run(["analyze", "odd.bin", "-o", "a.case"], cwd=tmp_path))
    assert names(tmp_path) == ["odd.bin"]


def test_a_folder_without_captures_and_a_path_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "no captures in this folder. Give a folder" in complaint(run(["analyze", "folder"], cwd=tmp_path))
    assert "there is no such file. Give a capture" in complaint(run(["analyze", "missing.pcap"], cwd=tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "not a plain file. Give a capture file" in complaint(run(["analyze", "pipe"], cwd=tmp_path))


def test_a_file_that_is_being_written_is_read_up_to_its_end(capture: Path, tmp_path: Path) -> None:
    """Half a record at the end is a note; the calls before it are there."""
    (tmp_path / "live.pcap").write_bytes(capture.read_bytes()[:-30])
    result = run(["analyze", "live.pcap", "-o", "a.case"], cwd=tmp_path)
    assert result.returncode == 0
    assert "The file ends inside a record" in " ".join(result.stdout.split())
    assert len(Case.open(tmp_path / "a.case").table("calls")) == 20


def test_a_damaged_capture_is_read_up_to_and_after_the_damage(capture: Path, tmp_path: Path) -> None:
    content = bytearray(capture.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 700] = b"\xff" * 700
    (tmp_path / "damaged.pcap").write_bytes(content)
    result = run(["analyze", "damaged.pcap", "-o", "a.case"], cwd=tmp_path)
    assert result.returncode == 0
    case = Case.open(tmp_path / "a.case")
    assert NoteKind.FILE_DAMAGED in case.table("notes").column("kind").to_pylist()
    asked = [call["summary"] for call in case.table("calls").to_pylist()]
    assert "GET /orders/0" in asked
    assert "GET /orders/19" in asked


def test_a_compressed_capture_that_was_cut_is_read_as_far_as_it_goes(capture: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.pcap.gz").write_bytes(gzip.compress(capture.read_bytes())[:-40])
    result = run(["analyze", "cut.pcap.gz", "-o", "a.case"], cwd=tmp_path)
    assert result.returncode == 0
    assert len(Case.open(tmp_path / "a.case").table("calls")) > 0
    assert "file_truncated" in Case.open(tmp_path / "a.case").table("notes").column("kind").to_pylist()


def run_without_privileges(arguments: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that may read and write only what the modes of files allow, which root may otherwise ignore."""
    prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if AS_ROOT else []
    return subprocess.run(
        [*prefix, sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        env=environment(),
        cwd=folder,
        check=False,
    )


def test_what_may_not_be_read_or_written(capture: Path, tmp_path: Path) -> None:
    shutil.copy(capture, tmp_path / "secret.pcap")
    (tmp_path / "secret.pcap").chmod(0)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    found = complaint(run_without_privileges(["analyze", "secret.pcap"], tmp_path))
    assert found == "secret.pcap: can not be read (Permission denied). Check that it is there and that you may read it."
    for option in ("-o", "--html", "--json", "--jsonl"):
        found = complaint(run_without_privileges(["analyze", capture, option, "closed/out"], tmp_path))
        assert "you may not write in" in found
        assert found.endswith("give another name")
    assert names(closed) == []


@pytest.mark.parametrize("option", ["--html", "--json", "-o"])
def test_a_name_that_can_not_be_written_is_refused_before_the_work(capture: Path, tmp_path: Path, option: str) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    for name in ("folder", "file/out"):
        found = complaint(run(["analyze", capture, option, name], cwd=tmp_path))
        assert re.search("is a directory|not a directory|something that is not a case", found)
    assert names(tmp_path) == ["file", "folder", "inner"]
    assert (tmp_path / "file").read_text() == "mine"


def test_names_that_are_no_utf_8_are_told_or_refused(capture: Path, tmp_path: Path) -> None:
    """A capture may have such a name, a case may not, and no call has such an id."""
    odd = os.fsdecode(b"a\xff")
    shutil.copy(capture, tmp_path / odd)
    assert run(["analyze", odd, "-o", "a.case", "--html", odd + ".html"], cwd=tmp_path).returncode == 0
    assert Case.open(tmp_path / "a.case").table("captures").column("capture").to_pylist() == ["a\\xff"]
    assert "give another name" in complaint(run(["analyze", odd, "-o", odd + ".case"], cwd=tmp_path))
    assert "there is no call" in complaint(run(["show", "a.case", odd], cwd=tmp_path))


def test_missing_folders_of_outputs_are_made(capture: Path, tmp_path: Path) -> None:
    result = run(["analyze", capture, "-o", "a/a.case", "--html", "b/a.html", "--json", "c/d/a.json"], cwd=tmp_path)
    assert result.returncode == 0
    assert (tmp_path / "b" / "a.html").read_text().startswith("<!doctype html>")


def test_a_case_that_is_there_stays_as_it_is(capture: Path, tmp_path: Path) -> None:
    assert run(["analyze", capture, "-o", "a.case"], cwd=tmp_path).returncode == 0
    before = {entry.name: entry.read_bytes() for entry in (tmp_path / "a.case").iterdir()}
    found = complaint(run(["analyze", capture, "-o", "a.case"], cwd=tmp_path))
    assert found == "a.case: a case is already there; give --overwrite to replace it, or another name"
    assert {entry.name: entry.read_bytes() for entry in (tmp_path / "a.case").iterdir()} == before


@pytest.mark.parametrize("command", [["show"], ["report", "-o", "x.html"], ["query"], ["export", "--format", "json"]])
def test_a_case_that_is_none(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"no case")
    more = ["SELECT 1"] if command[0] == "query" else []
    kinds = (("folder", "not a case"), ("file", "not a case"), ("missing", "no such case"))
    for name, words in kinds if command == ["show"] else kinds[:1]:
        assert words in complaint(run([command[0], name, *more, *command[1:]], cwd=tmp_path))
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", "a.pcap", "--jobs", "0"],
        ["analyze", "a.pcap", "--jobs", "many"],
        ["analyze", "a.pcap", "--nonsense"],
        ["analyze"],
        ["nonsense"],
        ["show", "a.case", "--limit", "-1"],
        ["query", "a.case", "SELECT 1", "--format", "xml"],
        ["export", "a.case", "--format", "\x1b[31mxml"],
        ["capture", "-w", "x.pcap"],
        ["capture", "-i", "lo", "-w", "x.pcap", "-W", "3"],
    ],
)
def test_a_command_line_that_means_nothing_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    found = complaint(run(arguments, cwd=tmp_path), status=2)
    assert "--help' tells more." in found
    assert "\x1b" not in found
    assert names(tmp_path) == []


def test_capturing_complains_as_every_command_does(tmp_path: Path) -> None:
    found = complaint(run(["capture", "-i", "nosuchinterface0", "-w", "x.pcap"], cwd=tmp_path))
    assert "nosuchinterface0" in found
    assert "no directory" in complaint(run(["capture", "-i", "lo", "-w", "no/x.pcap"], cwd=tmp_path))
    assert names(tmp_path) == []


@pytest.mark.lab
@pytest.mark.parametrize("option", ["-o", "--html", "--jsonl"])
def test_a_full_disk_leaves_nothing_half_written(big: Path, tiny_disk: Path, option: str) -> None:
    found = complaint(run(["analyze", big, "--jobs", "1", option, tiny_disk / "out"]))
    assert found.startswith(f"{tiny_disk / 'out'}: ")
    assert "no space is left on the device; make room" in found
    assert names(tiny_disk) == []


@pytest.mark.lab
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_no_room_for_temporary_files(big: Path, tiny_disk: Path, tmp_path: Path, jobs: str) -> None:
    result = run(["analyze", big, "--jobs", jobs, "-o", tmp_path / "a.case"], more={"TMPDIR": str(tiny_disk)})
    found = complaint(result)
    assert found.startswith(f"{tiny_disk}: temporary files can not be written: No space left on device; set TMPDIR")
    assert names(tiny_disk) == []
    assert not (tmp_path / "a.case").exists()


@pytest.mark.parametrize("option", ["-o", "--html", "--jsonl"])
def test_a_file_that_may_not_grow_leaves_nothing_half_written(
    big: Path, stored: Path, tmp_path: Path, option: str
) -> None:
    """With a limit on the size of files (ulimit -f) instead of a full disk."""
    out = tmp_path / "out" / "file"
    command = {
        "-o": ["analyze", big, "--jobs", "1", "-o"],
        "--html": ["report", stored, "-o"],
        "--jsonl": ["export", stored, "--format", "jsonl", "-o"],
    }[option]
    limit = 8_000

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    assert "File too large" in complaint(run([*command, out], preexec_fn=limited))
    assert names(tmp_path) in ([], ["out"])


def children_of(pid: int) -> list[int]:
    """Processes that a process started and that still run."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def start_analysis(captures: Path, folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Start an analysis in two workers; returns it when they are at work, with what it started."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "analyze", str(captures), "--jobs", "2", "-o", str(folder / "a.case")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment({"TMPDIR": str(folder)}),
        start_new_session=True,
    )
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        children = children_of(process.pid)
        if len(children) >= 3 and list(folder.glob("wiretrace-*/*.arrow")):
            return process, children
        time.sleep(0.01)
    process.kill()
    raise AssertionError(process.communicate())


def workers_among(children: list[int]) -> list[int]:
    return [pid for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def all_gone(pids: list[int]) -> bool:
    """Whether processes end within a few seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, big: Path) -> Path:
    """A folder of captures that take seconds to read."""
    folder = tmp_path_factory.mktemp("long")
    header, packets = 24, [(big / f"web{number}.pcap").read_bytes() for number in (1, 2)]
    for number, content in enumerate(packets):
        (folder / f"web{number}.pcap").write_bytes(content[:header] + content[header:] * 40)
    return folder


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_nothing_behind(long: Path, tmp_path: Path, number: signal.Signals, status: int) -> None:
    """Sent to the whole group of processes, as a terminal does: no file, no worker, no traceback."""
    process, children = start_analysis(long, tmp_path)
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=COMMAND_SECONDS)
    assert (process.returncode, output, errors.strip()) == (status, "", "")
    assert all_gone(children)
    assert names(tmp_path) == []


def test_a_worker_that_is_killed_is_one_line(long: Path, tmp_path: Path) -> None:
    """As the kernel does where memory is short."""
    process, children = start_analysis(long, tmp_path)
    os.kill(workers_among(children)[0], signal.SIGKILL)
    output, errors = process.communicate(timeout=COMMAND_SECONDS)
    assert (process.returncode, output) == (1, "")
    assert re.fullmatch(r"wiretrace: a worker process was killed, perhaps for want of memory; give [^\n]+\n", errors)
    assert all_gone(children)
    assert names(tmp_path) == []


def test_a_capture_that_vanishes_is_one_line(capture: Path, tmp_path: Path) -> None:
    """Deleted by a rotation after the folder was searched."""
    program = (
        "import wiretrace.pipeline as pipeline, sys\n"
        "search = pipeline.find_captures\n"
        "def search_and_delete(*given):\n"
        "    found = search(*given)\n"
        "    found[0].paths[0].unlink()\n"
        "    return found\n"
        "pipeline.find_captures = search_and_delete\n" + PROGRAM
    )
    for number in (1, 2):
        shutil.copy(capture, tmp_path / f"web{number}.pcap")
    result = subprocess.run(
        [sys.executable, "-c", program, "analyze", str(tmp_path), "-o", str(tmp_path / "a.case")],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert "web1.pcap: can not be read (No such file or directory)" in complaint(result)
    assert names(tmp_path) == ["web2.pcap"]


def test_a_narrow_terminal_still_gets_every_name(capture: Path) -> None:
    result = run(["analyze", capture], more={"COLUMNS": "40"})
    assert result.returncode == 0
    commands = [line for line in result.stdout.splitlines() if line.startswith("  wiretrace ")]
    widest = max(len(line) for line in result.stdout.splitlines() if line not in commands)
    assert widest <= 40
    assert "What takes time\n requests    median       p95   longest\n  GET /orders/{id} (shop)\n" in result.stdout


def test_no_color_means_none(capture: Path) -> None:
    coloured = run_on_terminal(["analyze", capture])
    plain = run_on_terminal(["analyze", capture], more={"NO_COLOR": "1"})
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", coloured)
    assert not re.search(r"\x1b\[(?:[0-9;]*;)?[349][0-9]m", plain)


def test_a_reader_that_goes_away_gets_no_complaint(capture: Path, tmp_path: Path) -> None:
    """wiretrace analyze ... | head -1"""
    command = f"{sys.executable} -c '{PROGRAM}' analyze {capture} --jsonl - | head -c 1"
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment(), timeout=COMMAND_SECONDS, check=False
    )
    assert (result.stdout, result.stderr) == ("{", "")
