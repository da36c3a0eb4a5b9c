"""libpcap, through scapy's ctypes binding: an open interface, and a capture file that libpcap writes by itself.

Rules of this file:
- It is the only file of wiretrace that imports scapy, which is GPL-2.0-only (wiretrace is MIT). So capture runs as its
  own process, started by ``wiretrace capture`` alone, and nothing else imports this file.
- Only ``scapy.libs.winpcapy`` is imported: ``scapy.all`` takes more than a second to load and starts things of its own.
- No Python runs per packet: ``pcap_dispatch`` calls libpcap's own ``pcap_dump``.
"""

import ctypes
import os
import socket
from types import TracebackType
from typing import Any, Self

from wiretrace.model.errors import UsageError, UserError

try:
    from scapy.libs import winpcapy
    from scapy.libs.structures import bpf_program
except OSError as error:
    raise UserError("libpcap is not installed here; install it (Debian: apt-get install libpcap0.8)") from error

PCAP_TSTAMP_PRECISION_NANO = 1
"""pcap-tstamp(7): ask for time stamps in nanoseconds."""
PCAP_NETMASK_UNKNOWN = 0xFFFFFFFF
"""pcap_compile(3PCAP): the network mask is not known, so that "ip broadcast" is refused rather than wrong."""

_set_precision = winpcapy._lib.pcap_set_tstamp_precision
_set_precision.argtypes = [ctypes.c_void_p, ctypes.c_int]
_set_precision.restype = ctypes.c_int

_has_failed = ctypes.CDLL(None).ferror
_has_failed.argtypes = [ctypes.c_void_p]
_has_failed.restype = ctypes.c_int

_write_packet = ctypes.cast(winpcapy._lib.pcap_dump, winpcapy.pcap_handler)


class LiveCapture:
    """An interface that is being captured, in non-blocking mode; a context manager."""

    def __init__(
        self, interface: str, snapshot_length: int, buffer_bytes: int, promiscuous: bool, timeout_ms: int
    ) -> None:
        """Open and activate ``interface``.

        ``timeout_ms`` is how long the kernel may keep packets back to hand over many at once.
        Raises `UserError` where the interface does not exist or may not be captured.
        """
        self.interface = interface
        message = ctypes.create_string_buffer(winpcapy.PCAP_ERRBUF_SIZE)
        self._handle: Any = winpcapy.pcap_create(os.fsencode(interface), message)
        if not self._handle:
            raise UserError(f"can not capture on {interface}: {_text(message.value)}")
        try:
            winpcapy.pcap_set_snaplen(self._handle, snapshot_length)
            winpcapy.pcap_set_promisc(self._handle, int(promiscuous))
            winpcapy.pcap_set_timeout(self._handle, timeout_ms)
            winpcapy.pcap_set_buffer_size(self._handle, buffer_bytes)
            self.nanoseconds = _set_precision(self._handle, PCAP_TSTAMP_PRECISION_NANO) == 0
            status = winpcapy.pcap_activate(self._handle)
            if status < 0:
                raise UserError(self._activation_error(status))
            if winpcapy.pcap_setnonblock(self._handle, 1, message) < 0:
                raise UserError(f"can not capture on {interface}: {_text(message.value)}")
        except UserError:
            self.close()
            raise

    def _activation_error(self, status: int) -> str:
        """Say why `pcap_activate` refused the interface."""
        if status == winpcapy.PCAP_ERROR_NO_SUCH_DEVICE:
            names = ", ".join(name for _, name in socket.if_nameindex())
            return f"no interface is named {self.interface} here; there are: {names}, any"
        if status in (winpcapy.PCAP_ERROR_PERM_DENIED, winpcapy.PCAP_ERROR_PROMISC_PERM_DENIED):
            return f"no permission to capture on {self.interface}: run as root or with the capability CAP_NET_RAW"
        if status == winpcapy.PCAP_ERROR_IFACE_NOT_UP:
            return f"interface {self.interface} is down; bring it up first (ip link set {self.interface} up)"
        detail = _text(winpcapy.pcap_geterr(self._handle)) or _text(winpcapy.pcap_statustostr(status))
        return f"can not capture on {self.interface}: {detail}"

    @property
    def link_type(self) -> str:
        """The name of the interface's link type, such as ``EN10MB``."""
        number = winpcapy.pcap_datalink(self._handle)
        name = winpcapy.pcap_datalink_val_to_name(number)
        return _text(name) if name else str(number)

    def set_filter(self, expression: str) -> None:
        """Capture only what the pcap-filter(7) ``expression`` matches. Raises `UsageError` where it has no meaning."""
        program = bpf_program()
        compiled = winpcapy.pcap_compile(
            self._handle, ctypes.byref(program), os.fsencode(expression), 1, ctypes.c_int(PCAP_NETMASK_UNKNOWN).value
        )
        if compiled < 0:
            raise UsageError(f'bad filter "{expression}": {self.last_error()}')
        try:
            if winpcapy.pcap_setfilter(self._handle, ctypes.byref(program)) < 0:
                raise UserError(f'can not set the filter "{expression}": {self.last_error()}')
        finally:
            winpcapy.pcap_freecode(ctypes.byref(program))

    def fileno(self) -> int:
        """The descriptor that becomes readable when packets wait."""
        return int(winpcapy.pcap_get_selectable_fd(self._handle))

    def write_waiting(self, file: "DumpFile", at_most: int) -> int:
        """Let libpcap write up to ``at_most`` waiting packets to ``file``; return how many it wrote, 0 where none waits."""
        written = int(winpcapy.pcap_dispatch(self._handle, at_most, _write_packet, file.as_user_data()))
        if written < 0:
            raise UserError(f"capture on {self.interface} ended: {self.last_error()}")
        return written

    def counters(self) -> tuple[int, int]:
        """Packets that passed the filter, and packets that the kernel dropped for want of room, since the start."""
        statistics = winpcapy.pcap_stat()
        if winpcapy.pcap_stats(self._handle, ctypes.byref(statistics)) < 0:
            raise UserError(f"no counters from {self.interface}: {self.last_error()}")
        return int(statistics.ps_recv), int(statistics.ps_drop)

    def last_error(self) -> str:
        """libpcap's own words for what failed last on this interface."""
        return _text(winpcapy.pcap_geterr(self._handle))

    def open_file(self, path: str) -> "DumpFile":
        """Open ``path`` for writing, ``-`` being the standard output. Raises `UserError` where it can not be written."""
        dumper = winpcapy.pcap_dump_open(self._handle, os.fsencode(path))
        if not dumper:
            raise UserError(f"can not write {path}: {self.last_error()}")
        return DumpFile(path, dumper)

    def close(self) -> None:
        """Stop capturing; safe to call twice."""
        if self._handle:
            winpcapy.pcap_close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class DumpFile:
    """A capture file that libpcap writes, in the classic pcap format."""

    def __init__(self, path: str, dumper: Any) -> None:
        self.path = path
        self._dumper = dumper

    def as_user_data(self) -> Any:
        """The file as `pcap_dispatch` hands it to `pcap_dump`."""
        return ctypes.cast(self._dumper, ctypes.POINTER(ctypes.c_ubyte))

    def size(self) -> int:
        """Bytes written so far, those still in memory included."""
        return int(winpcapy.pcap_dump_ftell(self._dumper))

    def flush(self) -> None:
        """Hand everything to the kernel. `pcap_dump` itself can not report a full disk: this is where it is noticed.

        The stream's error mark is looked at too: what an earlier write lost does not make this flush fail.
        """
        if winpcapy.pcap_dump_flush(self._dumper) != 0 or _has_failed(winpcapy.pcap_dump_file(self._dumper)):
            raise UserError(f"can not write {self.path}: the disk is full or the reader is gone")

    def close(self) -> None:
        """Flush and close."""
        try:
            self.flush()
        finally:
            winpcapy.pcap_dump_close(self._dumper)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip()
