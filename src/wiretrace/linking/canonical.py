"""A problem in an order that does not depend on how its rows came: equal calls in, equal links out.

Rules: rows are sorted by their own contents alone. Rows that are equal in all of it are interchangeable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.linking.arrays import offsets_of, ranges
from wiretrace.model.link_problem import LinkProblem, Ragged

if TYPE_CHECKING:
    from numpy.typing import NDArray


def canonical_order(problem: LinkProblem) -> NDArray[np.int64]:
    """Row numbers of `problem` in their canonical order, shape (n,)."""
    keys = (
        _digest(problem.response_tokens),
        _digest(problem.request_tokens),
        _digest(problem.identifiers),
        problem.request_digest,
        problem.transaction,
        problem.connection,
        problem.operation,
        problem.callee,
        problem.caller,
        problem.caller_end_ns,
        problem.caller_start_ns,
        problem.callee_end_ns,
        problem.callee_start_ns,
    )
    return np.lexsort(keys)


def reordered(problem: LinkProblem, order: NDArray[np.int64]) -> LinkProblem:
    """`problem` with row order[i] as row i."""
    return LinkProblem(
        caller=problem.caller[order],
        callee=problem.callee[order],
        caller_service=problem.caller_service[order],
        callee_service=problem.callee_service[order],
        operation=problem.operation[order],
        caller_start_ns=problem.caller_start_ns[order],
        caller_end_ns=problem.caller_end_ns[order],
        callee_start_ns=problem.callee_start_ns[order],
        callee_end_ns=problem.callee_end_ns[order],
        clock_error_ns=problem.clock_error_ns[order],
        one_way=problem.one_way[order],
        connection=problem.connection[order],
        transaction=problem.transaction[order],
        prepares=problem.prepares[order],
        lookup=problem.lookup[order],
        request_digest=problem.request_digest[order],
        identifiers=_reordered(problem.identifiers, order),
        request_tokens=_reordered(problem.request_tokens, order),
        response_tokens=_reordered(problem.response_tokens, order),
        process_names=problem.process_names,
        service_names=problem.service_names,
        operation_names=problem.operation_names,
        identifier_names=problem.identifier_names,
    )


def _reordered(ragged: Ragged, order: NDArray[np.int64]) -> Ragged:
    """`ragged` with row order[i] as row i."""
    counts = np.diff(ragged.offsets)[order]
    return Ragged(offsets_of(counts), ragged.values[ranges(ragged.offsets[order], counts)])


def _digest(ragged: Ragged) -> NDArray[np.uint64]:
    """One number per row, equal for equal sets of values whatever their order."""
    total = np.concatenate((np.zeros(1, np.uint64), np.cumsum(ragged.values, dtype=np.uint64)))
    return total[ragged.offsets[1:]] - total[ragged.offsets[:-1]]
