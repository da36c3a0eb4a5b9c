"""Calls that nobody asked for."""

from __future__ import annotations

import handlers
import numpy as np
from simulator import Simulation, simulate

from wiretrace.linking.background import measure_background
from wiretrace.linking.candidates import find_candidates, outgoing_kind
from wiretrace.linking.observations import observe


def _measure(world: Simulation):
    observations = observe(world.problem())
    kinds, kind = np.unique(outgoing_kind(observations), return_inverse=True)
    background = measure_background(observations, find_candidates(observations), kind, len(kinds))
    return background, {call.operation: int(kind[call.number]) for call in world.calls}


def test_the_rate_of_a_timer_is_measured_in_idle_time() -> None:
    """Twenty pings a second are found at about that rate, and calls of requests at none."""
    world = simulate(handlers.sequential, rate=50, count=300)
    for tick in np.arange(0.0, 6.0, 0.05):
        world.call("app", "db", "PING", float(tick))
    background, kind = _measure(world)
    assert 12e-9 < background.rate[kind["PING"]] < 30e-9
    assert background.rate[kind["SELECT"]] == 0.0
    assert background.reach[kind["PING"]] == 0.0


def test_work_that_requests_leave_behind_reaches_beyond_the_response() -> None:
    """Mails that are sent 0.4 ms after the response keep requests candidates for about a millisecond."""
    background, kind = _measure(simulate(handlers.left_behind, rate=50, count=300))
    assert 0.4e6 < background.reach[kind["SEND"]] < 5e6
    assert background.reach[kind["SELECT"]] == 0.0


def test_a_client_without_requests_of_its_own_has_no_background() -> None:
    """Processes that serve nothing make calls without a parent all the time; that is no rate."""
    background, kind = _measure(simulate(handlers.sequential, rate=50, count=100))
    assert background.rate[kind["REQUEST"]] == 0.0
