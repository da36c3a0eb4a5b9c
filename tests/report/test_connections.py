"""The figures of pools are those of their connections, counted one by one."""

from collections import defaultdict
from statistics import median_low
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cases import build_analysis, case_of

from wiretrace.case.reader import Case
from wiretrace.report import connections as module
from wiretrace.report.connections import WENT_WRONG, connections

ROW = st.fixed_dictionaries(
    {
        "capture": st.sampled_from(["web1", "app1"]),
        "server_port": st.sampled_from([80, 443]),
        "opened_ns": st.integers(0, 1000),
        "lasted": st.integers(0, 1000),
        "ended": st.sampled_from(["open", "client_fin", *WENT_WRONG]),
        "handshake_rtt_ns": st.sampled_from([-1, 5, 70]),
        "exchanges": st.integers(0, 9),
        "client_lost_bytes": st.sampled_from([0, 10]),
    }
)


def case_with(rows: list[dict[str, Any]]) -> Case:
    analysis = build_analysis(7)
    table = analysis.tables["connections"]
    template = table.to_pylist()[0]
    made = [
        template | {name: value for name, value in row.items() if name != "lasted"}
        | {"connection": number * 10**9, "closed_ns": row["opened_ns"] + row["lasted"]}
        for number, row in enumerate(rows)
    ]  # fmt: skip
    analysis.tables = {"connections": pa.Table.from_pylist(made, table.schema)}
    return case_of(analysis)


@settings(max_examples=50, deadline=None)
@given(st.lists(ROW, max_size=25))
def test_a_pool_adds_up_its_connections(rows: list[dict[str, Any]]) -> None:
    found = connections(case_with(rows), 0)
    pools: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        pools[row["capture"], row["server_port"]].append(row)
    assert {(pool["capture"], pool["server_port"]) for pool in found.pools} == pools.keys()
    assert (found.kept, found.total) == (len(rows), len(rows))
    for pool in found.pools:
        members = pools[pool["capture"], pool["server_port"]]
        known = [row["handshake_rtt_ns"] for row in members if row["handshake_rtt_ns"] >= 0]
        assert pool["connections"] == len(members)
        assert pool["exchanges"] == sum(row["exchanges"] for row in members)
        assert pool["lost_bytes"] == sum(row["client_lost_bytes"] for row in members)
        assert pool["lasted"] == median_low([row["lasted"] for row in members])
        assert pool["rtt"] == (median_low(known) if known else -1)
        assert pool["most"] == max(
            sum(other["opened_ns"] <= row["opened_ns"] <= other["opened_ns"] + other["lasted"] for other in members)
            for row in members
        )
        for ending in WENT_WRONG:
            assert pool[ending] == sum(row["ended"] == ending for row in members)


def test_of_very_many_connections_those_that_went_wrong_and_the_busiest_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_KEPT", 2)
    base = {"capture": "web1", "server_port": 80, "lasted": 1, "handshake_rtt_ns": -1, "client_lost_bytes": 0}
    rows = [
        base | {"opened_ns": number, "ended": "refused" if number == 3 else "open", "exchanges": 9 * (number == 1)}
        for number in range(5)
    ]
    found = connections(case_with(rows), 0)
    assert (found.kept, found.total) == (2, 5)


def test_ports_that_can_not_be_are_no_reason_to_fail() -> None:
    """Somebody may have made the case."""
    row = {"capture": "web1", "opened_ns": 0, "lasted": 1, "ended": "open", "exchanges": 1}
    found = connections(case_with([row | {"server_port": port} for port in (-(2**31), 80, 2**31 - 1)]), 0)
    assert (len(found.pools), found.total) == (3, 3)
