"""Kernel: IEEE 802.11 data frames, and the radio headers that captures put before them.

Rules: vectorised, one block of packets at a time. Only data frames that are whole and in clear can be read; the others
keep a reason. Bytes behind the captured ones are masked by the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.packets.frames import LLC
from wiretrace.packets.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.packets.buffer import PacketBuffer
    from wiretrace.packets.frames import Frames

PRISM, RADIOTAP, AVS = 119, 127, 163
RADIO_HEADERS = (PRISM, RADIOTAP, AVS)
AVS_VERSION = 0x80211
"""Upper bits of the first word of an AVS header, which cards may also write under the number of Prism."""
PRISM_BYTES = 144
RADIOTAP_MORE_FIELDS = 0x80
"""In the last byte of a word of field bits: another word follows."""
RADIOTAP_TIME, RADIOTAP_FLAGS = 0x01, 0x02
RADIOTAP_PADDED = 0x20
"""Flag: the 802.11 header was padded to a multiple of 4 bytes."""
RADIOTAP_WORDS = 8

DATA_TYPE, TYPE_MASK = 0x08, 0x0C
WITHOUT_DATA, QUALITY_OF_SERVICE = 0x40, 0x80
"""Bits of the subtype of a data frame (IEEE 802.11 section 9.2.4.1.3)."""
TO_DISTRIBUTION, FROM_DISTRIBUTION, MORE_FRAGMENTS, PROTECTED, ORDER = 0x01, 0x02, 0x04, 0x40, 0x80
AGGREGATE = 0x80
"""Bit of the QoS control field: several packets are in the frame (A-MSDU)."""


def pass_radio_header(buffer: PacketBuffer, frames: Frames, link_type: int) -> NDArray[np.bool_]:
    """Move `frames` behind the radio header. Returns (n,) bool: whether the 802.11 header is padded."""
    at = frames.offset
    padded = np.zeros(len(at), np.bool_)
    if link_type == RADIOTAP:
        size = buffer.u8[at + 2] | buffer.u8[at + 3].astype(np.int64) << 8
        flags = at + 4
        more = np.ones(len(at), np.bool_)
        for _ in range(RADIOTAP_WORDS):
            flags = flags + np.where(more, 4, 0)
            more &= (buffer.u8[flags - 1] & RADIOTAP_MORE_FIELDS) != 0
        fields = buffer.u8[at + 4]
        # The time has 8 bytes and stands at a multiple of 8, counted from the start of the header.
        flags = np.where(fields & RADIOTAP_TIME, at + (flags - at + 7 & ~7) + 8, flags)
        padded = ((fields & RADIOTAP_FLAGS) != 0) & ((buffer.u8[flags] & RADIOTAP_PADDED) != 0)
    else:
        size = np.full(len(at), PRISM_BYTES, np.int64)
        word = buffer.be32[at]
        avs = word >> 12 == AVS_VERSION
        size[avs] = buffer.be32[at + 4][avs]
    frames.offset = at + size
    over = frames.offset >= frames.captured_end
    frames.reason[over] = Reason.CUT
    frames.offset[over] = at[over]
    return padded


def pass_wifi(buffer: PacketBuffer, frames: Frames, padded: NDArray[np.bool_]) -> None:
    """Move `frames`, which stand at 802.11 headers, to the LLC headers behind them."""
    at = frames.offset
    control, flags = buffer.u8[at], buffer.u8[at + 1]
    to, source = (flags & TO_DISTRIBUTION) != 0, (flags & FROM_DISTRIBUTION) != 0
    quality = (control & QUALITY_OF_SERVICE) != 0
    size = 24 + 6 * (to & source) + 2 * quality + 4 * (quality & ((flags & ORDER) != 0))
    size = np.where(padded, size + 3 & ~3, size)
    # The source is the transmitter, or stands in the third or fourth address where an access point passes it on.
    hardware = at + np.where(source, np.where(to, 24, 16), 10)
    fragment = ((flags & MORE_FRAGMENTS) != 0) | ((buffer.u8[at + 22] & 0x0F) != 0)
    aggregate = quality & ((buffer.u8[at + 24 + 6 * (to & source)] & AGGREGATE) != 0)
    reason = np.zeros(len(at), np.int32)
    reason[fragment | aggregate] = Reason.WIFI_PART
    reason[(flags & PROTECTED) != 0] = Reason.WIFI_ENCRYPTED
    reason[((control & TYPE_MASK) != DATA_TYPE) | ((control & WITHOUT_DATA) != 0)] = Reason.WIFI_CONTROL
    reason[at + 2 > frames.captured_end] = Reason.CUT
    free = frames.reason == 0
    frames.reason[free] = reason[free]
    frames.hardware = hardware
    frames.ethertype[:] = LLC
    frames.offset = at + size
    beyond = (frames.reason == 0) & (frames.offset >= frames.captured_end)
    frames.reason[beyond] = Reason.CUT
