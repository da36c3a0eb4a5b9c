"""Capture files of the lab: recorded by ``wiretrace capture``, then freed of truth ids, and shifted in time where asked
for.

Rules of this file: files are classic pcap in the byte order of this machine, as libpcap writes them. Masking and
shifting change bytes in place and no length. `leaks` proves the masking by looking for every id of the truth in
every byte of a file.
"""

import mmap
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.lab.network import Network
from tests.lab.truth import HEADER, ID_LENGTH, now_ns

CAPTURE = [sys.executable, "-c", "from wiretrace.cli.capture import command; command()"]
NANOSECOND_MAGIC = 0xA1B23C4D
FILE_HEADER, RECORD_HEADER = 24, 16
SECONDS_TO_END = 20
HALF_ID = ID_LENGTH // 2
_MARKED_ID = re.compile(rb"(?i)(" + HEADER.encode() + rb": )([0-9a-f]{1," + str(ID_LENGTH).encode() + rb"})")
_HEXADECIMAL_RUN = re.compile(rb"[0-9a-f]{%d,}" % HALF_ID)


class Counts(NamedTuple):
    """What a capture counted."""

    captured: int
    received: int
    dropped: int


class Recording:
    """Captures that are running."""

    def __init__(self, network: Network, buffer_kib: int = 65_536) -> None:
        self._network = network
        self._buffer_kib = buffer_kib
        self.began_ns = 0
        self._running: list[tuple[Path, subprocess.Popen[bytes]]] = []

    def start(self, host: str, interface: str, path: Path, snaplen: int, expression: str = "") -> None:
        """Record an interface of a host; returns at once."""
        command = [*CAPTURE, "-i", interface, "-w", str(path), "-s", str(snaplen), "-B", str(self._buffer_kib), "-n"]
        command += ["-f", expression] if expression else []
        self._running.append((path, self._network.start(host, command, stderr=subprocess.PIPE)))

    def wait_until_listening(self) -> None:
        """Wait until every capture records, and note when that was."""
        for path, process in self._running:
            assert process.stderr is not None
            line = process.stderr.readline()
            if not line.startswith(b"listening on"):
                raise RuntimeError(f"{path.name} is not recorded: {(line + process.stderr.read()).decode()}")
        self.began_ns = now_ns()

    def stop(self) -> dict[str, Counts]:
        """End the captures and return the counts of each file."""
        for _, process in self._running:
            process.send_signal(signal.SIGINT)
        counts = {}
        for path, process in self._running:
            _, errors = process.communicate(timeout=SECONDS_TO_END)
            numbers = re.findall(r"^(\d+) packets? ", errors.decode(), re.MULTILINE)
            if process.returncode or len(numbers) != 3:
                raise RuntimeError(f"{path.name} was not recorded to the end: {errors.decode()}")
            counts[path.name] = Counts(*map(int, numbers))
        return counts


def mask(path: Path) -> int:
    """Overwrite the ids in the lab's header with zeros of equal length; return how many there were."""
    count = 0
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        for match in _MARKED_ID.finditer(data):
            start, end = match.span(2)
            data[start:end] = b"0" * (end - start)
            count += 1
    return count


def leaks(path: Path, ids: set[str]) -> list[str]:
    """Return the ids of which the file holds the first or the last half."""
    halves = {identifier[:HALF_ID].encode(): identifier for identifier in ids}
    halves |= {identifier[-HALF_ID:].encode(): identifier for identifier in ids}
    found = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in _HEXADECIMAL_RUN.finditer(data):
            run = match[0]
            windows = (run[at : at + HALF_ID] for at in range(len(run) - HALF_ID + 1))
            found += [halves[window] for window in windows if window in halves]
    return found


def shift_clock(path: Path, offset_seconds: float, drift_ppm: float) -> None:
    """Rewrite the time stamps as a clock would have stamped that is ahead by the offset and gains by the drift."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        if struct.unpack_from("<I", data)[0] != NANOSECOND_MAGIC:
            raise ValueError(f"{path.name} is not a little-endian nanosecond capture")
        at, first = FILE_HEADER, None
        while at + RECORD_HEADER <= len(data):
            seconds, nanoseconds, size = struct.unpack_from("<III", data, at)
            true = seconds * 1_000_000_000 + nanoseconds
            first = true if first is None else first
            shifted = true + round(offset_seconds * 1e9) + round((true - first) * drift_ppm / 1e6)
            struct.pack_into("<II", data, at, *divmod(shifted, 1_000_000_000))
            at += RECORD_HEADER + size
