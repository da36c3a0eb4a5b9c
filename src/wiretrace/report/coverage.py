"""What was captured when: by capture, how many exchanges begin in each part of the time, and what it lacks.

Times are on the common time line where the clock of the host is known, as captured elsewhere; the page says which.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wiretrace.case.reader import Case
from wiretrace.model.time_parts import part_of_time

PARTS = 120
"""Parts of the time that is shown."""


def coverage(case: Case, captures: list[dict[str, Any]], origin: int) -> dict[str, Any]:
    """The time that is shown, and by capture the exchanges of each part of it.

    `captures` are rows with `capture`, `host`, `first_ns` and `last_ns` (from `origin`; -1 where empty).
    """
    offsets = {host["host"]: host["clock_offset_ns"] for host in case.table("hosts").to_pylist()}
    shift = {row["capture"]: round(offsets.get(row["host"]) or 0) for row in captures}
    known = [row for row in captures if row["first_ns"] >= 0]
    if not known:
        return {"from": 0, "to": 1, "exchanges": {}, "lost": {}}
    first = min(row["first_ns"] - shift[row["capture"]] for row in known)
    last = max(max(row["last_ns"] - shift[row["capture"]] for row in known), first + 1)
    begun: dict[str, NDArray[np.int64]] = {}
    lost: dict[str, NDArray[np.int64]] = {}

    def add(into: dict[str, NDArray[np.int64]], name: str, times: NDArray[np.int64], weights: Any = None) -> None:
        part = part_of_time(times - origin - shift.get(name, 0), first, last, PARTS)
        found = np.bincount(part, weights, PARTS).astype(np.int64)
        into[name] = into.get(name, np.zeros(PARTS, np.int64)) + found

    for piece in case.pieces("exchanges", ["capture", "request_start_ns", "response_start_ns"]):
        asked = piece["request_start_ns"].to_numpy()
        times = np.where(asked >= 0, asked, piece["response_start_ns"].to_numpy())
        for name, rows in _by_capture(piece["capture"]):
            add(begun, name, times[rows])
    for piece in case.pieces("connections", ["capture", "closed_ns", "client_lost_bytes", "server_lost_bytes"]):
        missing = piece["client_lost_bytes"].to_numpy() + piece["server_lost_bytes"].to_numpy()
        for name, rows in _by_capture(piece["capture"]):
            some = rows[missing[rows] > 0]
            if len(some):
                add(lost, name, piece["closed_ns"].to_numpy()[some], missing[some])
    return {
        "from": first,
        "to": last,
        "exchanges": {name: values.tolist() for name, values in begun.items()},
        "lost": {name: values.tolist() for name, values in lost.items()},
    }


def _by_capture(column: Any) -> list[tuple[str, NDArray[np.int64]]]:
    """The rows of each capture in a category column."""
    combined = column.unify_dictionaries().combine_chunks()
    if not len(combined):
        return []
    codes = combined.indices.to_numpy()
    return [
        (name, rows)
        for number, name in enumerate(combined.dictionary.to_pylist())
        if len(rows := np.flatnonzero(codes == number))
    ]
