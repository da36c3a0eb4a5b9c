"""Gives memory that is no longer used back to the system, between the steps of a long analysis.

Rules: a matter of peak memory only, never of results. Where the C library has no such call, nothing happens.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable


def give_back_memory() -> None:
    """Hand free pages back. Otherwise what one step freed lies scattered about, and the next one asks for more."""
    pa.default_memory_pool().release_unused()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """``malloc_trim`` of the GNU C library (malloc_trim(3)); None elsewhere."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
