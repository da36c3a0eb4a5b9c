"""RED numbers: rate, errors and duration per operation, edge or instance, in all or by pieces of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from wiretrace.diagnosis.distribution import Distributions
from wiretrace.diagnosis.names import Names, distinct
from wiretrace.diagnosis.spectrum import told_kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed

COHORTS = ("operation", "edge", "instance")
"""What calls are grouped by."""


class Red(msgspec.Struct):
    """The numbers of one cohort in one piece of time."""

    cohort: str
    """The operation, edge or instance in words."""
    from_ns: int
    """Beginning of the piece of time."""
    calls: int
    rate: float
    """Calls a second."""
    errors: int
    """Calls that failed, 4xx left out."""
    p50_ns: int
    p95_ns: int
    p99_ns: int


def red_of(observed: Observed, cohort: str, bucket_ns: int = 0, with_probes: bool = False) -> list[Red]:
    """The numbers of all cohorts of one of `COHORTS`, those with most calls first, and of each in order of time.

    `bucket_ns`: length of a piece of time; 0 takes the whole case as one. Health checks count only `with_probes`.
    """
    calls = observed.calls
    wanted = ~calls.unknown & ~calls.sets_up[calls.kind]
    if not with_probes:
        wanted &= ~observed.probe_kinds[calls.kind]
    rows = np.flatnonzero(wanted)
    if not len(rows):
        return []
    names = Names[str]()
    code = _cohorts(observed, cohort, names)[rows]
    first, last = int(calls.start[rows].min()), int(calls.end[rows].max())
    width = bucket_ns or max(last - first, 1) + 1
    piece = (calls.start[rows] - first) // width
    group, at = distinct([code, piece])
    durations = Distributions()
    durations.add(group, observed.duration[rows])
    count, quantiles = durations.counts(len(at)), durations.percentiles(len(at), (50, 95, 99))
    errors = np.bincount(group, observed.failed[rows], len(at)).astype(np.int64)
    seconds = min(width, max(last - first, 1)) / 1e9
    often = np.bincount(code, minlength=len(names.things))
    order = sorted(range(len(at)), key=lambda one: (-often[code[at[one]]], names.things[code[at[one]]], piece[at[one]]))
    return [
        Red(
            names.things[code[at[one]]],
            first + int(piece[at[one]]) * width,
            int(count[one]),
            float(count[one] / seconds),
            int(errors[one]),
            *(int(values[one]) for values in quantiles),
        )
        for one in order
    ]


def _cohorts(observed: Observed, cohort: str, names: Names[str]) -> NDArray[np.int64]:
    """The cohort of each call. Shape (n,)."""
    calls, routes = observed.calls, observed.routes
    by_route = []
    for kind, caller, place in zip(routes.kind.tolist(), routes.caller.tolist(), routes.place.tolist(), strict=True):
        if cohort == "operation":
            name = told_kind(calls.vocabulary, kind)
        elif cohort == "edge":
            name = f"{routes.callers[caller]} → {calls.kinds[kind].service}"
        else:
            name = f"{calls.kinds[kind].service} at {calls.places[place].instance}"
        by_route.append(names.code(name))
    return np.array(by_route or [0], np.int64)[observed.route]
