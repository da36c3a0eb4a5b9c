"""What is known of all calls of a case together, however many there are: words, what is usual, and how many there are.

It grows while the calls go by: what each pass adds is known from the next pass on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.compute as pc

from wiretrace.case.rows import RowReader
from wiretrace.diagnosis.columns import Vocabulary
from wiretrace.diagnosis.names import distinct
from wiretrace.diagnosis.routes import DATA_PROTOCOLS
from wiretrace.diagnosis.siblings import countable_kinds
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.diagnosis.symptoms import ON_THE_WAY
from wiretrace.model.finding import ComponentKind
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.attempts import Attempts
    from wiretrace.diagnosis.pools import Pool
    from wiretrace.diagnosis.routes import Routes
    from wiretrace.diagnosis.suspects import Suspicion
    from wiretrace.diagnosis.usual import Usual

BITS = 64
"""Different things that are told apart of what the calls of one kind do; further ones are not looked at."""


class Endings(NamedTuple):
    """What is asked of endings, by number. Arrays have shape (endings,)."""

    failed: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    unanswered: NDArray[np.bool_]
    given_up: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    on_the_way: NDArray[np.bool_]


class Connections(NamedTuple):
    """The table `connections`. Arrays have shape (connections,)."""

    opened: NDArray[np.int64]
    closed: NDArray[np.int64]
    is_open: NDArray[np.bool_]
    """Whether it was still open when the capture ended."""


class BitBook:
    """Gives a bit of 64 to each thing that calls of one kind have to do with."""

    def __init__(self) -> None:
        self._bits: dict[int, dict[int, int]] = {}

    def bit(self, kind: int, thing: int) -> int:
        """The bit of a thing for calls of a kind; 0 where it has none."""
        return self._bits.get(kind, {}).get(thing, 0)

    def masks(
        self, kinds: NDArray[np.int64], things: NDArray[np.int64], parents: NDArray[np.int64], count: int
    ) -> NDArray[np.uint64]:
        """The bits of what each of `count` calls has to do with; `parents` (n,) are these calls, of `kinds`, by thing."""
        found = np.zeros(count, np.uint64)
        number, first = distinct([kinds, things])
        bits = []
        for kind, thing in zip(kinds[first].tolist(), things[first].tolist(), strict=True):
            known = self._bits.setdefault(kind, {})
            bits.append(known.setdefault(thing, 1 << len(known) if len(known) < BITS else 0))
        np.bitwise_or.at(found, parents, np.array(bits, np.uint64)[number])
        return found


@dataclass
class Whole:
    """All calls of a case. Arrays by number of a kind have shape (kinds,), and so on."""

    case: Case
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    calls: int = 0
    first_ns: int = -1
    """Start of the earliest call; -1 without calls."""
    last_ns: int = -1
    """End of the latest call."""
    slice_ns: int = 1
    """Length of each of the `SLICES` stretches of time in which calls begin."""
    unknown: int = 0
    """Calls whose end the capture lacks."""
    questions: int = 0
    """Calls whose parent is only a question."""
    requests: int = 0
    """Requests that enter the system; known after the first pass."""
    often: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Calls of each kind."""
    parties: list[str] = field(default_factory=list)
    kinds: int = 0
    """How many kinds of call there are."""
    sets_up: NDArray[np.bool_] = field(init=False)
    """Kinds of call that only set up or probe a connection."""
    probes: NDArray[np.bool_] = field(init=False)
    """Kinds of call that are health checks."""
    countable: NDArray[np.bool_] = field(init=False)
    """Kinds of call whose repetition, or absence, means something."""
    protocol_of_kind: dict[int, str] = field(default_factory=dict)
    """The protocol of the first call of each kind."""
    callee_of_kind: NDArray[np.int64] = field(init=False)
    party_of_place: NDArray[np.int64] = field(init=False)
    endings: Endings = field(init=False)
    is_within: NDArray[np.bool_] = field(init=False)
    """Parties that make calls which a call to them caused."""
    anybody_outside: bool = False
    """Whether somebody who is not within asks for something."""
    usual: Usual = field(init=False)
    """What calls of each kind take, from those that did not fail."""
    usual_own: Usual = field(init=False)
    """What their callees take by themselves; known after the first pass."""
    usual_network: Usual = field(init=False)
    """What passes on their way; known after the first pass."""
    routes: Routes = field(init=False)
    """Known after the first pass."""
    steps: BitBook = field(default_factory=BitBook)
    """Bits of the kinds of call that calls of a kind make."""
    services: BitBook = field(default_factory=BitBook)
    """Bits of the services that calls of a kind ask."""
    attempts: Attempts = field(init=False)
    """Repetitions after failures that are found in the portion that is looked at; in the third pass."""
    pools: list[Pool] = field(default_factory=list)
    """Connections that are kept and used again; known after the third pass."""
    suspicion: Suspicion = field(init=False)
    """What may have caused the bad requests; known after the second pass."""

    def learn_words(self) -> None:
        """Look at the vocabulary once it is complete."""
        words = self.vocabulary
        self.party_of_place, self.callee_of_kind = words.party_of_place, words.callee_of_kind
        self.parties, self.kinds = words.parties, len(words.kinds)
        self.sets_up, self.probes = words.sets_up, words.probes
        self.endings = Endings(
            words.ended(lambda ending: ending.failed),
            words.ended(lambda ending: ending.is_unknown),
            words.ended(lambda ending: ending.is_refused),
            words.ended(lambda ending: ending.is_unanswered),
            words.ended(lambda ending: ending.is_given_up),
            words.ended(lambda ending: ending.outcome == Outcome.SERVER_SILENT),
            words.ended(lambda ending: ending.outcome in ON_THE_WAY),
        )
        self.countable = countable_kinds(words.kinds, self.protocol_of_kind, self.sets_up | self.probes)

    def slice_of(self, start: NDArray[np.int64]) -> NDArray[np.int64]:
        """In which of `SLICES` stretches of equal length each call began. Shapes (n,)."""
        found: NDArray[np.int64] = (start - self.first_ns) // self.slice_ns
        return found

    def enters(
        self, kind: NDArray[np.int32], caller_place: NDArray[np.int32], is_root: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Which calls are requests that enter the system, health checks included; see `requests`. Shapes (n,)."""
        if not self.anybody_outside:
            return is_root
        return is_root & ~self.sets_up[kind] & ~self.is_within[self.party_of_place[caller_place]]

    def connections(self) -> Connections:
        """The connections of the case. Raises UserError if it is damaged."""
        table = self.case.columns("connections", ["opened_ns", "closed_ns", "ended"])
        ended = pc.equal(table.column("ended"), "open").fill_null(False).to_numpy()
        return Connections(table.column("opened_ns").to_numpy(), table.column("closed_ns").to_numpy(), ended)

    def told_kind(self, kind: int) -> str:
        """A kind of call in words: "GET /orders/{id} (shop)"."""
        return told_kind(self.vocabulary, kind)

    def component_kind(self, kind: int) -> ComponentKind:
        """Whether calls of a kind are statements or other operations."""
        is_statement = self.protocol_of_kind[kind] in DATA_PROTOCOLS
        return ComponentKind.STATEMENT if is_statement else ComponentKind.OPERATION

    def ends_of_edge(self, edge: int) -> tuple[str, str]:
        """Caller and callee of an edge by its number."""
        return self.parties[edge // len(self.parties)], self.parties[edge % len(self.parties)]

    @cached_property
    def _ids(self) -> RowReader:
        """The names of the calls, for as many findings as there may be."""
        return RowReader(self.case, "calls", ["id"])

    def show_step(self, row: int) -> str:
        """Where to look: the command that shows the call in a row. Raises UserError if the case is damaged."""
        name = self._ids.take(np.array([row])).column("id")[0].as_py()
        return f"Look at one of them: wiretrace show CASE {name} --why"
