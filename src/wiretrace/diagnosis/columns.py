"""Columns of the table `calls` that the figures are counted on, as numbers, and how calls are put into words.

Of a call only numbers are in memory, some 24 bytes; every distinct word is there once, in the `Vocabulary`. What is asked
of all calls goes by columns, of the whole table or of one row group; Python is asked only about distinct kinds and endings.
"""

from __future__ import annotations

import re
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
NO_ANSWER = (
    Outcome.REQUEST_LOST,
    Outcome.RESPONSE_LOST,
    Outcome.SERVER_SILENT,
    Outcome.SERVER_RESET,
    Outcome.SERVER_CLOSED,
    Outcome.CLIENT_ABORTED,
    Outcome.CLIENT_TIMEOUT,
    Outcome.REFUSED,
    Outcome.UNREACHABLE,
)
"""Outcomes of calls whose caller got no whole answer."""
UNKNOWN_PARTY = "?"
"""Name of a party of which not even the address is known."""
PORTS = range(1 << 16)
SET_UP = frozenset(
    {
        "login", "SSLRequest", "GSSENCRequest",  # PostgreSQL, MySQL
        "PING", "SET NAMES", "QUIT",  # MySQL and Redis
        "HELLO", "AUTH", "SELECT", "CLIENT SETINFO", "CLIENT SETNAME", "CLIENT MAINT_NOTIFICATIONS",  # Redis
        "version", "noop",  # memcached
        "A", "AAAA", "ANY", "CNAME", "HTTPS", "MX", "NS", "PTR", "SOA", "SRV", "SVCB", "TXT", "announce",  # DNS
        "NB query", "NB register", "NB release", "NB wait", "NB refresh",  # NetBIOS
        "EHLO", "HELO", "STARTTLS", "NOOP", "RSET",  # SMTP
    }
)  # fmt: skip
"""Operations with which clients find servers, and open and probe connections: never a request by themselves."""

PROBE = re.compile(
    r"""(?:GET|HEAD|OPTIONS)\ /(?:[\w.-]+/)*
        (?:_?health(?:z|[-_]?check)?|livez?|liveness|readyz?|readiness|alive|ping|status|heartbeat|up|startupz?)/?$
      | .*grpc\.health\.v1\.Health/(?:Check|Watch)$""",
    re.VERBOSE | re.IGNORECASE,
)
"""Operations by which load balancers and orchestrators ask whether a service is well."""


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
    def is_unknown(self) -> bool:
        """Whether the capture lacks the end."""
        return self.outcome in UNKNOWN

    @property
    def is_unanswered(self) -> bool:
        """Whether its caller gave up, or got no whole answer."""
        return self.outcome in NO_ANSWER

    @property
    def is_given_up(self) -> bool:
        """Whether its caller gave up before it had an answer."""
        return self.outcome in (Outcome.CLIENT_ABORTED, Outcome.CLIENT_TIMEOUT)

    @property
    def is_refused(self) -> bool:
        """Whether the server called the request wrong (HTTP 4xx but 408 and 429): no failure of the system."""
        return self.is_client_error and self.status not in ("408", "429")

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


class Vocabulary:
    """The distinct things that calls are made of, numbered in the order in which they come."""

    def __init__(self) -> None:
        self._words = Names[str]()
        self._operations = Names[str]()
        self._places = Names[Place]()
        self._parties = Names[str]()
        self._kinds = Names[Kind]()
        self._endings = Names[Ending]()
        self._party_of_place: list[int] = []
        self._callee_of_kind: list[int] = []

    @property
    def places(self) -> list[Place]:
        """Ends of calls by number."""
        return self._places.things

    @property
    def parties(self) -> list[str]:
        """Names of callers and callees by number: service, or host, or address."""
        return self._parties.things

    @property
    def kinds(self) -> list[Kind]:
        """Kinds of call by number."""
        return self._kinds.things

    @property
    def endings(self) -> list[Ending]:
        """Ways to end by number."""
        return self._endings.things

    @property
    def party_of_place(self) -> NDArray[np.int64]:
        """Number in `parties` of each place."""
        new = self.places[len(self._party_of_place) :]
        self._party_of_place += [self._parties.code(place.party) for place in new]
        return np.array(self._party_of_place, np.int64)

    @property
    def callee_of_kind(self) -> NDArray[np.int64]:
        """Number in `parties` of the callee of each kind."""
        new = self.kinds[len(self._callee_of_kind) :]
        self._callee_of_kind += [self._parties.code(kind.service) for kind in new]
        return np.array(self._callee_of_kind, np.int64)

    @property
    def sets_up(self) -> NDArray[np.bool_]:
        """Whether calls of each kind only set up or probe a connection."""
        return np.array([kind.operation in SET_UP for kind in self.kinds], np.bool_)

    @property
    def probes(self) -> NDArray[np.bool_]:
        """Which kinds of call are health checks."""
        return np.array([PROBE.match(kind.operation) is not None for kind in self.kinds], np.bool_)

    def ended(self, how: Callable[[Ending], bool]) -> NDArray[np.bool_]:
        """What `how` says of each ending."""
        return np.array([how(ending) for ending in self.endings], np.bool_)

    def places_of(self, calls: pa.Table, side: str) -> NDArray[np.int64]:
        """The place of the caller or the callee ("client" or "server") of each call. Shape (n,)."""
        words = self._words
        named = [
            (codes_of(calls.column(f"{side}_{what}"), words), words.things) for what in ("service", "host", "address")
        ]
        if side == "client":
            return combined(named, lambda service, host, address: Place(service, host, address, 0), self._places)
        # In a case that somebody made, a port may be any number.
        ports = calls.column("server_port").to_numpy().clip(0, len(PORTS) - 1)
        return combined([*named, (ports, PORTS)], Place, self._places)

    def kinds_of(self, calls: pa.Table, callee: NDArray[np.int64]) -> NDArray[np.int64]:
        """The kind of each call; `callee` is the place where it was asked for. Shapes (n,)."""
        asked = codes_of(calls.column("operation"), self._operations)
        return combined(
            [(callee, self.places), (asked, self._operations.things)],
            lambda place, what: Kind(place.party, what),
            self._kinds,
        )

    def endings_of(self, calls: pa.Table) -> NDArray[np.int64]:
        """How each call ended. Shape (n,)."""
        words = self._words
        ended = [(codes_of(calls.column(name), words), words.things) for name in ("protocol", "outcome", "status")]
        return combined(ended, Ending, self._endings)


PLACE_COLUMNS = {
    side: [f"{side}_{what}" for what in ("service", "host", "address")] + (["server_port"] if side == "server" else [])
    for side in ("client", "server")
}
"""Columns that say where each end of a call is."""
ENDING_COLUMNS = ["protocol", "outcome", "status"]
"""Columns that say how a call ended."""


class CallColumns:
    """All calls of a case, one entry a row of `calls`. Arrays have shape (n,)."""

    def __init__(self, case: Case) -> None:
        """Read the calls of a case, few columns at a time. Raises UserError if it is damaged."""
        self._case = case
        self.vocabulary = words = Vocabulary()
        self.start: NDArray[np.int64] = self._read("start_ns").to_numpy()
        self.end: NDArray[np.int64] = self._read("end_ns").to_numpy()
        self.is_root: NDArray[np.bool_] = self._read("basis").is_null().to_numpy()
        """Whether the case names no parent, not even in question."""
        self.question: NDArray[np.bool_] = self._read("question").fill_null(False).to_numpy()
        """Whether the parent is only a question."""
        callee, caller = (
            words.places_of(case.columns("calls", PLACE_COLUMNS[side]), side) for side in ("server", "client")
        )
        kind = words.kinds_of(case.columns("calls", ["operation"]), callee)
        ending = words.endings_of(case.columns("calls", ENDING_COLUMNS))
        self._trees = RowReader(case, "calls", ["tree"])
        self.callee_place = _narrow(callee)
        """Where it was asked for, by its number in `places`."""
        self.caller_place = _narrow(caller)
        """Where it was made, by its number in `places`."""
        self.kind = _narrow(kind)
        """The kind, by its number in `kinds`."""
        self.ending = _narrow(ending)
        """The ending, by its number in `endings`."""
        self.caller = _narrow(words.party_of_place[caller] if len(caller) else np.zeros(0, np.int64))
        """The caller, by its number in `parties`."""
        self.callee_of_kind = words.callee_of_kind
        """Number in `parties` of the callee of each kind."""
        self.sets_up = words.sets_up
        """Whether calls of each kind only set up or probe a connection."""
        self.places = words.places
        """Ends of calls by number."""
        self.parties = words.parties
        """Names of callers and callees by number: service, or host, or address."""
        self.kinds = words.kinds
        """Kinds of call by number."""
        self.endings = words.endings
        """Ways to end by number."""
        self.failed: NDArray[np.bool_] = words.ended(lambda ending: ending.failed)[self.ending]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Whether the capture lacks the end."""
        return self.vocabulary.ended(lambda ending: ending.is_unknown)[self.ending]

    def tree_ids(self, rows: list[int]) -> list[str]:
        """The tree of each of the calls in `rows`. Raises UserError if the case is damaged."""
        return self._trees.take(np.array(rows, np.int64)).column("tree").to_pylist()  # type: ignore[no-any-return]

    def _read(self, column: str) -> pa.ChunkedArray:
        return self._case.columns("calls", [column]).column(column)


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
