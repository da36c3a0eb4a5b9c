"""Exchanges between two requests."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from wiretrace.linking.moves import Held, cross_over, exchange_slots, move_unit, swap_units

SERVICE = SimpleNamespace(
    slot_class=np.array([0, 0, 0, 1]),
    unit_class=np.array([0, 0, 0, 0, 0, 1, 1]),
    starts=np.array([1.0, 2.0, 3.0, 4.0, 5.0, 2.5, 6.0, np.nan]),
)
"""Class 0 may be called three times (units 0 to 4), class 1 once (units 5 and 6)."""


def _held(source: list[int], target: list[int]) -> Held:
    return Held(np.array(source)[:, None], np.array(target)[:, None], np.ones(1, bool))


def _no() -> np.ndarray:
    return np.zeros(1, bool)


def test_slots_are_exchanged_as_they_are() -> None:
    """What is chosen changes hands, the rest stays."""
    after = exchange_slots(_held([0, -1, -1, 5], [1, 2, -1, 6]), np.array([[True], [True], [True], [False]]))
    assert after.source[:, 0].tolist() == [1, 2, -1, 5]
    assert after.target[:, 0].tolist() == [0, -1, -1, 6]


def test_a_unit_moves_into_the_order_of_its_class() -> None:
    """It is filed by its start, and leaves no hole."""
    after = move_unit(SERVICE, _held([0, 2, 4, -1], [1, 3, -1, -1]), np.array([2]), _no(), _no())
    assert after.source[:, 0].tolist() == [0, 4, -1, -1]
    assert after.target[:, 0].tolist() == [1, 2, 3, -1]
    assert after.fits.all()


def test_a_unit_does_not_move_where_there_is_no_room() -> None:
    """A class that is full takes no further unit."""
    assert not move_unit(SERVICE, _held([4, -1, -1, -1], [0, 1, 2, -1]), np.array([4]), _no(), _no()).fits.any()


def test_a_single_slot_gives_its_unit_in_return() -> None:
    """Where a class has one slot the two units change places."""
    after = move_unit(SERVICE, _held([-1, -1, -1, 5], [-1, -1, -1, 6]), np.array([5]), _no(), _no())
    assert (after.source[3, 0], after.target[3, 0]) == (6, 5)


def test_a_unit_loses_its_parent() -> None:
    """Moved to nobody, it is gone from the source, and nobody holds it."""
    after = move_unit(SERVICE, _held([0, 1, -1, -1], [-1, -1, -1, -1]), np.array([0]), _no(), np.ones(1, bool))
    assert after.source[:, 0].tolist() == [1, -1, -1, -1]
    assert after.target[:, 0].tolist() == [-1, -1, -1, -1]


def test_what_starts_later_crosses_over() -> None:
    """From the unit on everything of its class changes hands; with `whole`, of all classes."""
    before = _held([0, 2, -1, 6], [1, 3, -1, 5])
    own = cross_over(SERVICE, before, np.array([2]), _no())
    assert own.source[:, 0].tolist() == [0, 3, -1, 6]
    assert own.target[:, 0].tolist() == [1, 2, -1, 5]
    whole = cross_over(SERVICE, _held([0, 2, -1, 6], [1, 3, -1, -1]), np.array([2]), np.ones(1, bool))
    assert whole.source[:, 0].tolist() == [0, 3, -1, -1]
    assert whole.target[:, 0].tolist() == [1, 2, -1, 6]


def test_two_units_of_one_class_change_places() -> None:
    """One for one, in the order of the starts; the way back is proposed as often as one of so many units is chosen."""
    before = _held([0, 3, 4, 5], [1, 2, -1, 6])
    for choice, other in ((0.0, 1), (0.4, 1), (0.5, 2), (0.99, 2)):
        after, back = swap_units(SERVICE, before, np.array([3]), np.array([choice]))
        assert after.source[:, 0].tolist() == [*sorted([0, other, 4]), 5]
        assert after.target[:, 0].tolist() == [*sorted({1, 2, 3} - {other}), -1, 6]
        assert after.fits.all()
        assert back[0] == np.log(2 / 3)


def test_there_is_no_swap_with_a_request_that_holds_none() -> None:
    """It has nothing to give in return."""
    after, _ = swap_units(SERVICE, _held([0, -1, -1, 5], [-1, -1, -1, 6]), np.array([0]), np.array([0.5]))
    assert not after.fits.any()
