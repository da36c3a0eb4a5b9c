"""Works out what the calls of whole trees have to do with each other: parents, requests, and where their time went.

Every call is reached, whatever the case says: a parent that is not in the same tree counts as none, and cycles are broken
open at the earliest call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.case.forest import break_cycles, topmost_calls
from wiretrace.diagnosis.parts import parts_of_calls
from wiretrace.diagnosis.portion import (
    CALL,
    CONTINUES,
    ENTERING,
    FAILED_FIRST,
    IN_REQUEST,
    LATE,
    PARENT_FAILED,
    QUESTION,
    ROOT,
    TOOK_OFF,
    Portion,
)
from wiretrace.diagnosis.waits import waits_until_given_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.diagnosis.routes import RouteBook
    from wiretrace.diagnosis.whole import Connections, Whole

AS_SURVEYED = (
    *("start", "end", "request_bytes", "response_bytes", "digest", "row", "kind", "ending", "caller_place"),
    *("callee_place", "exchange", "connection", "confidence", "marks", "stalled"),
)
"""Fields that stay as they are."""


def related(whole: Whole, book: RouteBook, surveyed: NDArray[np.void], connections: Connections) -> Portion:
    """The portion of the calls of some whole trees; `surveyed` are records of the type `SURVEYED`, in the order of rows."""
    found = np.zeros(len(surveyed), CALL)
    for name in AS_SURVEYED:
        found[name] = surveyed[name]
    portion = Portion(whole, found)
    _parents(portion, surveyed)
    found["route"] = book.add(portion.caller_place, portion.callee_place, portion.kind, portion.ending, portion.row)
    parent, has_parent = portion.parent, portion.parent >= 0
    above = np.maximum(parent, 0)
    for field, source in (
        ("parent_row", portion.row),
        ("parent_kind", portion.kind),
        ("parent_place", portion.callee_place),
    ):
        found[field] = np.where(has_parent, source[above], -1) if len(parent) else -1
    found["request_row"] = portion.row[portion.request]
    set_up = np.ascontiguousarray(surveyed["set_up"])
    begun, done = (np.ascontiguousarray(surveyed[name]) for name in ("server_start", "server_end"))
    # What takes a message off a queue later is no part of the time of the call that put it there.
    waited_for = np.where((portion.marks & TOOK_OFF) != 0, np.int32(-1), parent)
    found["own"], found["network"] = parts_of_calls(portion.start, portion.end, begun, done, set_up, waited_for)
    _judge(portion)
    given_up = np.flatnonzero(portion.given_up)
    began = np.ascontiguousarray(surveyed["began"])
    found["wait"][given_up] = waits_until_given_up(portion, given_up, began[given_up], connections)
    _count_siblings(portion)
    return portion


def _parents(portion: Portion, surveyed: NDArray[np.void]) -> None:
    found, ids = portion.records, np.ascontiguousarray(surveyed["id"])
    named = np.ascontiguousarray(surveyed["above"])
    order = np.argsort(ids, kind="stable")
    rising = ids[order]
    place = np.minimum(np.searchsorted(rising, named), max(len(ids) - 1, 0))
    is_there = (named != 0) & (rising[place] == named) if len(ids) else np.zeros(0, np.bool_)
    likely = np.where(is_there, order[place], -1).astype(np.int32)
    parent = np.where((portion.marks & QUESTION) != 0, np.int32(-1), likely)
    for parents in (likely, parent):
        break_cycles(parents, lambda: np.lexsort((ids, portion.start)).astype(np.int32))
    found["likely"], found["parent"] = likely, parent
    found["request"] = topmost_calls(parent)


def _judge(portion: Portion) -> None:
    """Which calls belong to requests, which requests are bad, and where failures began."""
    whole, found, parent = portion.whole, portion.records, portion.parent
    entering = whole.enters(portion.kind, portion.caller_place, (portion.marks & ROOT) != 0) & ~portion.is_probe
    failed = portion.failed
    bad = entering & (failed | (portion.slow & ~portion.unknown))
    has_parent = parent >= 0
    caused = np.zeros(len(portion), np.bool_)
    caused[parent[failed & has_parent]] = True
    marks = portion.marks | ENTERING * entering | IN_REQUEST * entering[portion.request] | LATE * bad[portion.request]
    marks |= FAILED_FIRST * (failed & ~caused)
    if len(parent):
        marks |= PARENT_FAILED * (failed[np.maximum(parent, 0)] & has_parent)
    found["marks"] = marks
    for name in ("marks", "in_request", "entering"):
        portion.__dict__.pop(name, None)


def _count_siblings(portion: Portion) -> None:
    """What each call makes, how many alike its parent makes, and whether that goes on with the connection."""
    whole, found = portion.whole, portion.records
    child = np.flatnonzero(portion.parent >= 0)
    parent, kind = portion.parent[child].astype(np.int64), portion.kind[child].astype(np.int64)
    key = parent * whole.kinds + kind
    order = np.argsort(key)
    ordered = key[order]
    opens = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(key) else child
    times = np.diff(np.append(opens, len(key)))
    found["siblings"][child[order]] = np.repeat(times, times)
    above = portion.kind[parent].astype(np.int64)
    in_request = portion.in_request[child]
    counts = in_request & whole.countable[kind]
    count = len(portion)
    found["made"] = whole.steps.masks(above[counts], kind[counts], parent[counts], count)
    asks = in_request & ~portion.unknown[child]
    found["asked"] = whole.services.masks(above[asks], portion.callee[child][asks], parent[asks], count)
    carried = child[portion.connection[child] >= 0]
    order = carried[
        np.lexsort((portion.row[carried], portion.start[carried], portion.parent[carried], portion.connection[carried]))
    ]
    same = (portion.parent[order[1:]] == portion.parent[order[:-1]]) & (
        portion.connection[order[1:]] == portion.connection[order[:-1]]
    )
    found["marks"][order[:-1][same]] |= CONTINUES
    portion.__dict__.pop("marks", None)
