"""Columns of the table `calls` that the figures are counted on, and how single calls are put into words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.case.calls import plain_list
from wiretrace.diagnosis.requests import party_names
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

UNDECIDED = (Outcome.OK, Outcome.UNFINISHED, Outcome.NOT_CAPTURED)
"""Outcomes that are no failure: the last two say what the capture lacks."""


class CallColumns:
    """All calls of a case, one entry a row of `calls`."""

    def __init__(self, calls: pa.Table) -> None:
        self.start: NDArray[np.int64] = calls.column("start_ns").to_numpy()
        self.end: NDArray[np.int64] = calls.column("end_ns").to_numpy()
        self.protocols: list[str] = plain_list(calls.column("protocol"))
        self.operations: list[str] = plain_list(calls.column("operation"))
        self.outcomes: list[str] = plain_list(calls.column("outcome"))
        self.statuses: list[str | None] = plain_list(calls.column("status"))
        self.trees: list[str] = plain_list(calls.column("tree"))
        self.callers = party_names(calls, "client")
        self.callees = party_names(calls, "server")
        self.failed: NDArray[np.bool_] = np.array([outcome not in UNDECIDED for outcome in self.outcomes], np.bool_)

    def word(self, row: int) -> str:
        """How the call in `row` ended: the server's own word, or the outcome where it gave none."""
        status = self.statuses[row]
        return status if status and self.outcomes[row] == Outcome.ERROR else self.outcomes[row].replace("_", " ")

    def told(self, row: int) -> str:
        """The failing call in `row` in words: "SELECT orders (pg): 40P01"."""
        return f"{self.operations[row]} ({self.callees[row]}): {self.word(row)}"

    def is_client_error(self, row: int) -> bool:
        """Whether the server says that the request was wrong: HTTP 4xx (RFC 9110 section 15.5)."""
        status = self.statuses[row] or ""
        http = self.protocols[row] in ("http", "http2")
        return http and self.outcomes[row] == Outcome.ERROR and status.startswith("4")
