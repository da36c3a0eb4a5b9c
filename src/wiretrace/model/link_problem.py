"""The calls of an analysis in numbers: what hosts make of the exchanges, and the linker works on.

Rules: row i is call i everywhere. There is no address, text or byte, only numbers; names are for the words of the
evidence. A *process* is whatever makes and serves calls as one: an instance of a service on a host.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MISSING = -(2**63)
"""Stands in a time column for: this side did not see the call."""


@dataclass(slots=True)
class Ragged:
    """A list of numbers per call: those of call i are ``values[offsets[i]:offsets[i + 1]]``."""

    offsets: NDArray[np.int64]
    """Shape (n + 1,), rising from 0."""
    values: NDArray[np.uint64]
    """Shape (offsets[-1],)."""


@dataclass(slots=True)
class LinkProblem:
    """All calls of an analysis. Arrays have shape (n,); times are int64 nanoseconds."""

    caller: NDArray[np.int32]
    """Process that made the call: index into `process_names`; -1 where nothing is known of it."""
    callee: NDArray[np.int32]
    """Process that served the call; -1 where nothing is known of it."""
    caller_service: NDArray[np.int32]
    """Service of the caller: index into `service_names`; -1 unknown. Instances of a service behave alike."""
    callee_service: NDArray[np.int32]
    """Service of the callee, likewise."""
    operation: NDArray[np.int32]
    """What was asked for: index into `operation_names`. Numbered per callee service and protocol: equal numbers mean
    the same operation of the same service."""
    caller_start_ns: NDArray[np.int64]
    """First byte of the request, seen at the caller's host, on the *caller's own* clock (corrected clocks where known)."""
    caller_end_ns: NDArray[np.int64]
    """Last byte of the response at the caller's host, same clock."""
    callee_start_ns: NDArray[np.int64]
    """First byte of the request at the callee's host, on the callee's clock."""
    callee_end_ns: NDArray[np.int64]
    """Last byte of the response at the callee's host, same clock."""
    clock_error_ns: NDArray[np.int64]
    """How far the two clocks may still be apart where only the other side's times can be used; 0 within one host."""
    one_way: NDArray[np.bool_]
    """Whether the call asks for no response."""
    connection: NDArray[np.int64]
    """Connection that carried it, the same number for all its calls; -1 unknown."""
    transaction: NDArray[np.int64]
    """Database transaction it ran in: calls with the same number have one parent; -1 none."""
    prepares: NDArray[np.bool_]
    """Whether it only prepares the statement that the next call on its connection executes."""
    lookup: NDArray[np.int64]
    """Lookup of a name: a call, and the calls that looked its server up, have the same number; -1 none."""
    request_digest: NDArray[np.uint64]
    """Keyed hash of method, path and body: equal where one call is a forwarded copy of another; 0 unknown."""
    identifiers: Ragged
    """Keyed hashes of (kind, value) of identifiers that other tools left on the wire."""
    request_tokens: Ragged
    """Keyed hashes of values in the request."""
    response_tokens: Ragged
    """Keyed hashes of values in the response."""
    sent: Ragged | None = None
    """Keyed hashes of the messages that the call puts on queues: destination and content of each in turn. The lowest bit of
    a content is 1 where it is an identifier; 0 stands for a content that is not known. None: no call does."""
    received: Ragged | None = None
    """The same of the messages that it brings to its callee, who took them off."""
    process_names: list[str] = field(default_factory=list)
    service_names: list[str] = field(default_factory=list)
    operation_names: list[str] = field(default_factory=list)
    identifier_names: dict[int, str] = field(default_factory=dict)
    """For words: the kind ('traceparent') of each identifier hash."""

    def __len__(self) -> int:
        return len(self.caller)
