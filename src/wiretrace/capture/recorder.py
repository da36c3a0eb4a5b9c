"""The capture loop: wait until packets are there, let libpcap write them, rotate, and say at the end what was counted.

Rules of this file: libpcap is in non-blocking mode and the wait is `select`, because `pcap_dispatch` can block for ever on
an idle interface. A signal ends the wait through a pipe. What the kernel still holds at the end is written to the file too.
"""

import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from types import FrameType

from wiretrace.capture.libpcap import DumpFile, LiveCapture
from wiretrace.capture.rotation import Rotation

KERNEL_HOLDS_MS = 100
"""Longest time the kernel keeps packets back to hand over many at once."""
DRAIN_SECONDS = 3.0
"""Longest time after the signal in which packets are still written, on an interface that never falls silent."""
FLUSH_SECONDS = 1.0
"""Longest time that packets stay in memory before they are written to the file."""
PACKETS_AT_ONCE = 4096
"""Most packets written between two looks at the file's size and age."""
LARGEST_PACKET = 65_536 + 16
"""Bytes that one packet adds to a file at most: 64 KiB with segmentation offload, and 16 of record header."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a capture counted, in packets."""

    captured: int
    received: int
    dropped: int

    def __str__(self) -> str:
        return (
            f"{_packets(self.captured)} captured\n"
            f"{_packets(self.received)} received by filter\n"
            f"{_packets(self.dropped)} dropped by kernel"
        )


class StopSignal:
    """SIGINT and SIGTERM, noticed by `select`; a context manager that puts the former handlers back."""

    def __init__(self) -> None:
        self.received = False
        self.reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def _notice(self, _number: int, _frame: FrameType | None) -> None:
        self.received = True

    def __enter__(self) -> "StopSignal":
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._former = {number: signal.signal(number, self._notice) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self.reader)
        os.close(self._writer)


def record(capture: LiveCapture, rotation: Rotation, packets: int | None, flush_always: bool) -> Summary:
    """Write packets to the files of ``rotation`` until ``packets`` are written or a signal comes, and return the counters.

    Raises `UserError` where a file can not be written or the interface goes away.
    """
    with StopSignal() as stop:
        file = capture.open_file(rotation.begin_file(time.time()))
        loop = _Loop(capture, rotation, packets, flush_always, file)
        try:
            print(f"listening on {capture.interface}, link-type {capture.link_type}", file=sys.stderr, flush=True)
            while not stop.received and not loop.done:
                select.select([capture.fileno(), stop.reader], [], [], loop.next_duty())
                loop.turn()
            _drain(capture, loop)
        finally:
            loop.file.close()
    received, dropped = capture.counters()
    return Summary(loop.captured, received, dropped)


def _drain(capture: LiveCapture, loop: "_Loop") -> None:
    """Write what the kernel held when the signal came: until nothing waits, or for ever new packets `DRAIN_SECONDS`."""
    stopped = time.monotonic()
    while not loop.done and time.monotonic() - stopped < DRAIN_SECONDS:
        select.select([capture.fileno()], [], [], KERNEL_HOLDS_MS / 1000)
        before = loop.captured
        loop.turn()
        if loop.captured == before and time.monotonic() - stopped > 2 * KERNEL_HOLDS_MS / 1000:
            return


class _Loop:
    """The open file of a running capture and what falls due on it."""

    def __init__(
        self, capture: LiveCapture, rotation: Rotation, packets: int | None, flush_always: bool, file: DumpFile
    ) -> None:
        self.file = file
        self.captured = 0
        self._capture = capture
        self._rotation = rotation
        self._packets = packets
        self._flush_always = flush_always
        self._file_began = self._flushed = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether as many packets are written as were asked for."""
        return self._packets is not None and self.captured >= self._packets

    def next_duty(self) -> float:
        """Seconds until something is due although no packet comes."""
        wait = FLUSH_SECONDS
        if self._rotation.file_seconds is not None:
            wait = min(wait, self._file_began + self._rotation.file_seconds - time.monotonic())
        return max(wait, 0.0)

    def turn(self) -> None:
        """Write what waits, then flush and rotate as far as due."""
        self.captured += self._capture.write_waiting(self.file, self._room())
        now = time.monotonic()
        if self._flush_always or now - self._flushed >= FLUSH_SECONDS:
            self.file.flush()
            self._flushed = now
        if self._rotation.rotates and not self.done and self._rotation.is_due(self.file.size(), now - self._file_began):
            self.file.close()
            self.file = self._capture.open_file(self._rotation.begin_file(time.time()))
            self._file_began = now

    def _room(self) -> int:
        """Packets that may be written now: never past the count, and past the file size by one packet at most."""
        room = PACKETS_AT_ONCE
        if self._packets is not None:
            room = min(room, self._packets - self.captured)
        if self._rotation.file_bytes is not None:
            room = min(room, (self._rotation.file_bytes - self.file.size()) // LARGEST_PACKET)
        return max(room, 1)


def _packets(count: int) -> str:
    """``1 packet`` or ``N packets``, as tcpdump writes them."""
    return f"{count} packet{'' if count == 1 else 's'}"
