"""The bytes of one chunk, and big-endian views of them for the kernels.

Rules: behind the bytes in use there are always `SLACK` more that may be read, so that a kernel can gather header fields
of a packet that was cut short and mask the result afterwards. What stands there is not part of any packet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLACK = 4096
"""More than the longest run of headers that a kernel reads without looking at the captured length."""


class PacketBuffer:
    """Bytes of a chunk in `[0, used)`. Grows by being copied, never in place: views given out before stay valid."""

    def __init__(self, capacity: int) -> None:
        self.used = 0
        self._replace(np.empty(capacity + SLACK, np.uint8))

    def _replace(self, array: NDArray[np.uint8]) -> None:
        self.u8 = array
        """(capacity,) uint8: every byte."""
        self.be16 = unaligned(array, ">u2")
        """(capacity - 1,): the big-endian 16-bit word that begins at each byte."""
        self.be32 = unaligned(array, ">u4")
        """(capacity - 3,): the big-endian 32-bit word that begins at each byte."""
        self.be64 = unaligned(array, ">u8")
        """(capacity - 7,): the big-endian 64-bit word that begins at each byte."""
        self.view = array.data
        """The same bytes for code that is not vectorised."""

    def reserve(self, capacity: int) -> None:
        """Have room for `capacity` bytes, the used ones kept."""
        if capacity + SLACK > len(self.u8):
            larger = np.empty(capacity + capacity // 4 + SLACK, np.uint8)
            larger[: self.used] = self.u8[: self.used]
            self._replace(larger)

    def append(self, data: bytes | bytearray) -> int:
        """Put `data` behind the used bytes and return its offset."""
        offset = self.used
        self.reserve(offset + len(data))
        self.view[offset : offset + len(data)] = data
        self.used += len(data)
        return offset

    def keep_from(self, offset: int) -> None:
        """Forget the bytes before `offset`: what stands there moves to the beginning."""
        rest = self.used - offset
        self.u8[:rest] = self.u8[offset : self.used].copy() if rest > offset else self.u8[offset : self.used]
        self.used = rest


def unaligned(array: NDArray[np.uint8], dtype: str) -> NDArray[np.unsignedinteger]:
    """(n,) uint8 -> (n - size + 1,) words of `dtype`: element i is the word whose first byte is byte i. Copies nothing."""
    size = np.dtype(dtype).itemsize
    return np.ndarray((max(len(array) - size + 1, 0),), dtype, array.data, strides=(1,))
