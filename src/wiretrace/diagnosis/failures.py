"""Failing calls, each told once: at the topmost call that failed, with what failed first beneath it.

A failing call is a consequence where the call that caused it failed, too. What the user sees is the request; what is to be
mended is the first cause.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.diagnosis.columns import CallColumns


class Harm(enum.Enum):
    """What a failing call did to a request, the worst first."""

    BROKE_REQUEST = "broke_request"
    """It is a request that entered the system, and failed."""
    ABSORBED = "absorbed"
    """It was made for a request that did not fail for it."""
    OUTSIDE = "outside"
    """It was made for no request: a pool, a probe, a timer, or a call whose cause was not found."""


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


def find_failures(
    columns: CallColumns, parents: NDArray[np.int64], entering: NDArray[np.bool_], in_request: NDArray[np.bool_]
) -> list[Failure]:
    """Failures by kind: broken requests first, the requests' own errors (4xx) last among them, then the most frequent.

    `parents` are rows of parents that are more than a question, -1 for none; `entering` are the requests that
    enter the system, and `in_request` the calls beneath them and they themselves. Shapes (n,).
    """
    failed = columns.failed
    topmost = np.flatnonzero(failed & ~((parents >= 0) & failed[parents]))
    causes = _first_causes(failed, parents, columns.end)
    called = Counter(zip(columns.callees, columns.operations, strict=True))
    groups: dict[tuple[Harm, str, str, str, str], list[int]] = {}
    for row in topmost.tolist():
        cause = int(causes[row])
        words = "" if cause == row else columns.told(cause)
        key = (
            _harm(row, entering, in_request),
            columns.callees[row],
            columns.operations[row],
            columns.word(row),
            words,
        )
        groups.setdefault(key, []).append(row)
    sizes = Counter(columns.trees)
    failures = []
    for (harm, service, operation, word, words), rows in groups.items():
        shown = max(rows, key=lambda row: how_much_it_shows(sizes[columns.trees[row]]))
        failures.append(
            Failure(
                harm,
                service,
                operation,
                len(rows),
                called[service, operation],
                word,
                words,
                columns.is_client_error(rows[0]),
                columns.trees[shown],
            )
        )
    order = list(Harm)
    return sorted(failures, key=lambda each: (order.index(each.harm), each.is_client_error, -each.failed, _name(each)))


EXAMPLE_CALLS = 24
"""Trees with more calls than this are not taken as the example where a smaller one shows the same."""


def how_much_it_shows(calls: int) -> int:
    """How much a tree of so many calls shows: a bigger one more, until it is too big to be drawn."""
    return calls if calls <= EXAMPLE_CALLS else 1


def _harm(row: int, entering: NDArray[np.bool_], in_request: NDArray[np.bool_]) -> Harm:
    if entering[row]:
        return Harm.BROKE_REQUEST
    return Harm.ABSORBED if in_request[row] else Harm.OUTSIDE


def _name(failure: Failure) -> Sequence[str]:
    return failure.service, failure.operation, failure.word, failure.cause


def _first_causes(failed: NDArray[np.bool_], parents: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """By row: where following failing calls downwards ends. Of several, the one that failed first: the later ones may be
    its consequences. Shapes (n,). Follows by doubling, so that a deep tree costs no more than a flat one.
    """
    below = np.arange(len(parents))
    consequences = np.flatnonzero(failed & (parents >= 0) & failed[parents])
    latest_first = consequences[np.argsort(-end[consequences], kind="stable")]
    below[parents[latest_first]] = latest_first  # of equal places the last one stays: the earliest to end
    while not np.array_equal(further := below[below], below):
        below = further
    return below
