"""Which calls are requests that enter the system, and which lie outside any request.

A person asks about requests: what somebody outside asked for, and all that it caused. Services also make calls of their
own accord (pools log in, libraries probe the server, timers ping): these have no parent either, and are told apart, so
that a harmless probe never stands where a broken request belongs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.case.calls import plain_list

if TYPE_CHECKING:
    from numpy.typing import NDArray


SET_UP = frozenset(
    {
        "login", "SSLRequest", "GSSENCRequest",  # PostgreSQL, MySQL
        "PING", "SET NAMES", "QUIT",  # MySQL and Redis
        "HELLO", "AUTH", "SELECT", "CLIENT SETINFO", "CLIENT SETNAME",  # Redis
        "version", "noop",  # memcached
    }
)  # fmt: skip
"""Operations with which clients of databases and caches open and probe connections: never a request by themselves."""


def party_names(calls: pa.Table, side: str) -> list[str]:
    """What to call the caller or the callee ("client" or "server") of each call: its service, host or address."""
    columns = (plain_list(calls.column(f"{side}_{what}")) for what in ("service", "host", "address"))
    return [service or host or address or "?" for service, host, address in zip(*columns, strict=True)]


def entering_calls(calls: pa.Table) -> NDArray[np.bool_]:
    """Which rows of `calls` are requests that enter the system. Shape (n,).

    They have no parent, and their caller makes no call that a call to it caused: a person, another system, or a service
    whose own requests were not captured. What only sets up a connection is none. Where no call is like that
    (everything runs on one host), nothing tells the callers apart, and every call without a parent counts.
    """
    is_root = pc.is_null(calls.column("parent")).to_numpy()
    callers = pa.array(party_names(calls, "client"), pa.string())
    linked = pc.and_(pc.is_valid(calls.column("parent")), pc.invert(calls.column("question").fill_null(False)))
    caused = pc.unique(callers.filter(linked.combine_chunks()))
    operations = calls.column("operation").cast(pa.string())
    sets_up = pc.is_in(operations, value_set=pa.array(sorted(SET_UP))).to_numpy()
    from_outside: NDArray[np.bool_] = is_root & ~sets_up & ~np.asarray(pc.is_in(callers, value_set=caused))
    return from_outside if from_outside.any() else is_root


def topmost_calls(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of the topmost call above each call. `parents`: rows, -1 for none. Shapes (n,).

    Climbs by doubling: a deep tree costs no more than a flat one.
    """
    topmost = np.where(parents < 0, np.arange(len(parents)), parents)
    while not np.array_equal(further := topmost[topmost], topmost):
        topmost = further
    return topmost
