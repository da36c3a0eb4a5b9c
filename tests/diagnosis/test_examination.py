"""What is found does not depend on how the calls are cut into portions, nor into row groups."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.diagnosis.rules.scenarios import SCENARIOS
from tests.support.cases import build_analysis, case_of
from tests.support.system import System

from wiretrace.case import reader
from wiretrace.diagnosis.diagnose import diagnose
from wiretrace.diagnosis.examination import Examination
from wiretrace.diagnosis.summary import summarize

if TYPE_CHECKING:
    from pathlib import Path

    from wiretrace.case.reader import Case


def told(case: Case, portion_calls: int) -> dict[str, Any]:
    return {name: table.to_pylist() for name, table in diagnose(case, portion_calls).items()}


@pytest.mark.parametrize("code", sorted(SCENARIOS))
def test_every_rule_finds_the_same_however_calls_are_cut(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = SCENARIOS[code].triggers().case()
    whole = told(case, 1 << 16)
    calls = len(case.table("calls"))
    monkeypatch.setattr(reader, "ROW_GROUP_ROWS", calls // 4 + 1)
    assert told(case, calls // 5 + 1) == whole


OUTCOMES = (
    {"status": "200"},
    {"status": "200"},
    {"status": "500", "outcome": "error"},
    {"status": "", "outcome": "client_aborted"},
    {"status": "", "outcome": "refused"},
    {"status": "", "outcome": "server_silent"},
    {"status": "", "outcome": "unfinished"},
)


def any_system(seed: int, calls: int) -> System:
    """A system in which everything may happen, and much at once."""
    source, system = random.Random(seed), System()
    made: list[dict[str, Any]] = []
    hosts = ("client", "web1", "web2", "shop1", "pg1")
    kinds = (("GET /a", "http"), ("POST /b", "http"), ("SELECT t", "postgresql"), ("UPDATE t", "postgresql"),
             ("COMMIT", "postgresql"), ("GET /healthz", "http"))  # fmt: skip
    for _ in range(calls):
        parent = source.choice(made) if made and source.random() < 0.7 else None
        caller = parent["server_host"] if parent else source.choice(hosts[:2])
        operation, protocol = source.choice(kinds)
        callee = "pg1" if protocol == "postgresql" else source.choice(hosts[1:4])
        made.append(
            system.call(
                parent, (caller, callee), operation, source.randrange(0, 4000), source.choice((1, 5, 40, 400)),
                protocol=protocol, content=source.choice(("", "x", "y")), values=(source.choice("uvw"),),
                size=source.choice((10, 900, 200_000)), connection=source.choice(("", "one", "two")),
                question=parent is not None and source.random() < 0.1, **source.choice(OUTCOMES),
            )
        )  # fmt: skip
    for exchange in system.exchanges:
        if source.random() < 0.2:
            exchange["given_up_ns"] = exchange["request_start_ns"] + 40_000_000
    return system


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 160), st.integers(1, 6))
def test_whatever_happens_cuts_change_nothing(seed: int, calls: int, portions: int) -> None:
    case = any_system(seed, calls).case()
    assert told(case, calls // portions + 1) == told(case, 1 << 16)


def test_the_summary_is_the_same_however_calls_are_cut() -> None:
    case = case_of(build_analysis(1400))
    whole = summarize(case)
    for portion_calls in (100, 450):
        cut = summarize(case, portion_calls)
        assert dataclasses.asdict(cut) | {"entering": None} == dataclasses.asdict(whole) | {"entering": None}
        assert cut.entering.tolist() == whole.entering.tolist()


def test_trees_stay_whole_and_calls_come_in_order(tmp_path: Path) -> None:
    case = any_system(3, 300).case()
    examination = Examination(case, tmp_path, 20)
    portions = 0
    for portion in examination.trees():
        portions += 1
        parents = portion.parent >= 0
        assert (portion.row[portion.parent[parents]] == portion.parent_row[parents]).all()
        assert (np.diff(portion.row) > 0).all()
    assert portions == 15
    assert sum(len(portion) for portion in examination.trees_with_symptoms()) == 300
    seen = np.concatenate([np.stack([portion.start, portion.row]) for portion in examination.in_order()], axis=1)
    assert (np.lexsort((seen[1], seen[0])) == np.arange(300)).all()
    assert sorted(seen[1].tolist()) == list(range(300))
    again = np.concatenate([portion.row for portion in examination.trees_again()])
    assert sorted(again.tolist()) == list(range(300))


def test_a_tree_that_is_text_and_a_parent_that_is_not_there() -> None:
    """A case of somebody else may hold any text as ids, and name calls that it does not hold."""
    system = System()
    web = system.call(None, ("client", "web1"), "GET /a", 0, 10, status="500", outcome="error")
    system.call(web, ("web1", "shop1"), "GET /b", 1, 5, status="500", outcome="error")
    for row in system.calls:
        for name in ("id", "tree", "parent"):
            row[name] = f"call {row[name]}" if row[name] else None
    system.call({**web, "id": "nobody", "tree": "nowhere"}, ("web1", "shop1"), "GET /c", 2, 3)
    rows = told(system.case(), 1)["findings"]
    assert [row["component"] for row in rows if row["code"] == "first-cause"] == ["GET /b (shop)"]
