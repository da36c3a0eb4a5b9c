"""The evidence of lookups: whoever looks a name up calls it next, for the same request."""

from __future__ import annotations

import numpy as np
from simulator import simulate

from wiretrace.linking.evidence.contract import UNDECIDED, Pairs
from wiretrace.linking.evidence.lookup import Lookup
from wiretrace.linking.linker import link
from wiretrace.linking.observations import observe


def _look_up_and_call(world, call) -> float:
    """A lookup after a random time, after another one the call, which passes the request's identifier on."""
    call.identifiers = [call.number + 5]
    start = call.arrive + float(world.random.uniform(0, 10e-3))
    lookup = world.call(call.callee, "resolver", "A", start, call)
    start = lookup.end + float(world.random.uniform(0, 10e-3))
    return world.call(call.callee, "backend", "GET", start, call, identifiers=[call.number + 5]).end


def _problem(told: bool):
    """Ten requests at once; `told` says whether lookups and calls are known to belong together."""
    world = simulate(_look_up_and_call, rate=1000, count=300)
    problem = world.problem()
    if told:
        named = [at for at, call in enumerate(world.calls) if call.parent >= 0]
        problem.lookup[named] = [world.calls[at].parent for at in named]
    lookups = np.array([call.operation == "A" for call in world.calls])
    return problem, world.truth(), lookups


def test_a_lookup_goes_to_the_parent_of_the_call_that_it_served() -> None:
    """The calls are named by their identifiers; of ten lookups at once only the calls tell whose each is."""
    (blind, truth, lookups), (told, _, _) = _problem(told=False), _problem(told=True)
    without, found = link(blind), link(told)
    assert (without.parent[lookups] == truth[lookups]).mean() < 0.9
    assert (found.parent[lookups] == truth[lookups]).mean() == 1.0
    assert {item.kind for item in found.evidence if lookups[item.child]} >= {"lookup"}


def test_what_is_known_of_one_is_told_of_the_other_and_of_nobody_else() -> None:
    problem, truth, lookups = _problem(told=True)
    observations = observe(problem)
    child = np.flatnonzero(lookups)[:2]
    known = np.full(len(problem), UNDECIDED)
    served = np.flatnonzero((truth == truth[child[0]]) & ~lookups)
    pairs = Pairs(np.repeat(child, 2), np.tile(truth[child], 2))
    assert Lookup().weigh(observations, pairs, known) is None
    known[served] = truth[served]
    weighed = Lookup().weigh(observations, pairs, known)
    assert weighed is not None
    assert weighed.weight[0] > 0 > weighed.weight[1]
    assert weighed.weight[2:].tolist() == [0, 0]
    assert weighed.phrase.tolist() == [0, -1, -1, -1]
    assert Lookup().weigh(observations, pairs, known, weighed.learned) is not None
