"""What is taken from the problem for the joint assignment of one service."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np

from wiretrace.linking.service import _ranks

if TYPE_CHECKING:
    from wiretrace.linking.units import Units


def ranks_of(parents: list[list[int]], contested: list[int]) -> list[int]:
    """Ranks of one class of units with these candidates each, of ten requests of which some are `contested`."""
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in parents])))
    units = cast("Units", SimpleNamespace(offsets=offsets, pair_parent=np.concatenate(parents)))
    own, of_class = np.arange(len(parents)), np.zeros(len(parents), np.int64)
    return _ranks(10, np.append(np.arange(10), -1), units, own, of_class, np.array(contested, np.int64)).tolist()


def test_a_class_is_repeated_where_requests_without_competition_make_it_twice() -> None:
    assert ranks_of([[0], [0], [1], [1]], []) == [2]
    assert ranks_of([[0], [1], [2]], []) == [1]


def test_a_class_is_repeated_too_where_contents_have_told_so_of_requests_in_competition() -> None:
    """Two calls are plainly those of request 0, which competes with request 1 for a third."""
    assert ranks_of([[0], [0], [0, 1]], [0, 1]) == [2]
    assert ranks_of([[0], [1], [0, 1]], [0, 1]) == [1]
