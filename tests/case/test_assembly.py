"""Parts of stretches become the tables of a case: ids as text, whole trees, and nothing that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tables import table_of

from wiretrace.case.assembly import assemble, hexadecimal
from wiretrace.case.manifest import Manifest
from wiretrace.case.parts import Part
from wiretrace.case.reader import Case
from wiretrace.case.trees import NO_CALL
from wiretrace.case.writer import CaseWriter
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from pathlib import Path

Link = tuple[int, int, float]
"""Child, parent, confidence."""


def part(folder: Path, number: int, calls: list[int], links: list[Link]) -> Part:
    """A part with these calls, which start one after the other, and these links."""
    parents = {child: (parent, confidence) for child, parent, confidence in links}
    schema = table_schema("calls")
    rows = [
        {
            "server_start_ns": -1,
            "server_end_ns": -1,
            "server_exchange": -1,
            "attributes": "{}",
            "client_service": "a",
            "server_service": "b",
            "operation": "GET /",
            "summary": "GET /",
            "start_ns": 100 * number + at,
            "end_ns": 100 * number + at + 7,
            "basis": "inferred" if call in parents else None,
            "relation": "child" if call in parents else None,
            "confidence": parents[call][1] if call in parents else None,
            "question": False,
            "outcome": "error" if call % 2 else "ok",
        }
        for at, call in enumerate(calls)
    ]
    names = [name for name in schema.names if name not in ("id", "tree", "parent")]
    table = table_of("calls", rows).select(names)
    table = table.append_column("id", pa.array(calls, pa.uint64()))
    table = table.append_column("parent", pa.array([parents.get(call, (0, 0))[0] for call in calls], pa.uint64()))
    ends = {
        "child": pa.array([each[0] for each in links], pa.uint64()),
        "parent": pa.array([each[1] for each in links], pa.uint64()),
    }
    made = Part(folder, number)
    made.write(
        {
            "calls": table,
            "links": pa.table(
                {
                    **ends,
                    "rank": pa.array([0] * len(links), pa.int32()),
                    "basis": pa.array(["inferred"] * len(links), pa.string()).dictionary_encode(),
                    "relation": pa.array(["child"] * len(links), pa.string()).dictionary_encode(),
                    "confidence": pa.array([each[2] for each in links], pa.float64()),
                }
            ),
            "evidence": pa.table(
                {
                    **ends,
                    "kind": pa.array(["timing"] * len(links), pa.string()).dictionary_encode(),
                    "weight": pa.array([1.0] * len(links), pa.float64()),
                    "detail": pa.array(["soon"] * len(links), pa.string()),
                }
            ),
        }
    )
    return made


def assembled(folder: Path, *parts: tuple[list[int], list[Link]]) -> Case:
    """The case made of parts, each with its calls and links."""
    made = [part(folder, number, *each) for number, each in enumerate(parts)]
    with CaseWriter(folder / "a.case") as writer:
        assemble(writer, made)
        writer.commit(Manifest())
    return Case.open(folder / "a.case")


def name(number: int) -> str:
    return f"{number:016x}"


def test_a_tree_goes_through_several_stretches(tmp_path: Path) -> None:
    """A root in the first part, a child in the second, a grandchild in the third."""
    case = assembled(tmp_path, ([2, 4], []), ([6, 9], [(6, 2, 0.5)]), ([8], [(8, 6, 0.5)]))
    calls = {row["id"]: row for row in case.table("calls").to_pylist()}
    assert {row["tree"] for number, row in calls.items() if number in (name(2), name(6), name(8))} == {name(2)}
    assert calls[name(8)]["parent"] == name(6)
    assert calls[name(2)]["parent"] is None
    trees = {row["tree"]: row for row in case.table("trees").to_pylist()}
    assert list(trees) == [name(2), name(4), name(9)]
    assert (trees[name(2)]["calls"], trees[name(2)]["depth"], trees[name(2)]["confidence"]) == (3, 3, 0.25)
    assert (trees[name(9)]["errors"], trees[name(9)]["duration_ns"]) == (1, 7)
    assert [(row["child"], row["parent"]) for row in case.table("links").to_pylist()] == [
        (name(6), name(2)),
        (name(8), name(6)),
    ]
    assert case.table("evidence").column("detail").to_pylist() == ["soon", "soon"]


def test_a_parent_that_nobody_owns_is_none(tmp_path: Path) -> None:
    """The call becomes a root, and neither link nor evidence points at nothing."""
    case = assembled(tmp_path, ([2], [(2, 77, 0.9)]))
    (call,) = case.table("calls").to_pylist()
    assert (call["parent"], call["basis"], call["confidence"], call["tree"]) == (None, None, None, name(2))
    assert len(case.table("links")) == len(case.table("evidence")) == 0


def test_calls_of_two_stretches_with_one_number_are_told_apart(tmp_path: Path) -> None:
    """A port that was used again: both calls are there, and what the later one caused stays with it."""
    case = assembled(tmp_path, ([2, 4], [(4, 2, 0.9)]), ([2, 6], [(6, 2, 0.9)]))
    ids = case.table("calls").column("id").to_pylist()
    assert len(set(ids)) == 4
    parents = dict(zip(ids, case.table("calls").column("parent").to_pylist(), strict=True))
    assert parents[name(4)] == name(2)
    assert parents[name(6)] == ids[2] != name(2)
    assert [row["parent"] for row in case.table("links").to_pylist()] == [name(2), ids[2]]


def test_nothing_read_is_an_empty_case(tmp_path: Path) -> None:
    case = assembled(tmp_path, ([], []))
    assert [len(case.table(table)) for table in ("calls", "links", "evidence", "trees")] == [0, 0, 0, 0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_hexadecimal_is_what_python_prints(numbers: list[int]) -> None:
    texts = hexadecimal(np.array(numbers, dtype=np.uint64)).to_pylist()
    assert texts == [f"{number:016x}" if number != NO_CALL else None for number in numbers]
