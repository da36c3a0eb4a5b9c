"""Some of the calls of a case, with all that was worked out about each: what the rules look at, a portion at a time.

A portion holds either whole request trees, or calls in the order of their start. Arrays have shape (n,), one entry a call
of the portion. What is asked of all calls at once is in `Whole`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from wiretrace.diagnosis.symptoms import Symptoms, symptoms_of_calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.columns import Ending
    from wiretrace.diagnosis.whole import Whole

ROOT, QUESTION, SEEN_AT_CALLEE, ENTERING, IN_REQUEST, LATE, FAILED_FIRST, PARENT_FAILED, CONTINUES, GAVE_UP, ORIGIN = (
    1 << bit for bit in range(11)
)
TOOK_OFF, SENT_AGAIN = 1 << 11, 1 << 12
"""Bits of `marks`."""

CALL = np.dtype(
    [
        ("start", "i8"),
        ("end", "i8"),
        ("own", "i8"),
        ("network", "i8"),
        ("wait", "i8"),
        ("stalled", "i8"),
        ("request_bytes", "i8"),
        ("response_bytes", "i8"),
        ("digest", "u8"),
        ("made", "u8"),
        ("asked", "u8"),
        ("row", "i4"),
        ("kind", "i4"),
        ("ending", "i4"),
        ("caller_place", "i4"),
        ("callee_place", "i4"),
        ("route", "i4"),
        ("parent", "i4"),
        ("parent_row", "i4"),
        ("parent_kind", "i4"),
        ("parent_place", "i4"),
        ("likely", "i4"),
        ("request", "i4"),
        ("request_row", "i4"),
        ("siblings", "i4"),
        ("exchange", "i4"),
        ("connection", "i4"),
        ("confidence", "f4"),
        ("marks", "u2"),
    ]
)
"""What is kept of a call, in files; `Portion` says what the fields mean."""


Number = TypeVar("Number", bound=np.generic)


class Column(Generic[Number]):
    """A field of `CALL`, as an array that lies in one piece."""

    def __init__(self, kind: type[Number]) -> None:
        self._kind = kind

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, portion: Portion, owner: type) -> NDArray[Number]:
        column = portion.__dict__[self._name] = np.ascontiguousarray(portion.records[self._name], self._kind)
        return column


class Portion:
    """Calls, in the order of the table where they are whole trees."""

    start = Column(np.int64)
    end = Column(np.int64)
    own = Column(np.int64)
    """What the callee took while none of its own calls was under way, in nanoseconds."""
    network = Column(np.int64)
    """What passed on the way there and back, and until there was a connection; -1 where one end was not captured."""
    wait = Column(np.int64)
    """Of calls that were given up: how long their caller waited, in nanoseconds. Of others: 0."""
    stalled = Column(np.int64)
    """How long it waited for segments to be sent again, those that open its connection included, in nanoseconds."""
    request_bytes = Column(np.int64)
    response_bytes = Column(np.int64)
    digest = Column(np.uint64)
    """Keyed hash of what the request names; 0 where that is not known."""
    made = Column(np.uint64)
    """What the call asked for, by the bits that `Whole.steps` gives to the kinds of call."""
    asked = Column(np.uint64)
    """Whom the call asked, by the bits that `Whole.services` gives to the services."""
    row = Column(np.int32)
    """Its row in the table `calls`."""
    kind = Column(np.int32)
    """What it asks for: number in `Vocabulary.kinds`."""
    ending = Column(np.int32)
    """How it ended: number in `Vocabulary.endings`."""
    caller_place = Column(np.int32)
    """Where it was made: number in `Vocabulary.places`."""
    callee_place = Column(np.int32)
    """Where it was asked for, likewise."""
    parent = Column(np.int32)
    """Place of the parent among the calls of the portion, where it holds whole trees; -1 where there is none."""
    parent_row = Column(np.int32)
    """Row of the parent; -1 where there is none, or where it is only a question."""
    parent_kind = Column(np.int32)
    """Kind of the parent; -1 where there is none."""
    parent_place = Column(np.int32)
    """Where the parent was asked for; -1 where there is none."""
    likely = Column(np.int32)
    """As `parent`, where questions count, too."""
    request = Column(np.int32)
    """Place of the topmost call above it among the calls of the portion, where it holds whole trees."""
    request_row = Column(np.int32)
    """Row of that call."""
    siblings = Column(np.int32)
    """Calls of its kind that its parent made, itself included; 0 without a parent."""
    exchange = Column(np.int32)
    """Row in `exchanges` of the caller's view, or else the callee's; -1 where there is neither."""
    connection = Column(np.int32)
    """Row in `connections` of the connection that carried it; -1 where that is not known."""
    confidence = Column(np.float32)
    """Probability that the parent is right; 1 for a root."""
    marks = Column(np.uint16)
    """Bits; the properties below tell them."""

    def __init__(self, whole: Whole, records: NDArray[np.void]) -> None:
        """`records` are of the type `CALL`."""
        self.whole = whole
        """What is known of all calls."""
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def route(self) -> NDArray[np.int64]:
        """Who asks whom for what: number in `Whole.routes`."""
        found: NDArray[np.int64] = self.whole.routes.numbers[self.records["route"]]
        return found

    @cached_property
    def duration(self) -> NDArray[np.int64]:
        """What the caller waited, in nanoseconds."""
        found: NDArray[np.int64] = np.maximum(self.end - self.start, 0)
        return found

    @cached_property
    def caller(self) -> NDArray[np.int64]:
        """Number of the caller in `Vocabulary.parties`."""
        return self.whole.party_of_place[self.caller_place]

    @cached_property
    def callee(self) -> NDArray[np.int64]:
        """Number of the callee in `Vocabulary.parties`."""
        return self.whole.callee_of_kind[self.kind]

    @cached_property
    def edge(self) -> NDArray[np.int64]:
        """Caller and callee as one number; see `Whole.ends_of_edge`."""
        return self.caller * len(self.whole.parties) + self.callee

    @cached_property
    def is_root(self) -> NDArray[np.bool_]:
        """Whether the case names no parent, not even in question."""
        return self._marked(ROOT)

    @cached_property
    def has_parent(self) -> NDArray[np.bool_]:
        """Whether it has a parent that is no question."""
        found: NDArray[np.bool_] = self.parent_row >= 0
        return found

    @cached_property
    def entering(self) -> NDArray[np.bool_]:
        """Whether it is a request that enters the system, health checks left out."""
        return self._marked(ENTERING)

    @cached_property
    def in_request(self) -> NDArray[np.bool_]:
        """Whether it is a request, or was made for one."""
        return self._marked(IN_REQUEST)

    @cached_property
    def late(self) -> NDArray[np.bool_]:
        """Whether the request that it belongs to is bad: failed, or was slow against its own usual."""
        return self._marked(LATE)

    @cached_property
    def failed_first(self) -> NDArray[np.bool_]:
        """Whether it failed without that a call that it caused had failed: where a failure began."""
        return self._marked(FAILED_FIRST)

    @cached_property
    def parent_failed(self) -> NDArray[np.bool_]:
        """Whether its parent failed."""
        return self._marked(PARENT_FAILED)

    @cached_property
    def continues(self) -> NDArray[np.bool_]:
        """Whether its parent makes a later call on the same connection."""
        return self._marked(CONTINUES)

    @cached_property
    def sent_again(self) -> NDArray[np.bool_]:
        """Whether segments of it were sent again."""
        return self._marked(SENT_AGAIN)

    @cached_property
    def unknown(self) -> NDArray[np.bool_]:
        """Whether the capture lacks the end."""
        return self.whole.endings.unknown[self.ending]

    @cached_property
    def not_ok(self) -> NDArray[np.bool_]:
        """Whether it is known to have failed in any way."""
        return self.whole.endings.failed[self.ending]

    @cached_property
    def refused(self) -> NDArray[np.bool_]:
        """Whether the server called the request wrong (HTTP 4xx but 408 and 429): no failure of the system."""
        return self.whole.endings.refused[self.ending]

    @cached_property
    def failed(self) -> NDArray[np.bool_]:
        """Whether it failed; what was refused did not, and what sets up a connection does not count."""
        return self.not_ok & ~self.refused & ~self.sets_up

    @cached_property
    def unanswered(self) -> NDArray[np.bool_]:
        """Whether its caller gave up, or got no whole answer."""
        return self.whole.endings.unanswered[self.ending]

    @cached_property
    def given_up(self) -> NDArray[np.bool_]:
        """Whether its caller gave up before it had an answer, also where the server would never have answered."""
        endings = self.whole.endings
        return endings.given_up[self.ending] | (endings.silent[self.ending] & self._marked(GAVE_UP))

    @cached_property
    def sets_up(self) -> NDArray[np.bool_]:
        """Whether it only sets up or probes a connection."""
        return self.whole.sets_up[self.kind]

    @cached_property
    def is_probe(self) -> NDArray[np.bool_]:
        """Whether it is a health check."""
        return self.whole.probes[self.kind]

    @cached_property
    def slow(self) -> NDArray[np.bool_]:
        """Whether it took far longer than is usual for its kind."""
        return self.duration > self.whole.usual.limit[self.kind]

    @cached_property
    def bad_request(self) -> NDArray[np.bool_]:
        """Whether it is a request that is bad. False for other calls."""
        return self.entering & self.late

    @cached_property
    def symptoms(self) -> Symptoms:
        """What is wrong with each call itself, where the portion holds whole trees; known from the second pass on."""
        return symptoms_of_calls(self)

    @cached_property
    def is_origin(self) -> NDArray[np.bool_]:
        """Whether trouble began in it: what `symptoms` say, where the portion holds calls in the order of their start."""
        return self._marked(ORIGIN)

    def touched(self, places: NDArray[np.integer[Any]]) -> int:
        """Requests that some calls of a portion of whole trees belong to; `places` are theirs in the portion."""
        is_touched = np.zeros(len(self), np.bool_)
        is_touched[self.request[places]] = True
        return int((is_touched & self.entering).sum())

    def by_start(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Some calls in the order of their start."""
        return places[np.lexsort((self.row[places], self.start[places]))]

    def of_ending(self, ending: int) -> Ending:
        """An ending by its number."""
        return self.whole.vocabulary.endings[ending]

    def _marked(self, bit: int) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (self.marks & bit) != 0
        return found


def groups_of(codes: NDArray[np.integer[Any]], places: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The calls at `places` by their `codes`, shape (n,): each code that is there, rising, and its calls in order."""
    of_places = codes[places]
    order = np.argsort(of_places, kind="stable")
    ordered = of_places[order]
    opens = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1)) if len(ordered) else np.zeros(0, np.int64)
    bounds = np.append(opens, len(ordered))
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield int(ordered[begin]), places[order[begin:end]]
