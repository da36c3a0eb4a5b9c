"""Calls that somebody else observed, as rows of JSON, and their links as rows of JSON: the form of ``wiretrace link``.

Rules: a row that can not be meant is refused with its line number; nothing is guessed. What the rows do not say
(addresses, contents, connections) is unknown to the linker, not empty. Names are numbered in alphabetical order and
rows taken in the order of their ids, so that the order of the rows changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from wiretrace.model.errors import UserError
from wiretrace.model.link_problem import MISSING, LinkProblem, Ragged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from wiretrace.linking.problem import LinkSolution

LATEST_NS = 2**62
"""Times beyond this (the year 2116) are not believed."""
NAMES = ("operation", "caller", "callee", "caller_service", "callee_service")
"""Fields of a row that repeat from row to row."""
LONGEST_LINE = 1 << 20
"""A row longer than this is refused."""


class CallRow(msgspec.Struct, gc=False):
    """One observed call. Times are nanoseconds since the epoch; one side's start must be there."""

    id: str | int
    """Name of the call, unique in the file."""
    operation: str
    """What was asked for, in few distinct forms."""
    caller: str | None = None
    """Instance that made the call; null where unknown."""
    callee: str | None = None
    """Instance that served the call; null where unknown."""
    caller_service: str | None = None
    """Service of the caller; its instance name where missing."""
    callee_service: str | None = None
    """Service of the callee; its instance name where missing."""
    caller_start_ns: int | None = None
    """Request sent, on the caller's clock."""
    caller_end_ns: int | None = None
    """Response received, on the caller's clock."""
    callee_start_ns: int | None = None
    """Request received, on the callee's clock."""
    callee_end_ns: int | None = None
    """Response sent, on the callee's clock."""


def read_rows(lines: Iterable[bytes]) -> list[CallRow]:
    """The calls in `lines` (JSON Lines; empty lines are passed over).

    Raises:
        UserError: naming the first line that is no call, and why.
    """
    decoder = msgspec.json.Decoder(CallRow)
    rows: list[CallRow] = []
    seen: set[str | int] = set()
    names: dict[str | None, str | None] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(line) > LONGEST_LINE:
            raise UserError(f"line {number}: longer than {LONGEST_LINE} bytes")
        try:
            row = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"line {number}: {error}") from None
        reason = _objection(row)
        if not reason and row.id in seen:
            reason = "a call with this id came before"
        if reason:
            raise UserError(f"line {number}: {reason}")
        seen.add(row.id)
        for name in NAMES:
            # One text for all rows that say the same.
            text = getattr(row, name)
            setattr(row, name, names.setdefault(text, text))
        rows.append(row)
    return rows


def _objection(row: CallRow) -> str:
    """Why the row can not be meant; empty if it can."""
    for side, start, end in (
        ("caller", row.caller_start_ns, row.caller_end_ns),
        ("callee", row.callee_start_ns, row.callee_end_ns),
    ):
        if any(time is not None and abs(time) > LATEST_NS for time in (start, end)):
            return f"a time of the {side} is not in nanoseconds since the epoch"
        if start is None and end is not None:
            return f"{side}_end_ns without {side}_start_ns"
        if start is not None and end is not None and end < start:
            return f"{side}_end_ns is before {side}_start_ns"
    if row.caller_start_ns is None and row.callee_start_ns is None:
        return "neither caller_start_ns nor callee_start_ns"
    return ""


def problem_of(rows: Sequence[CallRow]) -> tuple[LinkProblem, list[int]]:
    """The linker's input, and for each of its rows the index in `rows`."""
    order = sorted(range(len(rows)), key=lambda index: (isinstance(rows[index].id, str), rows[index].id))
    rows = [rows[index] for index in order]
    service = {row.caller: row.caller_service for row in rows if row.caller_service}
    service |= {row.callee: row.callee_service for row in rows if row.callee_service}
    callers, callees = [row.caller for row in rows], [row.callee for row in rows]
    caller_services = [row.caller_service or service.get(row.caller, row.caller) for row in rows]
    callee_services = [row.callee_service or service.get(row.callee, row.callee) for row in rows]
    processes = sorted({*callers, *callees} - {None}, key=str)
    services = sorted({*caller_services, *callee_services} - {None}, key=str)
    operations = sorted({(of or "", row.operation) for of, row in zip(callee_services, rows, strict=True)})
    of_operation = {operation: number for number, operation in enumerate(operations)}
    n = len(rows)
    nothing = Ragged(np.zeros(n + 1, np.int64), np.zeros(0, np.uint64))
    problem = LinkProblem(
        caller=_numbers(callers, processes),
        callee=_numbers(callees, processes),
        caller_service=_numbers(caller_services, services),
        callee_service=_numbers(callee_services, services),
        operation=np.array(
            [of_operation[of or "", row.operation] for of, row in zip(callee_services, rows, strict=True)], np.int32
        ),
        caller_start_ns=_times([row.caller_start_ns for row in rows]),
        caller_end_ns=_times([row.caller_end_ns for row in rows]),
        callee_start_ns=_times([row.callee_start_ns for row in rows]),
        callee_end_ns=_times([row.callee_end_ns for row in rows]),
        clock_error_ns=np.zeros(n, np.int64),
        one_way=np.zeros(n, np.bool_),
        connection=np.full(n, -1, np.int64),
        transaction=np.full(n, -1, np.int64),
        prepares=np.zeros(n, np.bool_),
        lookup=np.full(n, -1, np.int64),
        request_digest=np.zeros(n, np.uint64),
        identifiers=nothing,
        request_tokens=nothing,
        response_tokens=nothing,
        process_names=[str(name) for name in processes],
        service_names=[str(name) for name in services],
        operation_names=[operation for _, operation in operations],
    )
    return problem, order


def _numbers(names: list[str | None], known: list[str | None]) -> NDArray[np.int32]:
    """Index of each name in `known`; -1 for none."""
    number = {name: index for index, name in enumerate(known)}
    return np.array([-1 if name is None else number[name] for name in names], np.int32)


def _times(times: list[int | None]) -> NDArray[np.int64]:
    """A time column."""
    return np.array([MISSING if time is None else time for time in times], np.int64)


def write_rows(ids: Sequence[str | int], order: list[int], solution: LinkSolution) -> Iterator[bytes]:
    """The links as JSON Lines, in the order of `ids`, those of the rows; `order` is what `problem_of` gave."""
    position = {index: number for number, index in enumerate(order)}
    names = [ids[index] for index in order]
    alternatives: dict[int, list[dict[str, object]]] = {}
    for child, parent, confidence in solution.alternatives:
        alternative: dict[str, object] = {
            "parent": None if parent < 0 else names[parent],
            "confidence": round(confidence, 6),
        }
        alternatives.setdefault(child, []).append(alternative)
    evidence: dict[int, list[dict[str, object]]] = {}
    for item in solution.evidence:
        told = {"kind": item.kind, "weight": round(item.weight, 3), "detail": item.detail}
        evidence.setdefault(item.child, []).append(told)
    parents, confidences = solution.parent.tolist(), solution.confidence.tolist()
    encode = msgspec.json.Encoder().encode
    for index, name in enumerate(ids):
        number = position[index]
        parent = parents[number]
        yield encode(
            {
                "id": name,
                "parent": None if parent < 0 else names[parent],
                "confidence": round(confidences[number], 6),
                "alternatives": alternatives.get(number, []),
                "evidence": evidence.get(number, []),
            }
        )
