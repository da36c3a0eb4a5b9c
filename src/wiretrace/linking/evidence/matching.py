"""Matching: which values the two sides of candidate pairs share, and how likely that is by chance.

Rules: a value is rare as far as few incoming calls of the process carry it, and few other calls of the child's kind: what
all of these carry (the 99 of every LTRIM 0 99) came with no request. Nearly all pairs share nothing, so pairs are not
compared one by one. The values of the parents stand in one list, sorted by value and by arrival; each value of a child is
looked up in it once. Those who carry the value are then looked up among the child's candidates, or its candidates among
those who carry the value: whichever are fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wiretrace.linking.arrays import distinct, find, in_blocks, number_groups, ranges, run_starts
from wiretrace.linking.evidence.contract import Match

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.linking.evidence.contract import Pairs
    from wiretrace.linking.observations import Observations
    from wiretrace.model.link_problem import Ragged

SEVERAL = 3
"""Values that a pair shares at least to share most of them."""
MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd constant (2**64 divided by the golden ratio) that spreads call numbers over the hashes."""
OTHER_CALLS = 4000
"""Incoming calls that no pair asks for, from which the commonness of values is measured."""
UNSEEN_CARRIERS = 0.05
"""Other calls that are imagined to carry a value that only one was seen to carry."""
OTHER_CHILDREN = 10
"""Other calls of an operation that are imagined not to carry a value that some were seen to carry."""
MOST_TABLE_BITS = 22
"""Leading bits of a value that the table of wanted values tells apart."""
BLOCK_PAIRS = 200_000
"""Pairs that are looked at together; bounds the memory that it takes."""
COMMON_SHARE = 0.2
"""A value that a larger share of the process's incoming calls carries is not looked for: it would tell little (at most
1.6 nats), and take most of the time."""
NOTHING = np.zeros(0, np.int64)
"""No numbers."""


class _Carriers(NamedTuple):
    """The values of incoming calls. A value of one process is another one than the same value of another process."""

    value: NDArray[np.uint64]
    """Rising numbers of the values, mixed with processes, shape (values,)."""
    carried: NDArray[np.int64]
    """Calls that carry each, shape (values,)."""
    place: NDArray[np.int64]
    """Rising: number of the value, times `calls`, plus the rank by arrival of a call that carries it; (carried,)."""
    since: NDArray[np.float64] | None
    """From when the value is there, nanoseconds, shape (carried,); None: from the beginning."""
    calls: int
    """Number of all calls."""


class _Children(NamedTuple):
    """The children of pairs; shape (children,)."""

    call: NDArray[np.int64]
    begin: NDArray[np.int64]
    """Their pairs are those from here ..."""
    end: NDArray[np.int64]
    """... up to here."""


class _Wanted(NamedTuple):
    """Values of children that tell something, and that some parent carries; shape (wanted,)."""

    child: NDArray[np.int64]
    """Index into `_Children`."""
    value: NDArray[np.int64]
    """Index into `_Carriers.value`."""
    chance: NDArray[np.float64]
    """Probability that an unrelated call would share a value as rare as this one."""


def match(
    observations: Observations,
    pairs: Pairs,
    of_child: Ragged,
    of_parent: Ragged,
    since: NDArray[np.float64] | None = None,
) -> Match:
    """Compare the values of both sides of `pairs`.

    `since` says from when each of the parents' values is there, nanoseconds, shape of ``of_parent.values``: a child that
    starts before has nothing of it. None: from the beginning.
    """
    incoming, served = _incoming(observations, pairs)
    comparable = _comparable(observations, pairs, of_child, of_parent, since)
    # What can not be compared shares nothing: often that is nearly everything.
    there = np.flatnonzero(comparable)
    child = pairs.child[there]
    begin = np.flatnonzero(run_starts(child))
    children = _Children(child[begin], begin, np.append(begin[1:], len(child)))
    owner, value = _values(observations, children, of_child)
    carriers = _carriers(observations, incoming, of_parent, since, value)
    wanted = _wanted(observations, carriers, children, served, owner, value)
    found_wanted, found_pair = [NOTHING], [NOTHING]
    for part in in_blocks(children.end - children.begin, BLOCK_PAIRS):
        own = slice(*np.searchsorted(wanted.child, (part.start, part.stop)).tolist())
        first = int(children.begin[part][0])
        number = there[first : int(children.end[part][-1])]
        block = pairs.kept(number)
        of_block = _Children(children.call[part], children.begin[part] - first, children.end[part] - first)
        wanted_here = _Wanted(wanted.child[own] - part.start, wanted.value[own], wanted.chance[own])
        for of_wanted, pair, place in _shared(observations, block, carriers, of_block, wanted_here):
            if carriers.since is not None:
                in_time = carriers.since[place] <= observations.starts[block.child[pair]]
                of_wanted, pair = of_wanted[in_time], pair[in_time]
            found_wanted.append(of_wanted + own.start)
            found_pair.append(number[pair])
    return _match(comparable, wanted, np.concatenate(found_wanted), np.concatenate(found_pair))


def _comparable(
    observations: Observations,
    pairs: Pairs,
    of_child: Ragged,
    of_parent: Ragged,
    since: NDArray[np.float64] | None,
) -> NDArray[np.bool_]:
    """Whether both sides of each pair carry any value when the child starts, shape (pairs,)."""
    comparable: NDArray[np.bool_] = (np.diff(of_parent.offsets) > 0)[pairs.parent]
    comparable &= (np.diff(of_child.offsets) > 0)[pairs.child]
    if since is not None:
        earliest = np.full(len(observations), np.inf)
        np.minimum.at(earliest, np.repeat(np.arange(len(observations)), np.diff(of_parent.offsets)), since)
        there = np.flatnonzero(comparable)
        comparable[there] = earliest[pairs.parent[there]] <= observations.starts[pairs.child[there]]
    return comparable


def _match(
    comparable: NDArray[np.bool_], wanted: _Wanted, of_wanted: NDArray[np.int64], pair: NDArray[np.int64]
) -> Match:
    """What pairs share, of which of_wanted[i] is shared by pair[i]."""
    sharing, number = number_groups(pair)
    chance = np.ones(len(sharing))
    np.minimum.at(chance, number, wanted.chance[of_wanted])
    shared = np.bincount(number, minlength=len(sharing))
    could = np.zeros(len(sharing), np.int64)
    could[number] = np.bincount(wanted.child)[wanted.child[of_wanted]]
    return Match(sharing, shared, chance, (shared >= SEVERAL) & (2 * shared > could), comparable)


def _incoming(observations: Observations, pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The parents of `pairs` and a sample of the other incoming calls, and how many of these each process served."""
    callee = observations.problem.callee
    wanted = np.zeros(len(callee), bool)
    wanted[pairs.parent] = True
    others = np.flatnonzero(~wanted & (callee >= 0))
    wanted[others[:: len(others) // OTHER_CALLS + 1]] = True
    incoming = np.flatnonzero(wanted)
    return incoming, np.bincount(callee[incoming])


def _values(
    observations: Observations, children: _Children, of_child: Ragged
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The values of `children`, mixed with their processes, and whose each is: an index into `children`."""
    counts = np.diff(of_child.offsets)[children.call]
    child = np.repeat(np.arange(len(children.call)), counts)
    value = of_child.values[ranges(of_child.offsets[children.call], counts)]
    return child, value ^ mixer_of(observations.problem.caller[children.call[child]])


def _carriers(
    observations: Observations,
    incoming: NDArray[np.int64],
    of_parent: Ragged,
    since: NDArray[np.float64] | None,
    wanted: NDArray[np.uint64],
) -> _Carriers:
    """Those `wanted` values that any of the calls `incoming` carries; when several times, from the first one on."""
    calls = len(observations)
    held = np.diff(of_parent.offsets)[incoming]
    owner = np.repeat(incoming, held)
    at = ranges(of_parent.offsets[incoming], held)
    value = of_parent.values[at] ^ mixer_of(observations.problem.callee[owner])
    # The leading bits tell most of those that nobody wants.
    shift = np.uint64(64 - min(MOST_TABLE_BITS, len(wanted).bit_length() + 4))
    present = np.zeros(1 << (64 - int(shift)), bool)
    present[wanted >> shift] = True
    maybe = np.flatnonzero(present[value >> shift])
    at, owner = at[maybe], owner[maybe]
    value, number = number_groups(value[maybe])
    place = number * np.int64(calls) + observations.arrival_rank[owner]
    if since is None:
        place, of_place = distinct(place), None
    else:
        order = np.lexsort((since[at], place))
        order = order[run_starts(place[order])]
        place, of_place = place[order], since[at[order]]
    return _Carriers(value, np.bincount(place // calls, minlength=len(value)), place, of_place, calls)


def _wanted(
    observations: Observations,
    carriers: _Carriers,
    children: _Children,
    served: NDArray[np.int64],
    child: NDArray[np.int64],
    value: NDArray[np.uint64],
) -> _Wanted:
    """What is looked for of the values of `children`.

    `served` (processes,) says how many incoming calls could carry them; `child` and `value` are as `_values` gives them.
    """
    values_of_child = np.bincount(child, minlength=len(children.call))
    number = find(carriers.value, value)
    carried = np.flatnonzero(number >= 0)
    child, number = child[carried], number[carried]
    count = carriers.carried[number]
    # How many others carry it: the parent in question does in any case.
    common = (count - 1 + UNSEEN_CARRIERS) / served[observations.problem.caller[children.call[child]]]
    telling = (common <= COMMON_SHARE) | (count <= 2)
    child, number, common = child[telling], number[telling], common[telling]
    # What calls of the kind carry anyhow was brought by no request.
    common = np.maximum(common, _usual(observations.problem.operation[children.call], child, number))
    # Every value of the child had its chance to be shared.
    chance = -np.expm1(np.log1p(-np.minimum(common, 0.99)) * values_of_child[child])
    return _Wanted(child, number, chance)


def _usual(operation: NDArray[np.int32], child: NDArray[np.int64], value: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the other children of the same operation that carry the same value, shape (wanted,).

    `operation` (children,) is that of each child, `value` (wanted,) a number of each value that `child` (wanted,) carries.
    """
    _, kind = number_groups(operation)
    of_kind = np.bincount(kind)
    _, same = number_groups(kind[child] * (int(value.max(initial=0)) + 1) + value)
    usual: NDArray[np.float64] = (np.bincount(same)[same] - 1) / (of_kind[kind[child]] - 1 + OTHER_CHILDREN)
    return usual


def _shared(
    observations: Observations, pairs: Pairs, carriers: _Carriers, children: _Children, wanted: _Wanted
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """The pairs of which both sides carry a wanted value: indices into `wanted`, pairs, and `place` of the carriers."""
    calls, rank = np.int64(carriers.calls), observations.arrival_rank
    if not len(wanted.child):
        return
    begin, end = children.begin[wanted.child], children.end[wanted.child]
    # Pairs are sorted by child and then by arrival, as are those who carry a value.
    earliest, latest = rank[pairs.parent[begin]], rank[pairs.parent[end - 1]]
    low = np.searchsorted(carriers.place, wanted.value * calls + earliest, "left")
    high = np.searchsorted(carriers.place, wanted.value * calls + latest, "right")
    few = high - low <= end - begin
    block = np.flatnonzero(few & (high > low))
    count = high[block] - low[block]
    of_wanted, place = np.repeat(block, count), ranges(low[block], count)
    child = children.call[wanted.child[of_wanted]]
    pair = find(pairs.child * calls + rank[pairs.parent], child * calls + carriers.place[place] % calls)
    found = pair >= 0
    yield of_wanted[found], pair[found], place[found]
    block = np.flatnonzero(~few)
    count = end[block] - begin[block]
    of_wanted, pair = np.repeat(block, count), ranges(begin[block], count)
    place = find(carriers.place, wanted.value[of_wanted] * calls + rank[pairs.parent[pair]])
    found = place >= 0
    yield of_wanted[found], pair[found], place[found]


def mixer_of(owner: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """What values of each process, or call, are mixed with, so that equal ones of different owners differ."""
    mixed: NDArray[np.uint64] = owner.astype(np.uint64) * MIX
    return mixed
