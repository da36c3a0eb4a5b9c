"""thundering-herd: many requests that ask for the very same thing at the same moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told, harm
from wiretrace.diagnosis.contents import Contents
from wiretrace.diagnosis.distribution import LONGEST, Distributions
from wiretrace.diagnosis.rowset import RowSet
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import Severity
from wiretrace.model.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST = 8
"""Identical calls for different requests that are under way at once, at least, ..."""
TABLE_BITS = 20
"""Bits of a digest by which the common ones are told from the rare ones."""
TIMES_USUAL = 4
"""... and so many times as many as are under way when one of its kind begins, in the middle."""
MOST_ALIKE = 64
"""Calls with one digest that are remembered while some of them are under way, the latest ones."""
ALIKE = np.dtype(
    [("start", "i8"), ("end", "i8"), ("digest", "u8"), ("content", "u8")]
    + [(name, "i4") for name in ("row", "kind", "request_row", "exchange")]
)
"""What is remembered of a call, as `Portion` has it, and its content."""


class ThunderingHerd(Rule):
    """A herd of identical calls."""

    code = "thundering-herd"
    title = "Many ask for the same thing at once"
    page = Page(
        finds="Eight or more calls with the same content, made for different requests, that are under way at the same time: "
        "typically after a popular entry of a cache expired, when everybody fetches it from the database.",
        matters="The database does the same work many times over, just when the load is highest, and slows down for all.",
        confirm="Look whether a miss of a cache precedes each of the listed calls. Let one request fetch the "
        "value while the "
        "others wait for it, or renew the entry before it expires.",
        false_alarm="Where calls without parameters (a list of settings) are made by every request, and the load is high: "
        "the rule asks for far more at once than usual.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._contents = Contents(whole.case)
        self._eligible = whole.countable & (whole.often >= FEWEST)
        self._under_way = UnderWay(whole.kinds)
        self._at_once = Distributions()
        """How many calls of each kind are under way when one begins."""
        self._latest = np.zeros(0, ALIKE)
        """The latest calls with the same digest, where some are under way."""
        self._members = RowSet(whole.calls)
        """Calls of herds."""
        self._kinds: set[int] = set()

    def see_in_order(self, portion: Portion) -> None:
        """Look for herds."""
        eligible = self._eligible[portion.kind]
        places = np.flatnonzero(eligible)
        kind = portion.kind[places]
        self._at_once.add(kind, self._under_way.when_beginning(kind, portion.start[places], portion.end[places]))
        calls = self._common(portion, np.flatnonzero(eligible & portion.in_request & portion.has_parent))
        members = _together(calls, "digest")
        if len(members):
            members["content"] = self._contents.of(members["exchange"])
            members = _together(members, "content")
            self._members.add(members["row"])
            self._kinds.update(np.unique(members["kind"]).tolist())
        self._latest = _still_of_use(calls, int(portion.start[-1])) if len(portion) else self._latest

    def claims(self) -> Iterator[Claim]:
        """One claim for each kind of call with a herd."""
        for kind in sorted(self._kinds):
            if self._at_once.of(kind).median * TIMES_USUAL <= FEWEST:
                yield self._claim(kind)

    def _claim(self, kind: int) -> Claim:
        whole, name = self.whole, self.whole.told_kind(kind)
        times = Distributions()
        slow = [False]

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = np.flatnonzero((portion.kind == kind) & self._members.has(portion.row))
            slow[0] |= bool(portion.slow[places].any())
            times.add(np.zeros(len(places), np.int64), portion.duration[places])
            evidence.add(portion, places, portion.start[places])

        def tell(evidence: Evidence) -> Told:
            return Told(
                harm(whole, evidence.requests) if slow[0] else Severity.INFO,
                f"{counted(evidence.requests, 'request')} asked for the very same thing at once: {name}.",
                f"{counted(evidence.occurrences, 'identical call')} were under way together, {FEWEST} or more at a time; "
                f"they took {duration(int(times.of(0).median))} in the middle, where "
                f"{duration(int(whole.usual.typical[kind]))} is usual.",
                whole.show_step(evidence.first),
            )

        return Claim((whole.component_kind(kind), name), tell, gather)

    def _common(self, portion: Portion, places: NDArray[np.int64]) -> NDArray[np.void]:
        """The calls at some places whose digest is frequent, and the latest ones before, by kind and digest."""
        places = places[portion.digest[places] != 0]
        found = np.zeros(len(places), ALIKE)
        for field in ALIKE.names or ():
            if field != "content":
                found[field] = portion.records[field][places]
        both = np.concatenate([self._latest, found])
        # Most contents are rare: a table of a part of their bits tells so without sorting them.
        part = (both["digest"] >> np.uint64(64 - TABLE_BITS)).astype(np.int64)
        is_common = np.bincount(part, minlength=1 << TABLE_BITS)[part] >= FEWEST
        # What is under way at the end may be joined by others yet.
        latest = int(portion.start[-1]) if len(portion) else 0
        return _ordered(both[is_common | (both["end"] > latest)], "digest")


class UnderWay:
    """Counts the calls of each kind that are under way when one begins; calls come in the order of their start."""

    def __init__(self, kinds: int) -> None:
        self._open = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        """Kinds and ends of the calls that are under way."""
        self._kinds = kinds

    def when_beginning(
        self, kind: NDArray[np.integer[Any]], start: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How many there are, itself included. Shapes (n,)."""
        if not len(kind):
            return np.zeros(0, np.int64)
        order = np.argsort(kind, kind="stable")
        kinds, ends = np.append(self._open[0], kind), np.append(self._open[1], end)
        # Kinds are laid end to end on one line, so that one search serves all of them.
        width = min(int(start[-1] - start[0]) + 2, LONGEST)
        begins = kind[order] * np.int64(width) + (start[order] - start[0]).clip(0, width - 1)
        over = np.sort(kinds * np.int64(width) + (ends - start[0]).clip(0, width - 1))
        before = np.searchsorted(over, kind[order] * np.int64(width))
        ended = np.searchsorted(over, begins, "right") - before
        first = np.searchsorted(kind[order], kind[order])
        begun = np.bincount(self._open[0], minlength=self._kinds)[kind[order]] + np.arange(len(kind)) - first + 1
        found = np.empty(len(kind), np.int64)
        found[order] = begun - ended
        is_open = ends > start[-1]
        self._open = kinds[is_open], ends[is_open]
        return found


def _ordered(calls: NDArray[np.void], by: str) -> NDArray[np.void]:
    ordered: NDArray[np.void] = calls[np.lexsort((calls["row"], calls["start"], calls[by], calls["kind"]))]
    return ordered


def _together(calls: NDArray[np.void], by: str) -> NDArray[np.void]:
    """Those of `calls` of which `FEWEST` with the same kind and `by`, for different requests, are under way at once."""
    calls, back = _ordered(calls, by), FEWEST - 1
    if len(calls) <= back:
        return calls[:0]
    earlier, later = calls[:-back], calls[back:]
    herd = (later["kind"] == earlier["kind"]) & (later[by] == earlier[by]) & (earlier["end"] > later["start"])
    herd &= earlier["request_row"] != later["request_row"]
    members: NDArray[np.void] = calls[np.unique((np.flatnonzero(herd)[:, None] + np.arange(FEWEST)).ravel())]
    return members


def _still_of_use(calls: NDArray[np.void], now: int) -> NDArray[np.void]:
    """The latest calls of each kind and digest from the first on that is still under way. `calls` are in order."""
    if not len(calls):
        return calls
    opens = np.append(True, (calls["kind"][1:] != calls["kind"][:-1]) | (calls["digest"][1:] != calls["digest"][:-1]))
    number = np.cumsum(opens) - 1
    last = np.append(np.flatnonzero(opens)[1:], len(calls))[number]
    place = np.arange(len(calls))
    first = np.full(number[-1] + 1, len(calls))
    is_open = calls["end"] > now
    np.minimum.at(first, number[is_open], place[is_open])
    kept: NDArray[np.void] = calls[(place >= first[number]) & (last - place <= MOST_ALIKE)]
    return kept
