"""Arrays for the linker."""

from __future__ import annotations

import numpy as np

from wiretrace.hosts.columns import CallTimes, find_preparations
from wiretrace.model.link_problem import MISSING


def test_only_a_statement_that_the_next_call_on_the_connection_executes_is_a_preparation() -> None:
    """Operation 1 prepares operation 0. On connection 5 it is executed next, on 6 something else comes between."""
    operation = np.array([0, 1, 1, 2, 0], np.int32)
    connection = np.array([5, 5, 6, 6, 6])
    executed = np.array([-1, 0, -1], np.int32)
    start = np.array([20, MISSING, 10, 11, 12])
    nothing = np.zeros(5, np.int64)
    times = CallTimes(start, nothing, np.array([MISSING, 19, 10, 11, 12]), nothing, nothing)
    assert find_preparations(operation, executed, connection, times).tolist() == [False, True, False, False, False]
    no_preparation = np.full(3, -1, np.int32)
    assert not find_preparations(operation, no_preparation, connection, times).any()
