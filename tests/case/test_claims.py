"""What is claimed of calls comes back call by call, in whatever order calls are asked for."""

import numpy as np
import pytest
from tests.support.cases import build_analysis, case_of

from wiretrace.case.claims import ClaimsOfCalls


@pytest.mark.parametrize("seed", [0, 1])
def test_claims_are_those_of_the_tables(seed: int) -> None:
    """Against plain Python, for some calls in an order of their own."""
    analysis = build_analysis(140)
    calls = analysis.tables["calls"].to_pylist()
    links, evidence = analysis.tables["links"].to_pylist(), analysis.tables["evidence"].to_pylist()
    order = np.random.default_rng(seed).permutation(len(calls))[:90]
    claims = ClaimsOfCalls(case_of(analysis), order)
    reasons, others = claims.reasons(10, 60), claims.runners_up(10, 60)
    assert len(reasons.table) > 30
    assert len(others.table) > 0
    for place, row in enumerate(order[10:60].tolist()):
        call = calls[row]
        wanted = [
            (claim["kind"], claim["detail"])
            for claim in evidence
            if (claim["child"], claim["parent"]) == (call["id"], call["parent"])
        ]
        found = reasons.table.slice(reasons.bounds[place], reasons.bounds[place + 1] - reasons.bounds[place])
        assert [(claim["kind"], claim["detail"]) for claim in found.to_pylist()] == wanted
        runners_up = sorted(
            (claim for claim in links if claim["child"] == call["id"] and claim["rank"] > 0),
            key=lambda claim: claim["rank"],
        )
        found = others.table.slice(others.bounds[place], others.bounds[place + 1] - others.bounds[place])
        assert found.column("parent").to_pylist() == [claim["parent"] for claim in runners_up]
