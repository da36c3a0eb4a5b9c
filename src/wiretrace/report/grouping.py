"""Counts, errors and durations of groups of calls, for the tables of the first screen.

An *error* is a call that is known to have failed. An *unknown* is one whose end the capture lacks (`unfinished`,
`not_captured`): it is counted by itself, because what was not captured is not what went wrong.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wiretrace.case.forest import Forest, without_questions
from wiretrace.diagnosis.requests import entering_calls, topmost_calls
from wiretrace.model.outcome import Outcome

UNKNOWN_OUTCOMES = (Outcome.UNFINISHED, Outcome.NOT_CAPTURED)
"""Outcomes that say only that the capture does not hold the end of the call."""


class CallFigures(NamedTuple):
    """What every table needs of the calls, one entry a call, in the order of the calls table."""

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
    client: pa.Array
    """Caller as a person names it: service, else host, else address."""
    server: pa.Array
    """Callee likewise."""


def call_figures(calls: pa.Table) -> CallFigures:
    """The figures of `calls`."""
    outcome = plain(calls["outcome"])
    unknown = to_bool(pc.is_in(outcome, pa.array([str(kind) for kind in UNKNOWN_OUTCOMES])))
    error = ~unknown & to_bool(pc.not_equal(outcome, str(Outcome.OK)))
    duration_ns = calls["end_ns"].to_numpy() - calls["start_ns"].to_numpy()
    request = entering_calls(calls)
    topmost = topmost_calls(Forest(without_questions(calls)).parent)
    return CallFigures(
        duration_ns,
        error,
        unknown,
        request,
        request[topmost],
        error & (request & error)[topmost],
        _party(calls, "client"),
        _party(calls, "server"),
    )


def grouped(keys: dict[str, pa.Array], figures: CallFigures) -> list[dict[str, str | int]]:
    """One row for each combination of `keys`: the keys, calls, errors, unknowns, and p50, p95 and max in nanoseconds.

    Rows come with the most errors in requests that failed first, then the most errors, then the slowest (by p95), then
    the most calls.
    """
    group, rows = _numbered(keys)
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
        "p50": sorted_ns[quantile_index(first, calls, 50)],
        "p95": sorted_ns[quantile_index(first, calls, 95)],
        "max": sorted_ns[last],
    }
    broken = np.bincount(group, figures.broken, count)
    ranked = np.lexsort((-columns["calls"], -columns["p95"], -columns["errors"], -broken))
    numbers = {name: values[ranked].tolist() for name, values in columns.items()}
    return [
        rows[group_number] | {name: values[place] for name, values in numbers.items()}
        for place, group_number in enumerate(ranked.tolist())
    ]


def quantile_index(first: NDArray[np.int64], counts: NDArray[np.int64], percent: int) -> NDArray[np.int64]:
    """Index of the nearest-rank quantile in sorted groups that start at `first` and hold `counts` values."""
    return first + np.maximum(-(-counts * percent // 100) - 1, 0)


def plain(column: pa.ChunkedArray) -> pa.Array:
    """`column` as plain strings in one piece, null as the empty string."""
    return pc.fill_null(column.cast(pa.string()).combine_chunks(), "")


def to_bool(mask: pa.Array) -> NDArray[np.bool_]:
    """An Arrow mask without nulls as a NumPy array."""
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _party(calls: pa.Table, side: str) -> pa.Array:
    names = [plain(calls[f"{side}_{part}"]) for part in ("service", "host", "address")]
    empty = pa.scalar(None, pa.string())
    return pc.fill_null(pc.coalesce(*(pc.if_else(pc.equal(name, ""), empty, name) for name in names)), "")


def _numbered(keys: dict[str, pa.Array]) -> tuple[NDArray[np.int64], list[dict[str, str | int]]]:
    """The group number of each call, and the keys of each group."""
    group: NDArray[np.int64] | None = None
    words: dict[str, list[str]] = {}
    codes: dict[str, NDArray[np.int64]] = {}
    for name, values in keys.items():
        encoded = values.dictionary_encode()
        words[name] = encoded.dictionary.to_pylist()
        codes[name] = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        group = codes[name] if group is None else group * max(len(words[name]), 1) + codes[name]
        group = np.unique(group, return_inverse=True)[1]
    assert group is not None
    samples = np.unique(group, return_index=True)[1].tolist()
    return group, [{name: words[name][codes[name][row]] for name in keys} for row in samples]
