"""Columns of the table `calls` that the figures are counted on, as numbers, and how calls are put into words.

Of a call only numbers are in memory, some 24 bytes; every distinct word is there once. What is asked of all calls goes
by whole columns; Python is asked only about distinct kinds and endings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.compute as pc

from wiretrace.case.rows import RowReader
from wiretrace.diagnosis.names import Codes, Names, codes_of, combined
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

UNKNOWN = (Outcome.UNFINISHED, Outcome.NOT_CAPTURED)
"""Outcomes that say only what the capture lacks."""
UNDECIDED = (Outcome.OK, *UNKNOWN)
"""Outcomes that are no failure."""
UNKNOWN_PARTY = "?"
"""Name of a party of which not even the address is known."""
SET_UP = frozenset(
    {
        "login", "SSLRequest", "GSSENCRequest",  # PostgreSQL, MySQL
        "PING", "SET NAMES", "QUIT",  # MySQL and Redis
        "HELLO", "AUTH", "SELECT", "CLIENT SETINFO", "CLIENT SETNAME",  # Redis
        "version", "noop",  # memcached
        "A", "AAAA", "CNAME", "HTTPS", "PTR", "SRV", "SVCB",  # DNS
        "EHLO", "HELO", "STARTTLS", "NOOP", "RSET",  # SMTP
    }
)  # fmt: skip
"""Operations with which clients find servers, and open and probe connections: never a request by themselves."""


class Kind(NamedTuple):
    """What is asked for, and of whom."""

    service: str
    """Name of the callee."""
    operation: str


class Ending(NamedTuple):
    """How a call ended."""

    protocol: str
    outcome: str
    status: str

    @property
    def failed(self) -> bool:
        """Whether it is a failure."""
        return self.outcome not in UNDECIDED

    @property
    def word(self) -> str:
        """The server's own word, or the outcome where it gave none."""
        return self.status if self.status and self.outcome == Outcome.ERROR else self.outcome.replace("_", " ")

    @property
    def is_client_error(self) -> bool:
        """Whether the server says that the request was wrong: HTTP 4xx (RFC 9110 section 15.5)."""
        http = self.protocol in ("http", "http2")
        return http and self.outcome == Outcome.ERROR and self.status.startswith("4")


class CallColumns:
    """All calls of a case, one entry a row of `calls`. Arrays have shape (n,)."""

    COLUMNS = (
        *("start_ns", "end_ns", "protocol", "operation", "outcome", "status", "parent", "question"),
        *(f"{side}_{what}" for side in ("client", "server") for what in ("service", "host", "address")),
    )
    """Columns that are read."""

    def __init__(self, case: Case) -> None:
        """Read the calls of a case, a piece at a time. Raises UserError if it is damaged."""
        parties, operations, words = Names[str](), Names[str](), Names[str]()
        kinds, endings = Names[Kind](), Names[Ending]()
        count = int(case.group_starts("calls")[-1])
        self.start: NDArray[np.int64] = np.empty(count, np.int64)
        self.end: NDArray[np.int64] = np.empty(count, np.int64)
        self.is_root: NDArray[np.bool_] = np.empty(count, np.bool_)
        """Whether the case names no parent, not even in question."""
        self.question: NDArray[np.bool_] = np.empty(count, np.bool_)
        """Whether the parent is only a question."""
        kind, ending, caller = Codes(count), Codes(count), Codes(count)
        begin = 0
        for piece in case.pieces("calls", self.COLUMNS):
            rows = slice(begin, begin := begin + len(piece))
            callees = party_codes(piece, "server", parties), parties.things
            asked = codes_of(piece.column("operation"), operations), operations.things
            ended = [(codes_of(piece.column(name), words), words.things) for name in ("protocol", "outcome", "status")]
            self.start[rows] = piece.column("start_ns").to_numpy()
            self.end[rows] = piece.column("end_ns").to_numpy()
            self.is_root[rows] = piece.column("parent").is_null().to_numpy()
            self.question[rows] = piece.column("question").fill_null(False).to_numpy()
            kind.put(rows, combined([callees, asked], Kind, kinds))
            ending.put(rows, combined(ended, Ending, endings))
            caller.put(rows, party_codes(piece, "client", parties))
        self._trees = RowReader(case, "calls", ["tree"])
        self.parties: list[str] = parties.things
        """Names of callers and callees by number: service, or host, or address."""
        self.kinds: list[Kind] = kinds.things
        """Kinds of call by number."""
        self.endings: list[Ending] = endings.things
        """Ways to end by number."""
        self.kind = kind.codes
        """The kind, by its number in `kinds`."""
        self.ending = ending.codes
        """The ending, by its number in `endings`."""
        self.caller = caller.codes
        """The caller, by its number in `parties`."""
        self.callee_of_kind = np.array([parties.code(kind.service) for kind in self.kinds], np.int64)
        """Number in `parties` of the callee of each kind."""
        self.sets_up = np.array([kind.operation in SET_UP for kind in self.kinds], np.bool_)
        """Whether calls of each kind only set up or probe a connection."""
        self.failed: NDArray[np.bool_] = self._ended(lambda ending: ending.failed)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Whether the capture lacks the end."""
        return self._ended(lambda ending: ending.outcome in UNKNOWN)

    def tree_ids(self, rows: list[int]) -> list[str]:
        """The tree of each of the calls in `rows`. Raises UserError if the case is damaged."""
        return self._trees.take(np.array(rows, np.int64)).column("tree").to_pylist()  # type: ignore[no-any-return]

    def _ended(self, how: Callable[[Ending], bool]) -> NDArray[np.bool_]:
        return np.array([how(ending) for ending in self.endings], np.bool_)[self.ending]


def party_codes(calls: pa.Table, side: str, parties: Names[str]) -> NDArray[np.int64]:
    """What to call the caller or the callee ("client" or "server") of each call: its service, host or address."""
    codes = codes_of(calls.column(f"{side}_address"), parties, UNKNOWN_PARTY)
    for what in ("host", "service"):
        named = calls.column(f"{side}_{what}")
        is_named = pc.fill_null(pc.not_equal(named, ""), False).to_numpy()
        if is_named.any():
            codes = np.where(is_named, codes_of(named, parties), codes)
    return codes


def party_names(calls: pa.Table, side: str) -> list[str]:
    """The same as words, for a few calls."""
    parties = Names[str]()
    return [parties.things[code] for code in party_codes(calls, side, parties).tolist()]
