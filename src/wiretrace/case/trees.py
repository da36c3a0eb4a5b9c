"""The request trees of an analysis, whose calls lie in the parts of its stretches.

Rules: parts are read one after the other, several times. In memory are the calls of one part; of all calls together only
their numbers, and the links between parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.case.forest import following
from wiretrace.case.self_time import self_times
from wiretrace.linking.arrays import distinct
from wiretrace.linking.trees import cut_circles, grow_trees
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.case.parts import Part
    from wiretrace.linking.trees import Trees

NO_FAILURE = (Outcome.OK, Outcome.UNFINISHED, Outcome.NOT_CAPTURED)
"""Outcomes of calls that are not counted as errors of their tree."""
COLUMNS = ("id", "parent", "confidence", "question", "relation", "outcome", "start_ns", "end_ns")
"""Columns of a part's calls that make the trees."""
NO_CALL = np.uint64(0)
"""In place of a call's number."""
LEAST_CONFIDENCE = 1e-300
"""Less is not told apart from this."""
AGAIN = np.uint64(0x9E3779B97F4A7C15)
"""Added to the number of a call that another call has already (2**64 divided by the golden ratio)."""


class PartOfTrees(NamedTuple):
    """The calls of one part in their trees; arrays of shape (calls,) hold numbers of calls, 0 for none."""

    number: NDArray[np.uint64]
    """Each a different one in the whole analysis."""
    parent: NDArray[np.uint64]
    root: NDArray[np.uint64]


class TreeFigures(NamedTuple):
    """Figures of trees; arrays of shape (trees,)."""

    size: NDArray[np.float64]
    """Calls."""
    errors: NDArray[np.float64]
    """Those of them that failed."""
    height: NDArray[np.float64]
    """Calls on the longest way from the root to a leaf."""
    doubt: NDArray[np.float64]
    """Minus the logarithm of the product of the links' confidences."""


class _Local(NamedTuple):
    """The calls of one part by themselves; arrays have shape (calls,)."""

    number: NDArray[np.uint64]
    parent: NDArray[np.uint64]
    """As the part says, in this part or not."""
    confidence: NDArray[np.float64]
    apart: NDArray[np.bool_]
    """Whether it is no part of its parent's time: the parent is not sure enough, or only put a message on a queue."""
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    trees: Trees
    """Those that the links inside the part make."""
    figures: TreeFigures

    def abroad(self) -> NDArray[np.int64]:
        """Rows of the calls whose parent is not in this part."""
        return np.flatnonzero((self.trees.parent < 0) & (self.parent != NO_CALL))


LOWER_END = np.dtype(
    [("child", "u8"), ("parent", "u8"), ("confidence", "f8"), ("apart", "?"), ("start", "i8"), ("end", "i8")]
)
"""The child of a link between parts, with its times, and the number of its parent."""


class _Joints(NamedTuple):
    """Trees of parts that links between parts join; arrays of shape (joined,)."""

    root: NDArray[np.uint64]
    """Number of the root call within its part; rising."""
    whole: NDArray[np.uint64]
    """Number of the root call of the whole tree."""
    parent: NDArray[np.uint64]
    """Number of the root call's parent, 0 where it has none."""
    figures: TreeFigures
    """Of the whole tree, where `root` is its root."""


class AllTrees:
    """The trees of all calls in `parts`, which are in the order of time."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        # Copied: what a part read is freed with its last column.
        numbers = [part.read("calls", ("id",)).column("id").to_numpy().copy() for part in parts]
        self._renamed = _tell_apart(numbers)
        self._numbers = distinct(np.concatenate([np.zeros(0, np.uint64), *numbers]))
        del numbers
        self._last: tuple[int, _Local] | None = None
        """The part that was looked at last, and its calls."""
        self._children, figures = self._lower_ends()
        self._joints = self._join(self._children, figures)

    def exist(self, numbers: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether each of `numbers` is that of a call."""
        return _places(self._numbers, numbers) >= 0

    def called_now(self, part: int, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The numbers of calls that `numbers` mean in a part."""
        for before, now in self._renamed[part].items():
            numbers = np.where(numbers == np.uint64(before), np.uint64(now), numbers)
        return numbers

    def of_part(self, part: int) -> PartOfTrees:
        """The calls of a part in their trees."""
        local, joints = self._local(part), self._joints
        parent = np.append(local.number, NO_CALL)[local.trees.parent]
        root = local.number[local.trees.root]
        at = _places(joints.root, root)
        root[at >= 0] = joints.whole[at[at >= 0]]
        at = _places(joints.root, local.number)
        parent[at >= 0] = joints.parent[at[at >= 0]]
        return PartOfTrees(local.number, parent, root)

    def self_times(self, part: int) -> NDArray[np.int64]:
        """How long nothing ran that a call of the part caused, in any part; nanoseconds, shape (calls,)."""
        local, children = self._local(part), self._children
        order = np.argsort(local.number)
        place = _places(local.number[order], children["parent"])
        # Children whose link closed a circle have no parent any more.
        own = np.searchsorted(self._joints.root, children["child"])
        linked = np.flatnonzero((place >= 0) & ~children["apart"] & (self._joints.parent[own] != NO_CALL))
        elsewhere = children[linked]
        cause = np.concatenate((np.where(local.apart, -1, local.trees.parent), order[place[linked]]))
        start, end = np.concatenate((local.start, elsewhere["start"])), np.concatenate((local.end, elsewhere["end"]))
        return self_times(cause, start, end)[: len(local.number)]

    def rooted_in(self, part: int) -> tuple[NDArray[np.int64], TreeFigures]:
        """Rows of the calls of a part that are roots, and the figures of their trees."""
        local, joints = self._local(part), self._joints
        at = _places(joints.root, local.number[local.trees.roots])
        joined = np.flatnonzero(at >= 0)
        figures = TreeFigures(*(own.copy() for own in local.figures))
        for own, whole in zip(figures, joints.figures, strict=True):
            own[joined] = whole[at[joined]]
        rooted = np.ones(len(at), bool)
        rooted[joined] = joints.parent[at[joined]] == NO_CALL
        return local.trees.roots[rooted], TreeFigures(*(each[rooted] for each in figures))

    def _local(self, number: int) -> _Local:
        """The calls of a part, which nobody may change."""
        if self._last is None or self._last[0] != number:
            self._last = None  # freed before the next one is read
            self._last = number, self._read(number)
        return self._last[1]

    def _read(self, number: int) -> _Local:
        table = self.parts[number].read("calls", COLUMNS)
        own = self.called_now(number, table.column("id").to_numpy())
        parent = self.called_now(number, table.column("parent").to_numpy())
        confidence = table.column("confidence").fill_null(1.0).to_numpy()
        order = np.argsort(own)
        place = _places(own[order], parent)
        trees = grow_trees(np.where(place >= 0, order[place], -1).astype(np.int32), confidence)
        # A link that closed a circle is cut for good.
        parent = np.where((place >= 0) & (trees.parent < 0), NO_CALL, parent)
        parent[~self.exist(parent)] = NO_CALL
        harmless = pa.array([str(outcome) for outcome in NO_FAILURE])
        failed = ~pc.is_in(table.column("outcome").cast(pa.string()), value_set=harmless).to_numpy()
        errors = np.bincount(trees.number, weights=failed, minlength=len(trees.roots)).astype(np.float64)
        doubt = -np.log(np.maximum(trees.confidence, LEAST_CONFIDENCE))
        figures = TreeFigures(trees.size.astype(np.float64), errors, trees.height.astype(np.float64), doubt)
        question, start, end = (table.column(name).to_numpy() for name in ("question", "start_ns", "end_ns"))
        apart = question | following(table.column("relation"))
        return _Local(own, parent, confidence, apart, start, end, trees, figures)

    def _join(self, children: NDArray[np.void], figures: TreeFigures) -> _Joints:
        """Join the trees of parts, which have these `figures`, by the links between parts."""
        child, parent = children["child"], children["parent"]
        wanted = distinct(parent)
        owner, depth, of_owner = self._upper_ends(wanted)
        place = np.searchsorted(wanted, parent)
        root = distinct(np.concatenate((child, owner)))
        whole = _no_figures(len(root))
        own, above = np.searchsorted(root, child), np.searchsorted(root, owner)
        for column, lower, upper in zip(whole, figures, of_owner, strict=True):
            column[above], column[own] = upper, lower
        up, certainty = np.full(len(root), -1), np.ones(len(root))
        parent_of, steps = np.zeros(len(root), np.uint64), np.zeros(len(root), np.int64)
        up[own], certainty[own] = above[place], children["confidence"]
        parent_of[own], steps[own] = parent, depth[place] + 1
        up = cut_circles(up, certainty)
        cut = up < 0
        parent_of[cut], steps[cut], certainty[cut] = NO_CALL, 0, 1.0
        top, steps = _climb(up, steps)
        doubt = whole.doubt - np.log(np.maximum(certainty, LEAST_CONFIDENCE))
        height = np.zeros(len(root))
        np.maximum.at(height, top, steps + whole.height)

        def total(figure: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(top, weights=figure, minlength=len(root)).astype(np.float64)

        sums = TreeFigures(total(whole.size), total(whole.errors), height, total(doubt))
        return _Joints(root, root[top], parent_of, sums)

    def _lower_ends(self) -> tuple[NDArray[np.void], TreeFigures]:
        """The children of all links between parts (LOWER_END), and the figures of the trees that hang on them."""
        found, hanging = [np.zeros(0, LOWER_END)], [_no_figures(0)]
        for number in range(len(self.parts)):
            local = self._local(number)
            rows = local.abroad()
            ends = np.zeros(len(rows), LOWER_END)
            columns = (local.number, local.parent, local.confidence, local.apart, local.start, local.end)
            for name, column in zip(LOWER_END.names or (), columns, strict=True):
                ends[name] = column[rows]
            found.append(ends)
            hanging.append(TreeFigures(*(each[local.trees.number[rows]] for each in local.figures)))
        figures = TreeFigures(*(np.concatenate(each) for each in zip(*hanging, strict=True)))
        return np.concatenate(found), figures

    def _upper_ends(self, wanted: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64], TreeFigures]:
        """Of the calls `wanted` (rising), within their parts: the roots, the depths, and the trees that they are in."""
        root, depth = np.zeros(len(wanted), np.uint64), np.zeros(len(wanted), np.int64)
        figures = _no_figures(len(wanted))
        for number in range(len(self.parts) if len(wanted) else 0):
            local = self._local(number)
            at = _places(wanted, local.number)
            rows = np.flatnonzero(at >= 0)
            at = at[rows]
            root[at], depth[at] = local.number[local.trees.root[rows]], local.trees.depth[rows]
            for column, own in zip(figures, local.figures, strict=True):
                column[at] = own[local.trees.number[rows]]
        return root, depth, figures


def _no_figures(trees: int) -> TreeFigures:
    """Room for the figures of so many trees."""
    return TreeFigures(*(np.zeros(trees) for _ in TreeFigures._fields))


def _climb(up: NDArray[np.int64], steps: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The top above each node, and all steps up to it; `steps` (nodes,) is that to the node `up`, which is -1 at a top."""
    top = np.where(up < 0, np.arange(len(up)), up)
    while True:
        further = top[top]
        if np.array_equal(further, top):
            return top, steps
        steps = steps + steps[top]
        top = further


def _places(rising: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Index of each of `wanted` among the numbers `rising`; -1 where it is not among them."""
    if not len(rising):
        return np.full(len(wanted), -1, np.int64)
    place = np.minimum(np.searchsorted(rising, wanted), len(rising) - 1)
    return np.where(rising[place] == wanted, place, -1)


def _tell_apart(numbers: list[NDArray[np.uint64]]) -> list[dict[int, int]]:
    """Give calls of different parts that have the same number different ones, in place; by part, what stands for what.

    Two calls on one connection number, with one sequence number, far apart in time: a port that was used again.
    """
    renamed: list[dict[int, int]] = [{} for _ in numbers]
    rising = np.sort(np.concatenate([np.zeros(0, np.uint64), *numbers]))
    again = distinct(rising[1:][rising[1:] == rising[:-1]])
    if not len(again):
        return renamed
    taken: set[int] = set()
    for number, names in enumerate(renamed):
        own = numbers[number] = numbers[number].copy()
        for row in np.flatnonzero(_places(again, own) >= 0).tolist():
            before = now = int(own[row])
            while now in taken or (now != before and _places(rising, np.array([now], np.uint64))[0] >= 0):
                now = (now + int(AGAIN)) % 2**64
            taken.add(now)
            if now != before:
                own[row], names[before] = now, now
    return renamed
