"""Which calls are requests that enter the system, and which lie outside any request.

A person asks about requests: what somebody outside asked for, and all that it caused. Services also make calls of their
own accord (pools log in, libraries probe the server, timers ping): these have no parent either, and are told apart, so
that a harmless probe never stands where a broken request belongs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.diagnosis.names import counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wiretrace.diagnosis.columns import CallColumns


def entering_calls(columns: CallColumns) -> NDArray[np.bool_]:
    """Which calls are requests that enter the system. Shape (n,).

    They have no parent, and their caller makes no call that a call to it caused: a person, another system, or a service
    whose own requests were not captured. What only sets up a connection is none. Where no call is like that
    (everything runs on one host), nothing tells the callers apart, and every call without a parent counts.
    """
    caused = columns.caller[~columns.is_root & ~columns.question]
    is_within = counts(caused, len(columns.parties)) > 0
    from_outside: NDArray[np.bool_] = columns.is_root & ~columns.sets_up[columns.kind] & ~is_within[columns.caller]
    return from_outside if from_outside.any() else columns.is_root
