"""Leases: what is learned of calls that follow each other on a connection."""

from __future__ import annotations

import handlers
import numpy as np
from simulator import simulate

from wiretrace.linking.arrays import joint_key
from wiretrace.linking.leases import LEAST_SHARE, SURE_BEFORE, _believed, _followed, _least_shares, _outlived
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


def test_contents_overrule_the_connection() -> None:
    """Of calls that follow the call before in 95 of 100 cases, those do not whose contents name another parent."""
    rate = np.full(3, 0.95)
    weight = np.array([0.0, 0.0, 0.0, -2.0, 6.0, 0.0, 5.0, -2.0, -2.0])
    same = np.array([True, False, False] * 3)
    believed = _believed(rate, weight, same, np.repeat(np.arange(3), 3))
    assert believed[0] == 0.95
    assert believed[1] < 0.05
    # What the contents say in favour makes it no surer than such calls usually are.
    assert believed[2] == 0.95
    assert _believed(rate[:1], np.zeros(2), np.zeros(2, bool), np.zeros(2, np.int64))[0] < SURE_BEFORE


def test_what_contents_rule_out_is_not_brought_back_by_the_connection() -> None:
    """The joint assignment may be wrong by two in a hundred about connections, but not about what the contents say."""
    unit = np.array([0, 0, 1, 1])
    least = _least_shares(np.array([1.0, 1.0, -4.0, 4.0]), unit)
    assert np.allclose(least, LEAST_SHARE * np.array([1.0, 1.0, np.exp(-8.0), 1.0]))
    followed = _followed(least, np.full(4, 0.5), np.full(4, 0.98))
    assert followed[0] > 0.4
    assert followed[2] < 0.01
