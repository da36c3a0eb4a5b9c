"""Failing calls, each told once: at the topmost call that failed, with what failed first beneath it.

A failing call is a consequence where the call that caused it failed, too. What the user sees is the request; what is to be
mended is the first cause.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wiretrace.diagnosis.names import distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from wiretrace.diagnosis.columns import Ending, Kind, Vocabulary


class Harm(enum.Enum):
    """What a failing call did to a request, the worst first."""

    BROKE_REQUEST = "broke_request"
    """It is a request that entered the system, and failed."""
    ABSORBED = "absorbed"
    """It was made for a request that did not fail for it."""
    OUTSIDE = "outside"
    """It was made for no request: a pool, a probe, a timer, or a call whose cause was not found."""
    SET_UP = "set_up"
    """It only set up or probed a connection, and no request failed for it."""


HARMS = list(Harm)
BROKE_REQUEST, ABSORBED, OUTSIDE, SETS_UP = range(len(HARMS))


@dataclass(slots=True)
class Failure:
    """Calls of one kind that failed alike, for the same first cause, and were not made by a call that failed, too."""

    harm: Harm
    service: str
    operation: str
    failed: int
    """How often it failed like this."""
    calls: int
    """How often it was called at all."""
    word: str
    """How it failed: its status, or its outcome where there was no answer."""
    cause: str
    """What failed first beneath it, in words; empty where it failed by itself."""
    is_client_error: bool
    """Whether the server says that the request was wrong (HTTP 4xx): often no failure of the system at all."""
    example: str
    """Id of the tree of one of them: the one that shows most."""
    example_calls: int
    """Calls in that tree."""


class CallsOfTrees(NamedTuple):
    """Calls of whole trees, in the order of their rows. Arrays have shape (n,)."""

    row: NDArray[np.integer[Any]]
    kind: NDArray[np.integer[Any]]
    ending: NDArray[np.integer[Any]]
    end: NDArray[np.int64]
    parent: NDArray[np.int32]
    """Place of the parent among these calls; -1 for none."""
    tree_size: NDArray[np.integer[Any]]
    """Calls in the call's tree."""
    entering: NDArray[np.bool_]
    """Requests that enter the system."""
    in_request: NDArray[np.bool_]
    """These, and the calls beneath them."""


@dataclass(slots=True)
class _Kind:
    """Failures that are alike."""

    count: int
    first: tuple[int, bool]
    """Row of the first of them, and whether the server says that it was wrong."""
    example: tuple[int, int, int]
    """How much the tree shows that shows most (less is more), a row of it, and the calls in it."""


class FailureBook:
    """Collects failures by kind while calls go by, in any order."""

    def __init__(self, words: Vocabulary) -> None:
        self._words = words
        self._found: dict[tuple[int, int, str, str], _Kind] = {}

    def add(self, calls: CallsOfTrees) -> None:
        """Look at some whole trees."""
        words = self._words
        failed = words.ended(lambda ending: ending.failed)[calls.ending]
        places = np.flatnonzero(failed)
        above = calls.parent[places]
        places = places[~((above >= 0) & failed[above])]
        if not len(places):
            return
        causes = first_causes(places, failed, calls.parent, calls.end)
        harms = np.where(calls.in_request[places], ABSORBED, OUTSIDE)
        harms[words.sets_up[calls.kind[places]]] = SETS_UP
        harms[calls.entering[places]] = BROKE_REQUEST
        alone = causes == places
        columns = [harms, calls.kind[places], calls.ending[places], calls.kind[causes], calls.ending[causes]]
        group, first = distinct([*columns, alone])
        often = np.bincount(group)
        rank = -how_much_it_shows(calls.tree_size[places])
        shown = _first_of_each(group, rank)
        for number, place in enumerate(first.tolist()):
            harm, kind, ending, below, cause = (int(column[place]) for column in columns)
            told = "" if alone[place] else _told(words.kinds[below], words.endings[cause])
            example = places[shown[number]]
            found = _Kind(
                int(often[number]),
                (int(calls.row[places[place]]), words.endings[ending].is_client_error),
                (int(rank[shown[number]]), int(calls.row[example]), int(calls.tree_size[example])),
            )
            key = (harm, kind, words.endings[ending].word, told)
            if (known := self._found.get(key)) is not None:
                found.count += known.count
                found.first = min(found.first, known.first)
                found.example = min(found.example, known.example)
            self._found[key] = found

    def failures(self, often: NDArray[np.int64], tree_ids: Callable[[list[int]], list[str]]) -> list[Failure]:
        """Failures by kind: broken requests first, the requests' own errors (4xx) last among them, then the most frequent.

        `often` is how often each kind of call was made, `tree_ids` gives the trees of the calls in some rows.
        """
        examples = tree_ids([found.example[1] for found in self._found.values()])
        failures = []
        for ((harm, kind, word, cause), found), example in zip(self._found.items(), examples, strict=True):
            service, operation = self._words.kinds[kind]
            calls = int(often[kind])
            failures.append(
                Failure(
                    *(HARMS[harm], service, operation, found.count, calls, word, cause, found.first[1]),
                    *(example, found.example[2]),
                )
            )
        return sorted(
            failures, key=lambda each: (HARMS.index(each.harm), each.is_client_error, -each.failed, _name(each))
        )


EXAMPLE_CALLS = 24
"""Trees with more calls than this are not taken as the example where a smaller one shows the same."""


def how_much_it_shows(calls: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """How much trees of so many calls show: a bigger one more, until it is too big to be drawn. Shapes (n,)."""
    return np.where(calls <= EXAMPLE_CALLS, calls, 1)


def _told(kind: Kind, ending: Ending) -> str:
    """A failing call in words: "SELECT orders (pg): 40P01"."""
    return f"{kind.operation} ({kind.service}): {ending.word}"


def _name(failure: Failure) -> Sequence[str]:
    return failure.service, failure.operation, failure.word, failure.cause


def _first_of_each(group: NDArray[np.int64], rank: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The place of the lowest rank of each group, the first of equals; groups are numbered from 0."""
    order = np.lexsort((rank, group))
    return order[np.flatnonzero(np.diff(group[order], prepend=-1))]


def first_causes(
    rows: NDArray[np.int64], failed: NDArray[np.bool_], parents: NDArray[np.int32], end: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where following failing calls downwards from each of `rows` ends, shape (m,).

    Of several, the one that failed first: the later ones may be its consequences. Follows by doubling, so that a deep
    tree costs no more than a flat one.
    """
    consequences = np.flatnonzero(failed & (parents >= 0) & failed[parents])
    if not len(consequences):
        return rows
    latest_first = consequences[np.argsort(-end[consequences], kind="stable")]
    below = np.arange(len(parents), dtype=np.int32)
    below[parents[latest_first]] = latest_first  # of equal places the last one stays: the earliest to end
    while not np.array_equal(further := below[below], below):
        below = further
    return below[rows].astype(np.int64)
