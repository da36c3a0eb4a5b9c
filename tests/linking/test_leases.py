"""Leases: what is learned of calls that follow each other on a connection."""

from __future__ import annotations

import handlers
import numpy as np
from simulator import simulate

from wiretrace.linking.arrays import joint_key
from wiretrace.linking.leases import _outlived
from wiretrace.linking.observations import observe


def _shares(followers_wait: bool) -> dict[int, float]:
    """Calls come in pairs on a connection; the parent of the first waits for the second, or does not."""
    generator = np.random.default_rng(1)
    world = simulate(handlers.in_transaction, rate=10, count=200)
    observations = observe(world.problem())
    count = 200
    parents, firsts, seconds = np.arange(count), np.arange(count, 2 * count), np.arange(2 * count, 3 * count)
    observations.ends[firsts] = 0.0
    observations.starts[seconds] = generator.exponential(1.0, count)
    wait = observations.starts[seconds] if followers_wait else 0.0
    observations.responds[parents] = wait + generator.exponential(1.0, count)
    before, parent_before = np.full(len(observations), -1), np.full(len(observations), -1)
    before[seconds], parent_before[seconds] = firsts, parents
    return _outlived(observations, before, parent_before, seconds, np.zeros(len(observations), np.int64))


def test_parents_that_wait_for_the_next_call_bind_it() -> None:
    """If no parent of the first call responds before the second, the two have one parent."""
    assert _shares(followers_wait=True)[0] > 0.9


def test_parents_that_do_not_wait_bind_nothing() -> None:
    """If parents respond as often before the next call as chance would have it, nothing is concluded."""
    assert not _shares(followers_wait=False)


def test_what_follows_other_calls_alike_follows_a_call_whose_parent_waits_anyhow() -> None:
    """Turn 1 tells that its second call has the parent of the first; turn 2 ends in the same operation, and can not tell."""
    generator = np.random.default_rng(1)
    observations = observe(simulate(handlers.in_transaction, rate=10, count=200).problem())
    count = 200
    parents, firsts, seconds = np.arange(count), np.arange(count, 2 * count), np.arange(2 * count, 3 * count)
    observations.ends[firsts] = 0.0
    observations.starts[seconds] = generator.exponential(1.0, count)
    observations.responds[parents] = observations.starts[seconds] + generator.exponential(0.1, count)
    silent = np.arange(count) % 4 == 0
    observations.responds[parents[silent]] = 1e6
    before, parent_before = np.full(len(observations), -1), np.full(len(observations), -1)
    before[seconds], parent_before[seconds] = firsts, parents
    turns = np.zeros(len(observations), np.int64)
    turns[seconds] = joint_key(np.where(silent, 2, 1), np.full(count, 7))
    telling, told = turns[seconds[~silent][0]], turns[seconds[silent][0]]
    found = _outlived(observations, before, parent_before, seconds, turns)
    assert found[telling] > 0.9
    assert found[told] == found[telling]
    turns[seconds[silent]] = joint_key(np.full(50, 2), np.full(50, 8))
    assert set(_outlived(observations, before, parent_before, seconds, turns)) == {telling}
