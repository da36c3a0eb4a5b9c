"""Units: single calls and transactions."""

from __future__ import annotations

import handlers
import numpy as np
from simulator import Simulation, simulate

from wiretrace.linking.candidates import find_candidates, outgoing_kind
from wiretrace.linking.observations import observe
from wiretrace.linking.units import Units, form_units


def _units(world: Simulation):
    observations = observe(world.problem())
    key, kind = np.unique(outgoing_kind(observations), return_inverse=True)
    return form_units(observations, find_candidates(observations), key, kind, np.zeros(len(observations)))


def test_a_transaction_is_one_unit_from_its_first_start_to_its_last_end() -> None:
    """Three statements form a unit; the calls around them stay units of their own."""
    world = simulate(handlers.in_transaction, rate=10, count=8)
    units = _units(world)
    assert len(units) == 16
    for root in range(0, len(world.calls), 4):
        unit = units.of_call[root + 1]
        assert (units.of_call[root + 1 : root + 4] == unit).all()
        assert units.ends[unit] > units.starts[unit]
    transactions = np.unique(units.kind[units.of_call[[1, 5, 9]]])
    assert len(transactions) == 1


def test_candidates_of_a_transaction_could_have_caused_all_of_it() -> None:
    """A request that is live only during the first statement is no candidate."""
    world = Simulation()
    short = world.call("client", "app", "REQUEST", 0.0)
    long = world.call("client", "app", "REQUEST", 0.1)
    short.respond, long.respond = 0.5, 2.0
    world.call("app", "db", "BEGIN", 0.3, transaction=1)
    world.call("app", "db", "COMMIT", 1.0, transaction=1)
    units = _units(world)
    unit = units.of_call[2]
    assert units.pair_parent[units.offsets[unit] : units.offsets[unit + 1]].tolist() == [long.number]


def test_dropped_pairs_leave_the_others_in_place() -> None:
    """After `keep` every unit still has its own candidates."""
    units = _units(simulate(handlers.sequential, rate=400, count=50))
    before = {(u, p) for u, p in zip(units.pair_unit.tolist(), units.pair_parent.tolist(), strict=True)}
    chosen = np.arange(len(units.pair_unit)) % 2 == 0
    dropped = {
        (u, p) for u, p in zip(units.pair_unit[~chosen].tolist(), units.pair_parent[~chosen].tolist(), strict=True)
    }
    units.keep(chosen)
    after = {
        (unit, parent)
        for unit in range(len(units))
        for parent in units.pair_parent[units.offsets[unit] : units.offsets[unit + 1]].tolist()
    }
    assert after == before - dropped


def _prepared(gap: float) -> Units:
    """A request has a statement prepared and executes it `gap` seconds later; one before it executed it, too."""
    world = Simulation()
    for arrival in (0.0, 1.0):
        request = world.call("client", "app", "REQUEST", arrival)
        request.respond = arrival + 0.5
    world.call("app", "db", "SELECT", 0.1, connection=3)
    world.call("app", "db", "PREPARE SELECT", 1.1, connection=3, prepares=True)
    world.call("app", "db", "SELECT", 1.1 + gap, connection=3)
    return _units(world)


def test_a_preparation_and_its_execution_are_one_unit_of_the_kind_of_the_execution() -> None:
    """It lasts from the start of the one to the end of the other."""
    units = _prepared(0.1)
    together = units.of_call[3]
    assert units.of_call[4] == together
    assert units.kind[together] == units.kind[units.of_call[2]]
    assert units.ends[together] - units.starts[together] > 0.1e9


def test_a_preparation_that_no_request_shares_with_the_execution_stays_alone() -> None:
    """A pool prepares when it connects; who executes it first has not asked for that."""
    units = _prepared(5.0)
    assert units.of_call[3] != units.of_call[4]
