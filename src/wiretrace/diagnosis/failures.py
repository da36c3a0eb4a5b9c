"""Failing calls, each told once: at the topmost call that failed, with what failed first beneath it.

A failing call is a consequence where the call that caused it failed, too. What the user sees is the request; what is to be
mended is the first cause.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.names import Names, combined, counts, distinct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.diagnosis.ancestry import Ancestry
    from wiretrace.diagnosis.columns import CallColumns, Ending, Kind


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


def find_failures(
    columns: CallColumns, ancestry: Ancestry, entering: NDArray[np.bool_], in_request: NDArray[np.bool_]
) -> list[Failure]:
    """Failures by kind: broken requests first, the requests' own errors (4xx) last among them, then the most frequent.

    `entering` are the requests that enter the system, and `in_request` the calls beneath them and they themselves.
    Shapes (n,).
    """
    failed, parents = columns.failed, ancestry.parent
    rows = np.flatnonzero(failed)
    above = parents[rows]
    rows = rows[~((above >= 0) & failed[above])]
    causes = first_causes(rows, failed, parents, columns.end)
    harms = np.where(in_request[rows], ABSORBED, OUTSIDE)
    harms[columns.sets_up[columns.kind[rows]]] = SETS_UP
    harms[entering[rows]] = BROKE_REQUEST
    words, sentences = Names[str](), Names[str]()
    word_of_ending = np.array([words.code(ending.word) for ending in columns.endings], np.int64)
    told = combined(
        [(columns.kind[causes], columns.kinds), (columns.ending[causes], columns.endings)], _told, sentences
    )
    told[causes == rows] = sentences.code("")
    group, first = distinct([harms, columns.kind[rows], word_of_ending[columns.ending[rows]], told])
    often = np.bincount(group, minlength=len(first))
    called = counts(columns.kind, len(columns.kinds))
    shown = rows[_first_of_each(group, -how_much_it_shows(ancestry.tree_size[rows]))]
    failures = []
    for number, (place, example) in enumerate(zip(first.tolist(), columns.tree_ids(shown.tolist()), strict=True)):
        row = rows[place]
        kind, ending = columns.kinds[columns.kind[row]], columns.endings[columns.ending[row]]
        failures.append(
            Failure(
                HARMS[harms[place]],
                kind.service,
                kind.operation,
                int(often[number]),
                int(called[columns.kind[row]]),
                ending.word,
                sentences.things[told[place]],
                ending.is_client_error,
                example,
                int(ancestry.tree_size[shown[number]]),
            )
        )
    return sorted(failures, key=lambda each: (HARMS.index(each.harm), each.is_client_error, -each.failed, _name(each)))


EXAMPLE_CALLS = 24
"""Trees with more calls than this are not taken as the example where a smaller one shows the same."""


def how_much_it_shows(calls: NDArray[np.int32]) -> NDArray[np.int32]:
    """How much trees of so many calls show: a bigger one more, until it is too big to be drawn. Shapes (n,)."""
    return np.where(calls <= EXAMPLE_CALLS, calls, 1)


def _told(kind: Kind, ending: Ending) -> str:
    """A failing call in words: "SELECT orders (pg): 40P01"."""
    return f"{kind.operation} ({kind.service}): {ending.word}"


def _name(failure: Failure) -> Sequence[str]:
    return failure.service, failure.operation, failure.word, failure.cause


def _first_of_each(group: NDArray[np.int64], rank: NDArray[np.int32]) -> NDArray[np.int64]:
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
