"""Columns of the table `calls` that the figures are counted on, as numbers, and how calls are put into words.

Of a call only numbers are in memory, some 24 bytes; every distinct word is there once. What is asked of all calls goes
by whole columns; Python is asked only about distinct kinds and endings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.compute as pc

from wiretrace.case.rows import RowReader
from wiretrace.diagnosis.names import Names, codes_of, combined
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
        "HELLO", "AUTH", "SELECT", "CLIENT SETINFO", "CLIENT SETNAME", "CLIENT MAINT_NOTIFICATIONS",  # Redis
        "version", "noop",  # memcached
    }
)  # fmt: skip
"""Operations with which clients of databases and caches open and probe connections: never a request by themselves."""


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


class Place(NamedTuple):
    """Where one end of a call is."""

    service: str
    host: str
    """Empty where it is not known."""
    address: str
    port: int
    """Port of a callee; 0 of a caller, whose ports change from connection to connection."""

    @property
    def party(self) -> str:
        """What to call it: its service, or host, or address."""
        return self.service or self.host or self.address or UNKNOWN_PARTY

    @property
    def machine(self) -> str:
        """The host that it is on, or its address."""
        return self.host or self.address or UNKNOWN_PARTY

    @property
    def instance(self) -> str:
        """The instance that answers there: its host or address, and its port."""
        machine = f"[{self.machine}]" if ":" in self.machine else self.machine
        return f"{machine}:{self.port}" if self.port else self.machine


class CallColumns:
    """All calls of a case, one entry a row of `calls`. Arrays have shape (n,)."""

    def __init__(self, case: Case) -> None:
        """Read the calls of a case, a column at a time. Raises UserError if it is damaged."""
        self._case = case
        words = Names[str]()
        self.start: NDArray[np.int64] = self._read("start_ns").to_numpy()
        self.end: NDArray[np.int64] = self._read("end_ns").to_numpy()
        self.is_root: NDArray[np.bool_] = self._read("basis").is_null().to_numpy()
        """Whether the case names no parent, not even in question."""
        self.question: NDArray[np.bool_] = self._read("question").fill_null(False).to_numpy()
        """Whether the parent is only a question."""
        count = len(self.start)
        places = Names[Place]()
        callee, caller = (self._places(side, words, places) for side in ("server", "client"))
        parties, operations = Names[str](), Names[str]()
        kinds, endings = Names[Kind](), Names[Ending]()
        asked = self._codes("operation", operations), operations.things
        kind = combined([(callee, places.things), asked], lambda place, what: Kind(place.party, what), kinds)
        ended = [(self._codes(name, words), words.things) for name in ("protocol", "outcome", "status")]
        ending = combined(ended, Ending, endings)
        party_of_place = np.array([parties.code(place.party) for place in places.things], np.int64)
        self._trees = RowReader(case, "calls", ["tree"])
        self.places: list[Place] = places.things
        """Ends of calls by number."""
        self.parties: list[str] = parties.things
        """Names of callers and callees by number: service, or host, or address."""
        self.kinds: list[Kind] = kinds.things
        """Kinds of call by number."""
        self.endings: list[Ending] = endings.things
        """Ways to end by number."""
        self.callee_place = _narrow(callee)
        """Where it was asked for, by its number in `places`."""
        self.caller_place = _narrow(caller)
        """Where it was made, by its number in `places`."""
        self.kind = _narrow(kind)
        """The kind, by its number in `kinds`."""
        self.ending = _narrow(ending)
        """The ending, by its number in `endings`."""
        self.caller = _narrow(party_of_place[caller] if count else np.zeros(0, np.int64))
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

    def _read(self, column: str) -> pa.ChunkedArray:
        return self._case.columns("calls", [column]).column(column)

    def _codes(self, column: str, names: Names[str]) -> NDArray[np.int64]:
        return codes_of(self._read(column), names)

    def _places(self, side: str, words: Names[str], places: Names[Place]) -> NDArray[np.int64]:
        """The place of the caller or the callee ("client" or "server") of each call, by its number."""
        named = [(self._codes(f"{side}_{what}", words), words.things) for what in ("service", "host", "address")]
        if side == "client":
            return combined(named, lambda service, host, address: Place(service, host, address, 0), places)
        ports = self._read("server_port").to_numpy().clip(0)
        return combined([*named, (ports, range(1 << 16))], Place, places)

    def _ended(self, how: Callable[[Ending], bool]) -> NDArray[np.bool_]:
        return np.array([how(ending) for ending in self.endings], np.bool_)[self.ending]


def _narrow(codes: NDArray[np.int64]) -> NDArray[np.int16] | NDArray[np.int32]:
    """Numbers of names, in two bytes each where they fit."""
    fits = codes.max(initial=0) <= np.iinfo(np.int16).max
    return codes.astype(np.int16) if fits else codes.astype(np.int32)


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
