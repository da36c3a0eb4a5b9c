"""Delays, the plan and the order of requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import handlers
import numpy as np
from simulator import accuracy, simulate

from wiretrace.linking.evidence.timing import last_done, sibling_of
from wiretrace.linking.linker import learn, link

if TYPE_CHECKING:
    from wiretrace.linking.service import Service


def test_the_words_tell_the_delay_and_what_is_usual() -> None:
    """A link says when the call started after the request arrived, and the usual range."""
    solution = link(simulate(handlers.sequential, rate=20, count=50).problem())
    details = [item.detail for item in solution.evidence if item.kind == "timing"]
    assert len(details) == 150
    assert all(detail.startswith("starts ") and " after app received the request" in detail for detail in details)
    assert all("usual" in detail for detail in details)


def test_a_later_call_is_timed_from_the_end_of_the_one_before() -> None:
    """The third call of a sequence with a widely scattered second is linked by the gap between them."""

    def scattered(world, call) -> float:
        first = world.call(call.callee, "db", "FIRST", call.arrive + world.work(0.2e-3), call)
        first_end = first.end + float(world.random.uniform(0, 8e-3))
        second = world.call(call.callee, "db", "SECOND", first_end, call)
        return world.call(call.callee, "db", "THIRD", second.end + world.work(0.2e-3, 0.1), call).end + world.work(
            0.2e-3
        )

    world = simulate(scattered, rate=150, count=400)
    solution, truth = link(world.problem()), world.truth()
    third = np.array([call.operation == "THIRD" for call in world.calls])
    second = np.array([call.operation == "SECOND" for call in world.calls])
    same = solution.parent[third] == solution.parent[second]
    assert same.mean() >= 0.97
    assert accuracy(solution, truth) >= 0.93


def test_event_rows_name_their_sibling() -> None:
    """Arrival and response belong to no sibling; ends and starts do."""
    assert sibling_of(np.arange(8), 3).tolist() == [-1, 0, 1, 2, 0, 1, 2, -1]


def test_a_plan_is_told_in_percent() -> None:
    """Contested links say how regularly such a request makes such a call."""
    solution = link(simulate(handlers.cached, rate=800, count=200).problem())
    details = [item.detail for item in solution.evidence if item.kind == "plan"]
    assert details
    assert all(detail.endswith("of such requests make such a call") for detail in details)


def test_a_single_worker_is_found_to_keep_order() -> None:
    """Delays alone could not tell; that no request ever overtakes another does."""
    world = simulate(handlers.in_turn, rate=250, count=800)
    solution = link(world.problem())
    assert accuracy(solution, world.truth()) >= 0.97
    assert any(item.kind == "order" for item in solution.evidence)


def test_independent_requests_are_not_taken_for_a_queue() -> None:
    """Where requests overtake each other no order is claimed."""
    solution = link(simulate(handlers.parallel, rate=400, count=500).problem())
    assert not any(item.kind == "order" for item in solution.evidence)


def test_a_step_is_timed_from_whatever_was_over_last() -> None:
    """Where steps are repeated as often as needed, no certain one of them comes last before the next."""
    requests = simulate(handlers.some_left_out, rate=300, count=800)
    learned = learn(requests.problem())
    [habits] = [each for each in learned.services.values() if each is not None]
    anything = 2 + 2 * habits.delays.slots
    assert (habits.delays.cue == anything).any()
    assert accuracy(link(requests.problem()), requests.truth()) > 0.97


def test_what_was_over_last_is_the_latest_end_before_a_start() -> None:
    """The same in plain Python, also where nothing was over, where calls overlap, and where a call took no time."""
    chance = np.random.default_rng(3)
    starts = np.round(chance.uniform(0, 10, 40))
    ends = starts + np.round(chance.uniform(0, 3, 40))
    service = cast("Service", SimpleNamespace(starts=np.append(starts, np.nan), ends=np.append(ends, np.nan)))
    held = chance.integers(-1, 40, (6, 40))
    unit, arrives = np.arange(40), chance.uniform(-2, 0, 40)
    held[0] = unit
    expected = [
        max([arrives[at], *(ends[other] for other in row if other not in (-1, at) and ends[other] <= starts[at])])
        for at, row in enumerate(held.T.tolist())
    ]
    assert last_done(service, held, unit, arrives).tolist() == expected
