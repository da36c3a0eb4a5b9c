"""Cutting time: every call in one stretch, with all that surrounds it, and cuts where little is open."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wiretrace.hosts.stretches import Stretch, plan_sample, plan_stretches

SECOND = 1_000_000_000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 90)), max_size=60), min_size=1, max_size=3),
    st.integers(2, 40),
)
def test_every_call_has_one_stretch_and_its_open_parents(captures: list[list[tuple[int, int]]], exchanges: int) -> None:
    """Stretches tile all time; what is open when one begins, and what starts inside, is always worked on with it."""
    starts = [np.array([start for start, _ in calls], np.int64) * SECOND for calls in captures]
    ends = [
        start + np.array([lasts for _, lasts in calls], np.int64) * SECOND
        for start, calls in zip(starts, captures, strict=True)
    ]
    stretches = plan_stretches(starts, ends, exchanges)
    for start, end in zip(starts, ends, strict=True):
        assert (sum(stretch.owns(start).astype(int) for stretch in stretches) == 1).all()
        for stretch in stretches:
            rows = set(stretch.rows(start, end).tolist())
            needed = stretch.owns(start) | ((start < stretch.begins) & (end >= stretch.begins) & (len(stretches) > 1))
            assert set(np.flatnonzero(stretch.owns(start)).tolist()) <= rows
            assert set(np.flatnonzero(needed).tolist()) <= rows or stretch.begins < -SECOND


def test_a_short_capture_is_one_stretch() -> None:
    start = np.arange(100) * SECOND
    (stretch,) = plan_stretches([start], [start], 80)
    assert stretch.owns(start).all()
    assert len(stretch.rows(start, start)) == 100


def test_cuts_fall_into_quiet_moments() -> None:
    """Bursts of ten overlapping calls with pauses: no cut goes through a burst."""
    start = (np.arange(1000) // 10 * 100 + np.arange(1000) % 10) * SECOND
    stretches = plan_stretches([start], [start + 50 * SECOND], 95)
    assert len(stretches) > 5
    assert all(stretch.begins // SECOND % 100 == 0 for stretch in stretches[1:])


def test_surroundings_are_bounded() -> None:
    """However busy it is, what surrounds a stretch stays a share of it, and most of it is what went before."""
    start = np.arange(10_000) * 1_000_000
    stretches = plan_stretches([start], [start + 1], 1000)
    sizes = [len(stretch.rows(start, start + 1)) for stretch in stretches]
    assert max(sizes) < 1700
    middle = stretches[5]
    near = start[middle.rows(start, start + 1)]
    assert 450 < (near < middle.begins).sum() <= 550
    assert 120 < (near >= middle.ends).sum() <= 160


def test_the_sample_comes_from_everywhere() -> None:
    """As many as asked for, in pieces of neighbours, with what was open when a piece began."""
    start = np.arange(10_000) * SECOND
    end = start + 1
    end[5_000] = 9_000 * SECOND
    sample = plan_sample([start], 800, 8)
    rows = sample.rows(start, end)
    assert 790 <= len(rows) <= 820
    assert (np.diff(rows) > 1).sum() == 8
    assert rows[-1] >= 9_990
    assert 5_000 in rows
    assert not sample.owns(start)[5_000]
    piece = sample.piece(start[rows])
    assert (np.diff(piece) >= 0).all()
    assert np.bincount(piece).min() >= 100
    assert sample.begins[piece[rows == 5_000]] > start[5_000]


def test_owning_is_by_start() -> None:
    stretch = Stretch(10, 20, 5, 25)
    assert stretch.owns(np.array([9, 10, 19, 20])).tolist() == [False, True, True, False]
