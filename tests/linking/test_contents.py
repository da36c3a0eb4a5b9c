"""What the contents say of units."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.linking.arrays import offsets_of
from wiretrace.linking.contents import _first_of_units
from wiretrace.model.link_problem import Ragged

CALL = st.tuples(st.integers(0, 3), st.booleans(), st.lists(st.integers(0, 4), max_size=4))


@settings(max_examples=150, deadline=None)
@given(st.lists(CALL, max_size=12))
def test_a_value_counts_for_the_first_call_of_a_unit_that_has_it(calls: list[tuple[int, bool, list[int]]]) -> None:
    """As plain Python has it: a later one of the chosen calls keeps what no earlier one of its unit had; others keep all."""
    unit = np.array([each for each, _, _ in calls], np.int64)
    tokens = Ragged(
        offsets_of(np.array([len(values) for _, _, values in calls], np.int64)),
        np.array([value for _, _, values in calls for value in values], np.uint64),
    )
    kept = _first_of_units(tokens, np.flatnonzero([chosen for _, chosen, _ in calls]), unit)
    seen: dict[int, set[int]] = {}
    for number, (of_unit, chosen, values) in enumerate(calls):
        mine = kept.values[kept.offsets[number] : kept.offsets[number + 1]].tolist()
        if not chosen:
            assert mine == values
            continue
        before = seen.setdefault(of_unit, set())
        expected = set(values) - before
        assert sorted(mine) == sorted(expected)
        before |= set(values)
