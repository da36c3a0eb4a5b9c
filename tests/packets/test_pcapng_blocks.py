"""Times of pcapng interfaces are exact, whatever their resolution."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.packets.pcapng_blocks import LATEST_SECONDS, Interface, times


@settings(max_examples=300, deadline=None)
@given(
    stamp=st.integers(0, (1 << 64) - 1),
    resolution=st.integers(0, 255),
    offset=st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-100, 100),
)
def test_times_are_those_of_exact_arithmetic(stamp: int, resolution: int, offset: int) -> None:
    """Against fractions: equal to the nanosecond, below 2**-32 s to within one, and held within what int64 can hold."""
    power = resolution & 0x7F
    unit = Fraction(1, (2 if resolution & 0x80 else 10) ** power)
    nanoseconds = int(stamp * unit * 1_000_000_000)
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    offset_held = max(-LATEST_SECONDS, min(offset, LATEST_SECONDS))
    expected = max(0, min(min(seconds, LATEST_SECONDS) + offset_held, LATEST_SECONDS)) * 1_000_000_000 + rest
    held = np.array([Interface(offset_seconds=offset).bounded_offset])
    found = times(resolution, held, np.array([stamp], np.uint64))
    assert abs(int(found[0]) - expected) <= (1 if resolution & 0x80 and power > 32 else 0)
