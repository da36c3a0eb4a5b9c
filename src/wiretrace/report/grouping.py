"""Counts, errors and durations of groups of calls, for the tables of the first screen.

An *error* is a call that is known to have failed. An *unknown* is one whose end the capture lacks (`unfinished`,
`not_captured`): it is counted by itself, because what was not captured is not what went wrong.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wiretrace.case.forest import topmost_calls
from wiretrace.case.reader import Case
from wiretrace.diagnosis.ancestry import Ancestry, ancestry_of_calls
from wiretrace.diagnosis.columns import CallColumns
from wiretrace.diagnosis.names import Names, distinct, nearest_rank
from wiretrace.diagnosis.requests import entering_calls
from wiretrace.report.heat import HeatScale, heatmaps

LONGEST_TOTAL_NS = 1 << 62
"""Sum of durations that is told at most: where a clock was set within the capture, each may be decades."""
HEATED_ROWS = 400
"""Operations that have a heatmap, those that are listed first."""

Row = dict[str, str | int]
"""One row of a table of the first screen, ready for JSON."""


class CallFigures(NamedTuple):
    """What every table needs of the calls, one entry a call, in the order of the calls table."""

    columns: CallColumns
    """The calls as numbers."""
    duration_ns: NDArray[np.int64]
    """End minus start."""
    error: NDArray[np.bool_]
    """Whether it is known to have failed."""
    unknown: NDArray[np.bool_]
    """Whether the capture lacks its end."""
    request: NDArray[np.bool_]
    """Whether it is a request that enters the system."""
    in_request: NDArray[np.bool_]
    """Whether it is one, or was made for one."""
    broken: NDArray[np.bool_]
    """Whether it failed in the tree of a request that failed."""
    root: NDArray[np.int32]
    """Row of the root of its tree."""
    ancestry: Ancestry
    """Who caused each call."""


class HeldFigures(NamedTuple):
    """What the page's blocks need of the calls that it holds, one entry a call, in the order of the page."""

    duration_ns: NDArray[np.int64]
    error: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    question: NDArray[np.bool_]
    caller: NDArray[np.integer[Any]]
    """Number in `parties`."""
    callee: NDArray[np.integer[Any]]
    """Number in `parties`."""
    parties: list[str]
    """Names of services, or of addresses that have none."""

    @classmethod
    def of(cls, figures: CallFigures, rows: NDArray[np.integer[Any]]) -> "HeldFigures":
        """Those of the calls at `rows`; nothing of `figures` is kept, which is large where the case is."""
        columns = figures.columns
        return cls(
            figures.duration_ns[rows],
            figures.error[rows],
            figures.unknown[rows],
            columns.question[rows],
            columns.caller[rows],
            columns.callee_of_kind[columns.kind[rows]],
            list(columns.parties),
        )


def call_figures(case: Case) -> CallFigures:
    """The figures of the calls of a case. Raises UserError if it is damaged."""
    ancestry = ancestry_of_calls(case)
    columns = CallColumns(case)
    request = entering_calls(columns)
    topmost = topmost_calls(ancestry.parent)
    return CallFigures(
        columns,
        columns.end - columns.start,
        columns.failed,
        columns.unknown,
        request,
        request[topmost],
        columns.failed & (request & columns.failed)[topmost],
        ancestry.root,
        ancestry,
    )


def operation_rows(figures: CallFigures) -> list[Row]:
    """The figures of each operation; what only sets up a connection stands last, and says so."""
    columns = figures.columns
    group, rows = grouped([columns.kind, _protocols(columns)[columns.ending]], figures)
    made: list[Row] = [
        {
            "setUp": int(columns.sets_up[columns.kind[row]]),
            "server": columns.kinds[columns.kind[row]].service,
            "protocol": columns.endings[columns.ending[row]].protocol,
            "operation": columns.kinds[columns.kind[row]].operation,
            **numbers,
        }
        for row, numbers in rows
    ]
    if made:
        scale = HeatScale.of(columns.start, figures.duration_ns)
        heats = heatmaps(group, min(len(rows), HEATED_ROWS), columns.start, figures.duration_ns, scale)
        for each, heat in zip(made, heats, strict=False):
            each["heat"] = heat
    return sorted(made, key=lambda row: row["setUp"])


def edge_rows(figures: CallFigures) -> list[Row]:
    """The figures of each pair of a caller and a callee."""
    columns = figures.columns
    keys = [columns.caller, columns.callee_of_kind[columns.kind], _protocols(columns)[columns.ending]]
    return [
        {
            "client": columns.parties[columns.caller[row]],
            "server": columns.kinds[columns.kind[row]].service,
            "protocol": columns.endings[columns.ending[row]].protocol,
            **numbers,
        }
        for row, numbers in grouped(keys, figures)[1]
    ]


def grouped(
    keys: list[NDArray[Any]], figures: CallFigures
) -> tuple[NDArray[np.int64], list[tuple[int, dict[str, int]]]]:
    """The calls by each combination of `keys`: the place of each call's group, and what each group holds.

    Of a group one row, and calls, errors, unknowns, the sum of the durations, and p50, p95, p99 and max in nanoseconds.
    The most errors in requests that failed come first, then the most errors, then the slowest (by p95), then the most
    calls.
    """
    group, rows = distinct(keys)
    count = len(rows)
    order = np.lexsort((figures.duration_ns, group))
    calls = np.bincount(group, minlength=count)
    last = np.cumsum(calls) - 1
    first = last - calls + 1
    sorted_ns = figures.duration_ns[order]
    columns = {
        "calls": calls,
        "errors": np.bincount(group, figures.error, count).astype(np.int64),
        "unknown": np.bincount(group, figures.unknown, count).astype(np.int64),
        "total": np.minimum(np.bincount(group, figures.duration_ns, count), LONGEST_TOTAL_NS).astype(np.int64),
        "p50": sorted_ns[nearest_rank(first, calls, 50)],
        "p95": sorted_ns[nearest_rank(first, calls, 95)],
        "p99": sorted_ns[nearest_rank(first, calls, 99)],
        "max": sorted_ns[last],
    }
    broken = np.bincount(group, figures.broken, count)
    ranked = np.lexsort((-columns["calls"], -columns["p95"], -columns["errors"], -broken))
    place = np.empty(count, np.int64)
    place[ranked] = np.arange(count)
    return place[group], [
        (int(rows[number]), {name: int(values[number]) for name, values in columns.items()})
        for number in ranked.tolist()
    ]


def plain(column: pa.ChunkedArray) -> pa.Array:
    """`column` as plain strings in one piece, null as the empty string."""
    return pc.fill_null(column.cast(pa.string()).combine_chunks(), "")


def to_bool(mask: pa.Array) -> NDArray[np.bool_]:
    """An Arrow mask without nulls as a NumPy array."""
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _protocols(columns: CallColumns) -> NDArray[np.int64]:
    """A number for the protocol of each ending."""
    names = Names[str]()
    return np.array([names.code(ending.protocol) for ending in columns.endings], np.int64)
