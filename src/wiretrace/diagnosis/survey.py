"""The first look at all calls of a case, in the order of the table: words, what is usual, and which calls go together.

Calls are read a row group at a time, and leave as records in bins: a bin holds whole trees, as the column `tree` tells.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from wiretrace.case.forest import following
from wiretrace.case.ids import numbers_of_ids
from wiretrace.case.rows import RowReader
from wiretrace.diagnosis.columns import ENDING_COLUMNS, PLACE_COLUMNS
from wiretrace.diagnosis.names import present
from wiretrace.diagnosis.portion import GAVE_UP, QUESTION, ROOT, SEEN_AT_CALLEE, SENT_AGAIN, TOOK_OFF
from wiretrace.diagnosis.usual import SLICES, ValuesOverTime, usual_values
from wiretrace.diagnosis.whole import Whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

MIXER = np.uint64(0x9E3779B97F4A7C15)
"""An odd number without pattern (2**64 divided by the golden ratio): the upper bits of products are spread evenly."""
EXCHANGE_GROUPS_KEPT = 16
"""Row groups of `exchanges` that are in memory: the calls of a moment were seen at several vantage points."""
STARTS_KEPT = 1 << 14
"""Starts of calls that stand for all of them where these are put in order."""

SURVEYED = np.dtype(
    [
        ("id", "u8"),
        ("above", "u8"),
        ("start", "i8"),
        ("end", "i8"),
        ("server_start", "i8"),
        ("server_end", "i8"),
        ("set_up", "i8"),
        ("began", "i8"),
        ("stalled", "i8"),
        ("request_bytes", "i8"),
        ("response_bytes", "i8"),
        ("digest", "u8"),
        ("row", "i4"),
        ("kind", "i4"),
        ("ending", "i4"),
        ("caller_place", "i4"),
        ("callee_place", "i4"),
        ("exchange", "i4"),
        ("connection", "i4"),
        ("confidence", "f4"),
        ("marks", "u2"),
    ]
)
"""What is read of a call: `id` and `above` (the parent) as numbers, `began` when the request began as its capture tells."""

IDS = ["id", "tree", "parent"]
PLAIN = ["start_ns", "end_ns", "basis", "question", "relation", "confidence", "server_exchange"]
DETAILS = {
    "server_start": "server_start_ns",
    "server_end": "server_end_ns",
    "request_bytes": "request_bytes",
    "response_bytes": "response_bytes",
    "stalled": "retransmission_ns",
}
"""Fields of a record, and the columns that they come from."""
EXCHANGE_COLUMNS = ["connection", "request_digest", "request_start_ns", "given_up_ns"]
"""Columns of the exchange that shows a call."""
SET_UP_PARTS = ["lookup_ns", "connect_ns", "tls_ns"]
"""Columns of what comes before a call."""
FIRST_TIMEOUT_NS = 1_000_000_000
"""A SYN is sent again after so long (RFC 6298 section 2.1): connecting that takes longer has waited for that."""


class Survey:
    """Reads calls, and learns what all of them tell. `whole` is complete when all were read."""

    def __init__(self, case: Case, bins: int, details: bool = True) -> None:
        """`details`: whether more is read than counting requests and failures takes."""
        self.whole = Whole(case, calls=int(case.group_starts("calls")[-1]))
        self._case = case
        self._bins = bins
        self._details = details
        self._durations = ValuesOverTime()
        self._within: set[int] = set()
        self._outside: set[int] = set()
        self._ends: tuple[set[int], set[int]] = (set(), set())
        self._seen: set[int] = set()
        self._asked: set[tuple[int, int]] = set()
        self._starts: list[NDArray[np.void]] = []
        if details:
            self._exchanges = RowReader(case, "exchanges", EXCHANGE_COLUMNS, EXCHANGE_GROUPS_KEPT)
            named = case.columns("connections", ["connection"]).column("connection").to_numpy()
            self._connection_rows = np.argsort(named, kind="stable")
            self._connections = named[self._connection_rows]

    def records(self) -> Iterator[tuple[NDArray[np.void], NDArray[np.int64]]]:
        """Records of all calls, some at a time, and the bins that they belong into. Raises UserError for a damaged case."""
        columns = [*IDS, *PLAIN, *PLACE_COLUMNS["server"], *PLACE_COLUMNS["client"], "operation", *ENDING_COLUMNS]
        if self._details:
            columns += [*DETAILS.values(), *SET_UP_PARTS, "client_exchange", "retransmitted"]
        self._learn_time()
        starts = self._case.group_starts("calls").tolist()
        for first, piece in zip(starts, self._case.pieces("calls", columns), strict=False):
            yield self._read(piece, first)
        if self._details:
            # The row groups that it keeps are as large as all that comes after the survey.
            del self._exchanges
        self._conclude()

    @property
    def blind(self) -> list[str]:
        """Services that were asked where nothing was captured, sorted."""
        kinds = self.whole.vocabulary.kinds
        return sorted({kinds[kind].service for kind, place in self._asked if place not in self._seen})

    @property
    def ends(self) -> tuple[set[int], set[int]]:
        """Places that call, and places that answer."""
        return self._ends

    @property
    def starts(self) -> NDArray[np.void]:
        """Starts and rows of a sample of the calls, in their order."""
        found = np.concatenate([np.zeros(0, MOMENT), *self._starts])
        return found[np.lexsort((found["row"], found["start"]))]

    def _read(self, piece: pa.Table, first: int) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        words = self.whole.vocabulary
        found = np.zeros(len(piece), SURVEYED)
        for field in ("start", "end"):
            found[field] = piece.column(f"{field}_ns").to_numpy()
        found["row"] = np.arange(first, first + len(piece))
        found["confidence"] = piece.column("confidence").fill_null(1.0).to_numpy()
        callee, caller = (words.places_of(piece, side) for side in ("server", "client"))
        kind, ending = words.kinds_of(piece, callee), words.endings_of(piece)
        for field, codes in (("callee_place", callee), ("caller_place", caller), ("kind", kind), ("ending", ending)):
            found[field] = codes
        is_root = pc.is_null(piece.column("basis")).to_numpy()
        is_question = piece.column("question").fill_null(False).to_numpy()
        is_seen = piece.column("server_exchange").to_numpy() >= 0
        found["marks"] = ROOT * is_root + QUESTION * is_question + SEEN_AT_CALLEE * is_seen
        found["marks"] |= TOOK_OFF * following(piece.column("relation")).astype(np.uint16)
        self._learn(found, is_root, is_question, is_seen)
        found["id"], tree, found["above"] = (numbers_of_texts(piece.column(name)) for name in IDS)
        if self._details:
            self._add_details(found, piece)
        tree = np.where(tree == 0, found["id"], tree)
        return found, ((tree * MIXER >> np.uint64(40)).astype(np.int64) * self._bins) >> 24

    def _add_details(self, found: NDArray[np.void], piece: pa.Table) -> None:
        for field, column in DETAILS.items():
            found[field] = piece.column(column).fill_null(0).to_numpy()
        for column in SET_UP_PARTS:
            found["set_up"] += piece.column(column).fill_null(0).to_numpy()
        connecting = piece.column("connect_ns").fill_null(0).to_numpy()
        found["stalled"] += np.where(connecting >= FIRST_TIMEOUT_NS, connecting, 0)
        found["marks"] |= SENT_AGAIN * (piece.column("retransmitted").to_numpy() > 0).astype(np.uint16)
        client, server = (piece.column(f"{side}_exchange").to_numpy() for side in ("client", "server"))
        exchange = np.where(client >= 0, client, server)
        known = np.flatnonzero((exchange >= 0) & (exchange < len(self._exchanges)))
        found["exchange"] = found["connection"] = found["began"] = -1
        found["exchange"][known] = exchange[known]
        if not len(known):
            return
        taken = self._exchanges.take(exchange[known])
        found["digest"][known] = taken.column("request_digest").to_numpy()
        found["began"][known] = taken.column("request_start_ns").to_numpy()
        found["marks"][known] |= GAVE_UP * (taken.column("given_up_ns").to_numpy() >= 0).astype(np.uint16)
        if len(self._connections):
            named = taken.column("connection").to_numpy()
            place = np.minimum(np.searchsorted(self._connections, named), len(self._connections) - 1)
            is_there = self._connections[place] == named
            found["connection"][known] = np.where(is_there, self._connection_rows[place], -1)

    def _learn_time(self) -> None:
        """When calls begin: into stretches of time they are sorted as they come."""
        ends = [pc.min_max(piece.column("start_ns")).as_py() for piece in self._case.pieces("calls", ["start_ns"])]
        known = [each for each in ends if each["min"] is not None]
        if known:
            whole = self.whole
            whole.first_ns = min(each["min"] for each in known)
            whole.slice_ns = (max(each["max"] for each in known) - whole.first_ns) // SLICES + 1

    def _learn(
        self,
        found: NDArray[np.void],
        is_root: NDArray[np.bool_],
        is_question: NDArray[np.bool_],
        is_seen: NDArray[np.bool_],
    ) -> None:
        whole, words = self.whole, self.whole.vocabulary
        kind, ending = found["kind"], found["ending"]
        sets_up, party = words.sets_up, words.party_of_place[found["caller_place"]]
        self._within |= set(present(party[~is_root & ~is_question]))
        self._outside |= set(present(party[is_root & ~sets_up[kind]]))
        for known, side in zip(self._ends, ("caller_place", "callee_place"), strict=True):
            known |= set(present(found[side]))
        self._seen |= set(present(found["callee_place"][is_seen]))
        places = len(words.places)
        unseen = np.unique(kind[~is_seen].astype(np.int64) * places + found["callee_place"][~is_seen])
        self._asked |= {(one // places, one % places) for one in unseen.tolist()}
        unknown = words.ended(lambda each: each.is_unknown)[ending]
        well = ~unknown & ~words.ended(lambda each: each.failed)[ending]
        start = found["start"][well]
        self._durations.add(kind[well], found["end"][well] - start, whole.slice_of(start))
        often = np.bincount(kind, minlength=len(words.kinds))
        often[: len(whole.often)] += whole.often
        whole.often = often
        new, at = np.unique(kind, return_index=True)
        for number, place in zip(new.tolist(), at.tolist(), strict=True):
            whole.protocol_of_kind.setdefault(number, words.endings[ending[place]].protocol)
        if len(found):
            latest = int(found["end"].max())
            whole.last_ns = latest if int(found["row"][0]) == 0 else max(whole.last_ns, latest)
        whole.unknown += int(unknown.sum())
        whole.questions += int(is_question.sum())
        step = -(-whole.calls // STARTS_KEPT) or 1
        sample = found[-int(found["row"][0]) % step :: step] if len(found) else found
        moments = np.zeros(len(sample), MOMENT)
        moments["start"], moments["row"] = sample["start"], sample["row"]
        self._starts.append(moments)

    def _conclude(self) -> None:
        whole = self.whole
        whole.learn_words()
        whole.is_within = np.isin(np.arange(len(whole.parties)), list(self._within))
        whole.anybody_outside = bool(self._outside - self._within)
        whole.usual = usual_values(self._durations, whole.kinds)


MOMENT = np.dtype([("start", "i8"), ("row", "i8")])
"""When a call began, and its row, which tells calls apart that began at once."""


def numbers_of_texts(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Ids as numbers; of any other text, which only a foreign case holds, a digest; 0 for null and no text. Shape (n,)."""
    numbers, is_id = numbers_of_ids(ids)
    if not is_id.all():
        for place in np.flatnonzero(~is_id & pc.not_equal(ids, "").fill_null(False).to_numpy()).tolist():
            text = ids[place].as_py()
            numbers[place] = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    return numbers
