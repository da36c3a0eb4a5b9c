"""What linking adds to the calls of a stretch: parents, links and evidence as tables. Calls stand there by their numbers.

Rules: only calls that the stretch owns have rows; their parents may be calls of its surroundings. A call's number is its
id; 0 stands for none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from wiretrace.linking.linker import link
from wiretrace.linking.problem import BASES, QUESTION_BELOW, RELATIONS, LinkSolution
from wiretrace.memory import give_back_memory
from wiretrace.model.link_problem import MISSING, LinkProblem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.habits import Habits
    from wiretrace.model.link_problem import LinkProblem

NO_CALL = np.uint64(0)
"""In place of a call's number."""


@dataclass(slots=True)
class Linked:
    """The tables of one stretch. Columns are those of the tables of a case, but ids are numbers (uint64)."""

    calls: pa.Table
    """Without `tree`; the parent of a root is 0."""
    links: pa.Table
    """The chosen parents, and behind them the runners-up that are calls; by child."""
    evidence: pa.Table


def link_calls(calls: pa.Table, problem: LinkProblem, owned: NDArray[np.bool_], habits: Habits | None = None) -> Linked:
    """Link `calls`, whose rows `problem` describes in numbers; `owned` (n,) says which of them get rows.

    `habits` are those of the whole analysis; without them they are learned from these calls.
    """
    solution = link(problem, habits, owned)
    # What linking took goes back before the tables, which have a memory of their own, take theirs.
    give_back_memory()
    identity = np.append(calls.column("id").to_numpy(), NO_CALL)
    return Linked(
        _calls(calls, identity, solution, is_question(problem, solution), owned),
        _links(identity, solution, owned),
        _evidence(identity, solution, owned),
    )


def is_question(problem: LinkProblem, solution: LinkSolution) -> NDArray[np.bool_]:
    """Which links are too little to be called links, shape (n,).

    Those that are less likely than not; and those that are inferred at a host that was not captured, where both calls are
    known from other hosts alone: what stands there, one process or many, nobody saw.
    """
    parent = solution.parent
    unseen = (problem.callee_start_ns[parent] == MISSING) & (problem.caller_start_ns == MISSING)
    unseen &= solution.basis == BASES.index("inferred")
    question: NDArray[np.bool_] = (parent >= 0) & (unseen | (solution.confidence < QUESTION_BELOW))
    return question


def _calls(
    calls: pa.Table,
    identity: NDArray[np.uint64],
    solution: LinkSolution,
    question: NDArray[np.bool_],
    owned: NDArray[np.bool_],
) -> pa.Table:
    linked = solution.parent >= 0
    filled = {
        "parent": pa.array(identity[solution.parent]),
        "basis": pa.DictionaryArray.from_arrays(
            pa.array(solution.basis.astype(np.int32), mask=~linked), pa.array(BASES, pa.string())
        ),
        "relation": relations(follows_of(solution), ~linked),
        "confidence": pa.array(solution.confidence, mask=~linked),
        "question": pa.array(question),
    }
    for name, column in filled.items():
        calls = calls.append_column(name, column)
    return calls if owned.all() else calls.filter(pa.array(owned))


def _links(identity: NDArray[np.uint64], solution: LinkSolution, owned: NDArray[np.bool_]) -> pa.Table:
    chosen = np.flatnonzero((solution.parent >= 0) & owned)
    others = [each for each in solution.alternatives if each[1] >= 0 and owned[each[0]]]
    child = np.array([each[0] for each in others], np.int64)
    children = np.concatenate([chosen, child])
    rank = np.concatenate([np.zeros(len(chosen), np.int64), _count_up(child) + 1])
    order = np.lexsort((rank, children))
    parents = np.concatenate([solution.parent[chosen], np.array([each[1] for each in others], np.int64)])
    confidence = np.concatenate([solution.confidence[chosen], np.array([each[2] for each in others], np.float64)])
    basis = np.concatenate([solution.basis[chosen].astype(np.int32), np.full(len(child), len(BASES) - 1, np.int32)])
    further = [each for each in solution.also_follows if owned[each[0]]]
    if further:
        more_children, more_parents, more_confidence, more_basis = (
            np.array(column) for column in zip(*further, strict=True)
        )
        children, parents = np.concatenate([children, more_children]), np.concatenate([parents, more_parents])
        rank = np.concatenate([rank, np.zeros(len(further), np.int64)])
        confidence, basis = np.concatenate([confidence, more_confidence]), np.concatenate([basis, more_basis])
        order = np.lexsort((rank, children))
    return pa.table(
        {
            "child": identity[children[order]],
            "parent": identity[parents[order]],
            "rank": rank[order].astype(np.int32),
            "relation": relations(follows_of(solution)[children[order]], np.zeros(len(order), bool)),
            "basis": pa.DictionaryArray.from_arrays(
                pa.array(basis[order].astype(np.int32)), pa.array(BASES, pa.string())
            ),
            "confidence": confidence[order],
        }
    )


def follows_of(solution: LinkSolution) -> NDArray[np.bool_]:
    """Whether each call follows its parent (n,)."""
    return np.zeros(len(solution.parent), bool) if solution.follows is None else solution.follows


def relations(follows: NDArray[np.bool_], none: NDArray[np.bool_]) -> pa.Array:
    """What calls are to their parents (n,); null where they have `none` (n,)."""
    return pa.DictionaryArray.from_arrays(
        pa.array(follows.astype(np.int32), mask=none if none.any() else None), pa.array(RELATIONS, pa.string())
    )


def _evidence(identity: NDArray[np.uint64], solution: LinkSolution, owned: NDArray[np.bool_]) -> pa.Table:
    items = [item for item in solution.evidence if owned[item.child]]
    child, parent, kind, weight, detail = zip(*items, strict=True) if items else ((), (), (), (), ())
    return pa.table(
        {
            "child": identity[np.array(child, np.int64)],
            "parent": identity[np.array(parent, np.int64)],
            "kind": pa.array(kind, pa.string()).dictionary_encode(),
            "weight": pa.array(weight, pa.float64()),
            "detail": pa.array(detail, pa.string()),
        }
    )


def _count_up(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each value of (n,) occurred before, in its order."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.searchsorted(ordered, ordered)
    counts = np.empty(len(values), np.int64)
    counts[order] = np.arange(len(values)) - first
    return counts
