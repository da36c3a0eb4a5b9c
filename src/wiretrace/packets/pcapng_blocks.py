"""What single pcapng blocks say: interfaces, their counters, names, and the agent's comment.

Rules: functions of one whole block as bytes, in a given byte order ("<" or ">"). A block that is odd yields what can be
read of it; nothing raises.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

OPTION_END = 0
OPTION_COMMENT = 1
OPTION_NAME = 2
OPTION_RESOLUTION = 9
OPTION_OFFSET = 14
OPTION_INTERFACE_DROPS = 5
OPTION_SYSTEM_DROPS = 7
NAME_IPV4, NAME_IPV6 = 1, 2
TLS_KEY_LOG = 0x544C534B
SECRETS_HEADER_BYTES = 16
POWER_OF_TWO = 0x80
MICROSECONDS = 6
COMMENT_PREFIX = "wiretrace:"
LATEST_SECONDS = 9_000_000_000
"""Times are held between 1970 and 2255, so that int64 nanoseconds can not overflow."""
HALF_WORD = np.uint64(32)


class AgentComment(msgspec.Struct):
    """What our capture agent writes as JSON into a comment of the file; fields not named here are passed over."""

    host: str = ""


@dataclass(slots=True)
class Interface:
    """One interface of a section."""

    link_type: int = 0
    snap_length: int = 0
    """0: no limit."""
    resolution: int = MICROSECONDS
    """if_tsresol: a negative power of 10, or with the top bit set of 2."""
    offset_seconds: int = 0
    """if_tsoffset: to be added to every time."""
    name: str = ""
    """if_name, as the system that captured calls it."""
    host: str = ""
    """Host named in the agent's comment."""

    @property
    def bounded_offset(self) -> int:
        """`offset_seconds`, as far as times can be moved at all."""
        return max(-LATEST_SECONDS, min(self.offset_seconds, LATEST_SECONDS))


def times(resolution: int, offset_seconds: NDArray[np.int64], stamps: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(n,) time stamps in units of `resolution`, and what is to be added to each -> (n,) nanoseconds since the epoch.

    The offsets are bounded ones.
    """
    power = resolution & ~POWER_OF_TWO
    if resolution & POWER_OF_TWO:
        seconds = stamps >> np.uint64(power) if power < 64 else np.zeros_like(stamps)
        rest = stamps & np.uint64((1 << min(power, 64)) - 1)
        coarse = np.uint64(max(power - 32, 0))  # 2**-32 s is fine enough, and the product stays below 2**64
        rest = rest >> coarse if power < 96 else np.zeros_like(stamps)
        fraction = rest * np.uint64(1_000_000_000) >> min(np.uint64(power), HALF_WORD)
    elif power <= 9:
        unit = np.uint64(10**power)
        seconds, rest = stamps // unit, stamps % unit
        fraction = rest * np.uint64(10 ** (9 - power))
    elif power < 20:
        unit = np.uint64(10**power)
        seconds, rest = stamps // unit, stamps % unit
        fraction = rest // np.uint64(10 ** (power - 9))
    else:
        seconds = np.zeros_like(stamps)
        fraction = stamps // np.uint64(10 ** (power - 9)) if power < 29 else seconds
    whole: NDArray[np.int64] = np.minimum(seconds, np.uint64(LATEST_SECONDS)).astype(np.int64)
    whole = np.clip(whole + offset_seconds, 0, LATEST_SECONDS)
    return whole * 1_000_000_000 + fraction.astype(np.int64)


def options(order: str, data: bytes) -> Iterator[tuple[int, bytes]]:
    """(code, value) of the options in `data`."""
    position = 0
    while position + 4 <= len(data):
        code, length = struct.unpack_from(order + "HH", data, position)
        if code == OPTION_END or position + 4 + length > len(data):
            return
        yield code, data[position + 4 : position + 4 + length]
        position += 4 + (length + 3 & ~3)


def section_host(order: str, block: bytes) -> str:
    """The host that the agent's comment in a section header names, or empty."""
    return _host(order, block[24:-4])


def interface_of(order: str, block: bytes) -> Interface:
    """An interface description block."""
    link_type, _, snap_length = struct.unpack_from(order + "HHI", block, 8)
    interface = Interface(link_type, snap_length, host=_host(order, block[16:-4]))
    for code, value in options(order, block[16:-4]):
        if code == OPTION_NAME:
            interface.name = value.decode("utf-8", "replace").rstrip("\0")
        elif code == OPTION_RESOLUTION and len(value) >= 1:
            interface.resolution = value[0]
        elif code == OPTION_OFFSET and len(value) >= 8:
            interface.offset_seconds = struct.unpack_from(order + "q", value)[0]
    return interface


def key_log_of(order: str, block: bytes) -> str:
    """The text of a decryption secrets block that holds a TLS key log; empty where it holds anything else."""
    if len(block) < SECRETS_HEADER_BYTES + 4:
        return ""
    kind, length = struct.unpack_from(order + "II", block, 8)
    if kind != TLS_KEY_LOG:
        return ""
    return block[SECRETS_HEADER_BYTES : min(SECRETS_HEADER_BYTES + length, len(block) - 4)].decode("ascii", "replace")


def interface_counters(order: str, block: bytes) -> tuple[int, int]:
    """An interface statistics block: the interface, and packets dropped so far by it and by the system (-1: not said)."""
    number = struct.unpack_from(order + "I", block, 8)[0]
    dropped = -1
    for code, value in options(order, block[20:-4]):
        if code in (OPTION_INTERFACE_DROPS, OPTION_SYSTEM_DROPS) and len(value) == 8:
            dropped = max(dropped, 0) + struct.unpack(order + "Q", value)[0]
    return number, dropped


def names_of(order: str, block: bytes) -> Iterator[tuple[str, str]]:
    """(address, first name) of the records of a name resolution block."""
    for kind, value in options(order, block[8:-4]):
        size = {NAME_IPV4: 4, NAME_IPV6: 16}.get(kind)
        if size is None or len(value) <= size:
            continue
        name = value[size:].split(b"\0", 1)[0].decode("utf-8", "replace")
        if name:
            yield str(ipaddress.ip_address(value[:size])), name


def _host(order: str, data: bytes) -> str:
    for code, value in options(order, data):
        text = value.decode("utf-8", "replace")
        if code == OPTION_COMMENT and text.startswith(COMMENT_PREFIX):
            try:
                return msgspec.json.decode(text[len(COMMENT_PREFIX) :], type=AgentComment).host
            except (msgspec.MsgspecError, RecursionError):
                continue
    return ""
