"""Where calls stand in their trees, against walking up one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cases import build_analysis, case_of

from wiretrace.diagnosis.ancestry import ancestry_of_calls, depths_of_calls


def test_roots_and_sizes_reach_through_questions_and_parents_do_not() -> None:
    analysis = build_analysis(280)
    calls = analysis.tables["calls"].to_pylist()
    found = ancestry_of_calls(case_of(analysis))
    rows = {call["id"]: row for row, call in enumerate(calls)}
    assert any(call["question"] for call in calls)
    for row, call in enumerate(calls):
        at = row
        while calls[at]["parent"] is not None:
            at = rows[calls[at]["parent"]]
        assert found.root[row] == at
        assert found.tree_size[row] == sum(other["tree"] == call["tree"] for other in calls)
        known = call["parent"] is not None and not call["question"]
        assert found.parent[row] == (rows[call["parent"]] if known else -1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 40), max_size=40))
def test_the_depth_is_the_number_of_steps_up(parents: list[int]) -> None:
    """Each call's parent is an earlier one, so that there are no cycles."""
    parents = [parent if parent < row else -1 for row, parent in enumerate(parents)]
    depths = []
    for row in range(len(parents)):
        steps = 0
        while (row := parents[row]) >= 0:
            steps += 1
        depths.append(steps)
    assert depths_of_calls(np.array(parents, np.int32)).tolist() == depths
