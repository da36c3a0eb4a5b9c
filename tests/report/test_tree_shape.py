"""The page and the analyzer draw the same tree: critical path, self times, subtrees, and what is alike, on random trees."""

import random
from collections import Counter
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import BrowserContext

from wiretrace.case.forest import Forest
from wiretrace.case.self_time import self_times
from wiretrace.diagnosis.critical_path import own_stretches
from wiretrace.report.bundle import join_modules
from wiretrace.report.order import TreeOrder, tree_order

TREES = 250
MOST_CALLS = 40
OUTCOMES = ("ok", "error", "server_silent", "unfinished")
FOLDED_FROM = 4
"""Alike siblings that are folded, as assets/tree_shape.js says."""

READ = """(trees) => {
  const fresh = (values) => ({ codes: values, at: (place) => "" });
  return trees.map((tree) => {
    const zeros = new Array(tree.start.length).fill(0);
    const shape = new TreeShape({
      ...tree, first: [0], callCount: [tree.start.length], serverStart: zeros, serverDuration: zeros, opening: zeros,
      operation: fresh(tree.operation), server: fresh(zeros), outcome: { codes: tree.outcome, words: OUTCOMES_OF_TEST },
    }, 0);
    return { self: [...shape.self], end: [...shape.end], failedBelow: [...shape.failedBelow], alike: [...shape.alike],
      critical: shape.critical.map(({ row, from, to }) => [row, from, to]) };
  });
}"""


class Tree(NamedTuple):
    """One random tree: rows of the table `calls` in order of their start, and the order in which the page holds them."""

    calls: pa.Table
    order: TreeOrder
    end: np.ndarray[Any, np.dtype[np.int64]]
    question: np.ndarray[Any, np.dtype[np.bool_]]
    follows: np.ndarray[Any, np.dtype[np.bool_]]
    outcome: list[int]
    operation: list[int]

    def for_the_page(self) -> dict[str, list[int]]:
        """Its columns as model.js holds them, in the order of the page; times count from the start of its root."""
        rows = self.order.rows
        start = self.calls["start_ns"].to_numpy()
        up = np.where(self.order.parents >= 0, np.arange(len(rows)) - self.order.parents, 0)
        return {
            "start": (start[rows] - start[rows[0]]).tolist(),
            "duration": (self.end[rows] - start[rows]).tolist(),
            "up": up.tolist(),
            "question": self.question[rows].astype(int).tolist(),
            "follows": self.follows[rows].astype(int).tolist(),
            "outcome": [self.outcome[row] for row in rows],
            "operation": [self.operation[row] for row in rows],
        }


def random_tree(chance: random.Random) -> Tree:
    """Calls at a few moments, so that many begin or end together, some at once, some outliving their parents."""
    count = chance.randint(1, MOST_CALLS)
    parents = [-1]
    while len(parents) < count:
        parents.append(chance.choice((chance.randrange(len(parents)), max(parents[-1], 0))))
    starts = [100]
    for parent in parents[1:]:
        starts.append(starts[parent] + chance.randint(-1, 12))
    ends = [start + chance.choice((0, chance.randint(0, 8), chance.randint(0, 40))) for start in starts]
    ends[0] += 60
    by_start = sorted(range(count), key=lambda number: starts[number])
    row_of = {number: row for row, number in enumerate(by_start)}
    calls = pa.table(
        {
            "id": [f"{row:016x}" for row in range(count)],
            "tree": [f"{row_of[0]:016x}"] * count,
            "parent": pa.array(
                [f"{row_of[parents[each]]:016x}" if parents[each] >= 0 else None for each in by_start], pa.string()
            ),
            "start_ns": pa.array([starts[each] for each in by_start], pa.int64()),
        }
    )
    trees = pa.table({"tree": [f"{row_of[0]:016x}"], "start_ns": pa.array([starts[0]], pa.int64())})
    end = np.array([ends[each] for each in by_start], np.int64)
    question = np.array([parents[each] >= 0 and chance.random() < 0.1 for each in by_start])
    follows = np.array([parents[each] >= 0 and chance.random() < 0.1 for each in by_start])
    few = chance.choice((1, 3))
    return Tree(
        calls,
        tree_order(calls, trees),
        end,
        question,
        follows,
        [chance.choice((0,) * 12 + (1, 2, 3)) for _ in by_start],
        [chance.randrange(few) for _ in by_start],
    )


@pytest.fixture(scope="module")
def random_trees() -> list[Tree]:
    chance = random.Random(11)
    return [random_tree(chance) for _ in range(TREES)]


def shapes(context: BrowserContext, trees: list[Tree]) -> list[dict[str, Any]]:
    """What the page's own script makes of the trees."""
    directory = resources.files("wiretrace.report") / "assets"
    modules = {item.name: item.read_text("utf-8") for item in directory.iterdir() if item.name.endswith(".js")}
    script = join_modules(modules, "tree_shape.js")
    page = context.new_page()
    read = READ.replace("OUTCOMES_OF_TEST", repr(list(OUTCOMES)))
    found: list[dict[str, Any]] = page.evaluate(
        f"(trees) => {{ {script}\nreturn ({read})(trees); }}", [tree.for_the_page() for tree in trees]
    )
    return found


def test_the_page_and_the_analyzer_agree_on_random_trees(context: BrowserContext, random_trees: list[Tree]) -> None:
    several = 0
    for tree, shape in zip(random_trees, shapes(context, random_trees), strict=True):
        rows, start = tree.order.rows, tree.calls["start_ns"].to_numpy()
        forest = Forest.of(tree.calls)
        root = int(rows[0])
        origin = int(start[root])
        path = own_stretches(forest, start.tolist(), tree.end.tolist(), tree.follows.tolist(), root)
        told = [(int(rows[row]), first + origin, last + origin) for row, first, last in reversed(shape["critical"])]
        assert sorted(told) == sorted(path)
        assert sum(last - first for _, first, last in told) == tree.end[root] - start[root]
        several += len({row for row, _, _ in told}) > 2
        parent = np.where(tree.question | tree.follows, -1, forest.parent)
        assert shape["self"] == self_times(parent, start, tree.end)[rows].tolist()
    assert several > TREES / 4


def test_the_page_counts_subtrees_and_failures_as_they_are(context: BrowserContext, random_trees: list[Tree]) -> None:
    for tree, shape in zip(random_trees, shapes(context, random_trees), strict=True):
        rows = tree.order.rows.tolist()
        forest = Forest.of(tree.calls)
        for place, row in enumerate(rows):
            beneath = [below for below, _ in forest.walk(row)]
            assert sorted(rows[place : shape["end"][place]]) == sorted(beneath)
            failed = sum(
                OUTCOMES[tree.outcome[below]] in ("error", "server_silent") for below in beneath if below != row
            )
            assert shape["failedBelow"][place] == failed


def test_the_page_folds_exactly_the_siblings_that_are_alike(context: BrowserContext, random_trees: list[Tree]) -> None:
    folded = 0
    for tree, shape in zip(random_trees, shapes(context, random_trees), strict=True):
        rows = tree.order.rows.tolist()
        forest = Forest.of(tree.calls)

        def form(row: int, tree: Tree = tree, forest: Forest = forest) -> tuple[Any, ...]:
            """A subtree without its times."""
            below = tuple(form(child) for child in forest.children(row))
            return tree.operation[row], tree.outcome[row], bool(tree.question[row]), below

        forms = {row: (int(forest.parent[row]), form(row)) for row in rows}
        often = Counter(forms.values())
        first: dict[Any, int] = {}
        for place, row in enumerate(rows):
            first.setdefault(forms[row], place)
            is_alike = place > 0 and often[forms[row]] >= FOLDED_FROM
            assert shape["alike"][place] == (first[forms[row]] if is_alike else -1)
            folded += is_alike
    assert folded > TREES
