"""The tables that linking makes or fills: calls with their parents, links, evidence and trees."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.linking.problem import BASES, QUESTION_BELOW, LinkProblem, LinkSolution, Ragged
from wiretrace.linking.stretches import link_in_stretches
from wiretrace.linking.trees import Trees, grow_trees
from wiretrace.model.outcome import Outcome
from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.hosts.columns import LinkColumns, Lists
    from wiretrace.linking.stretches import Run


def link_tables(calls: pa.Table, columns: LinkColumns, run: Run = map) -> dict[str, pa.Table]:
    """Link `calls`, whose rows `columns` describes in numbers. Returns the tables calls, links, evidence and trees.

    `run` maps a function over the stretches of a long capture, in worker processes or in this one.
    """
    solution = link_in_stretches(_problem(columns), run)
    trees = grow_trees(solution.parent, solution.confidence, calls.column("start_ns").to_numpy())
    solution.parent = trees.parent
    return {
        "calls": _calls(calls, solution, trees),
        "links": _links(calls, solution),
        "evidence": _evidence(calls, solution),
        "trees": _trees(calls, trees),
    }


def _problem(columns: LinkColumns) -> LinkProblem:
    values: dict[str, Any] = {field.name: getattr(columns, field.name) for field in fields(LinkProblem)}
    for name in ("identifiers", "request_tokens", "response_tokens"):
        lists: Lists = values[name]
        values[name] = Ragged(lists.offsets, lists.values)
    return LinkProblem(**values)


def _calls(calls: pa.Table, solution: LinkSolution, trees: Trees) -> pa.Table:
    ids = calls.column("id")
    linked = solution.parent >= 0
    basis = pa.DictionaryArray.from_arrays(
        pa.array(solution.basis.astype(np.int32), mask=~linked), pa.array(BASES, pa.string())
    )
    filled = {
        "tree": ids.take(pa.array(trees.root)),
        "parent": ids.take(pa.array(np.maximum(solution.parent, 0), mask=~linked)),
        "basis": basis,
        "confidence": pa.array(solution.confidence, mask=~linked),
        "question": pa.array(linked & (solution.confidence < QUESTION_BELOW)),
    }
    schema = table_schema("calls")
    return pa.table([filled.get(name, calls.column(name)) for name in schema.names], schema=schema)


def _links(calls: pa.Table, solution: LinkSolution) -> pa.Table:
    """The chosen parents, and behind them the runners-up that are calls."""
    chosen = np.flatnonzero(solution.parent >= 0)
    others = [(child, parent, share) for child, parent, share in solution.alternatives if parent >= 0]
    child = np.array([each[0] for each in others], np.int64)
    ranks = _count_up(child)
    ids = calls.column("id")
    children = np.concatenate([chosen, child])
    rank = np.concatenate([np.zeros(len(chosen), np.int64), ranks + 1])
    order = np.lexsort((rank, children))
    parents = np.concatenate([solution.parent[chosen], np.array([each[1] for each in others], np.int64)])
    confidence = np.concatenate([solution.confidence[chosen], np.array([each[2] for each in others], np.float64)])
    basis = np.concatenate([solution.basis[chosen].astype(np.int32), np.full(len(child), len(BASES) - 1, np.int32)])
    return pa.table(
        [
            ids.take(pa.array(children[order])),
            ids.take(pa.array(parents[order])),
            pa.array(rank[order].astype(np.int32)),
            pa.DictionaryArray.from_arrays(pa.array(basis[order]), pa.array(BASES, pa.string())),
            pa.array(confidence[order]),
        ],
        schema=table_schema("links"),
    )


def _evidence(calls: pa.Table, solution: LinkSolution) -> pa.Table:
    child, parent, kind, weight, detail = (
        zip(*solution.evidence, strict=True) if solution.evidence else ((), (), (), (), ())
    )
    ids = calls.column("id")
    return pa.table(
        [
            ids.take(pa.array(child, pa.int64())),
            ids.take(pa.array(parent, pa.int64())),
            pa.array(kind, pa.string()).dictionary_encode(),
            pa.array(weight, pa.float64()),
            pa.array(detail, pa.string()),
        ],
        schema=table_schema("evidence"),
    )


def _trees(calls: pa.Table, trees: Trees) -> pa.Table:
    root = pa.array(trees.roots)
    number = np.searchsorted(trees.roots, trees.root)
    no_error = pa.array([Outcome.OK.value, Outcome.UNFINISHED.value, Outcome.NOT_CAPTURED.value])
    failed = pc.invert(pc.is_in(calls.column("outcome").cast(pa.string()), value_set=no_error)).to_numpy()
    start = calls.column("start_ns").take(root)
    schema = table_schema("trees")
    columns = {
        "tree": calls.column("id").take(root),
        "operation": calls.column("operation").take(root),
        "service": calls.column("server_service").take(root),
        "start_ns": start,
        "duration_ns": pc.subtract(calls.column("end_ns").take(root), start),
        "calls": pa.array(trees.size),
        "errors": pa.array(np.bincount(number, weights=failed, minlength=len(trees.roots)).astype(np.int64)),
        "depth": pa.array(trees.height.astype(np.int32)),
        "outcome": calls.column("outcome").take(root),
        "confidence": pa.array(trees.confidence),
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _count_up(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each value of (n,) occurred before, in its order."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.searchsorted(ordered, ordered)
    counts = np.empty(len(values), np.int64)
    counts[order] = np.arange(len(values)) - first
    return counts
