"""A report of a large case holds what is looked for, never more than its bound, and says what it leaves out."""

import numpy as np
from tests.support.cases import build_analysis, case_of

from wiretrace.report.selection import select_trees


def test_a_small_case_is_held_whole() -> None:
    case = case_of(build_analysis(70))
    selection = select_trees(case, "", 70)
    assert len(selection.calls) == 70
    assert len(selection.trees) == len(case.table("trees"))
    assert selection.failed == selection.all_failed


def test_of_a_large_case_the_failed_the_slowest_and_a_sample_are_held() -> None:
    case = case_of(build_analysis(2800))
    trees = case.table("trees")
    wanted = trees["tree"][17].as_py()
    selection = select_trees(case, wanted, 1400)
    held = trees.take(selection.trees)
    assert sum(held["calls"].to_pylist()) == len(selection.calls) <= 1400
    assert wanted in held["tree"].to_pylist()
    assert selection.failed == sum(errors > 0 for errors in held["errors"].to_pylist()) > 0
    assert selection.all_failed == sum(errors > 0 for errors in trees["errors"].to_pylist())
    slowest = int(np.argmax(trees["duration_ns"].to_numpy()))
    assert slowest in selection.trees
    # The sample goes through the whole capture: the first and the last quarter have their part.
    assert (selection.trees < len(trees) // 4).sum() > 20
    assert (selection.trees > len(trees) * 3 // 4).sum() > 20
    ids = set(held["tree"].to_pylist())
    assert all(tree in ids for tree in case.table("calls")["tree"].take(selection.calls).to_pylist())
