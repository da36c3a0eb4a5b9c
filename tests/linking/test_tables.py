"""The tables that linking makes of a stretch: rows for the calls that it owns, parents wherever they are."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
from tests.hosts.synthetic import chain

from wiretrace.linking.tables import link_calls
from wiretrace.model.link_problem import MISSING


def test_only_owned_calls_have_rows_and_their_parents_may_be_outside() -> None:
    """The later half of a chain is owned: a link over the cut stays, and nothing is said of the earlier half."""
    merged = chain(40).merge()
    everything = np.ones(len(merged.calls), bool)
    owned = np.arange(len(merged.calls)) >= len(merged.calls) // 2 + 1
    whole, later = (link_calls(merged.calls, merged.columns, which) for which in (everything, owned))
    assert later.calls.equals(whole.calls.filter(owned))
    numbers = set(merged.calls.filter(owned).column("id").to_pylist())
    for name in ("links", "evidence"):
        rows = getattr(whole, name)
        mine = [(row["child"], row["parent"]) for row in rows.to_pylist() if row["child"] in numbers]
        assert [(row["child"], row["parent"]) for row in getattr(later, name).to_pylist()] == mine
    assert set(later.calls.column("parent").to_pylist()) - numbers - {0}
    linked = [parent != 0 for parent in later.calls.column("parent").to_pylist()]
    assert pc.is_valid(later.calls.column("basis")).to_pylist() == linked


def test_what_is_inferred_at_a_host_that_was_not_captured_is_a_question() -> None:
    """The same calls, told of by all hosts, and by all but the one in the middle."""
    merged = chain(40).merge()
    columns = merged.columns
    everything = np.ones(len(merged.calls), bool)
    seen = link_calls(merged.calls, columns, everything).calls
    assert not pc.any(seen.column("question")).as_py()
    host = columns.process_names.index("app@app1")
    columns.callee_start_ns[columns.callee == host] = columns.callee_end_ns[columns.callee == host] = MISSING
    blind = columns.caller == host
    columns.caller_start_ns[blind] = columns.caller_end_ns[blind] = MISSING
    unseen = link_calls(merged.calls, columns, everything).calls
    question = unseen.column("question").to_numpy()
    parent = unseen.column("parent").to_numpy()
    assert question[blind & (parent != 0)].all()
    assert (blind & (parent != 0)).any()
    assert not question[~blind].any()
