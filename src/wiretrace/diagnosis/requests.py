"""Which calls are requests that enter the system, and which lie outside any request.

A person asks about requests: what somebody outside asked for, and all that it caused. Services also make calls of their
own accord (pools log in, libraries probe the server, timers ping): these have no parent either, and are told apart, so
that a harmless probe never stands where a broken request belongs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.names import counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.columns import CallColumns


SET_UP = frozenset(
    {
        "login", "SSLRequest", "GSSENCRequest",  # PostgreSQL, MySQL
        "PING", "SET NAMES", "QUIT",  # MySQL and Redis
        "HELLO", "AUTH", "SELECT", "CLIENT SETINFO", "CLIENT SETNAME",  # Redis
        "version", "noop",  # memcached
    }
)  # fmt: skip
"""Operations with which clients of databases and caches open and probe connections: never a request by themselves."""


def entering_calls(columns: CallColumns) -> NDArray[np.bool_]:
    """Which calls are requests that enter the system. Shape (n,).

    They have no parent, and their caller makes no call that a call to it caused: a person, another system, or a service
    whose own requests were not captured. What only sets up a connection is none. Where no call is like that
    (everything runs on one host), nothing tells the callers apart, and every call without a parent counts.
    """
    caused = columns.caller[~columns.is_root & ~columns.question]
    is_within = counts(caused, len(columns.parties)) > 0
    sets_up = np.array([kind.operation in SET_UP for kind in columns.kinds], np.bool_)
    from_outside: NDArray[np.bool_] = columns.is_root & ~sets_up[columns.kind] & ~is_within[columns.caller]
    return from_outside if from_outside.any() else columns.is_root
