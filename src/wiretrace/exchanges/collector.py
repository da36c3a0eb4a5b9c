"""Pauses Python's cyclic garbage collector while a chunk is worked through.

Rules: reading makes no reference cycles, so that counting references frees everything. The collector would look through all
messages of a chunk again and again, and find nothing: that costs a third of the time.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def collector_paused() -> Iterator[None]:
    """No automatic collection inside of the block. Where it was off before, it stays off."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
