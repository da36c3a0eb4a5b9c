"""``wiretrace show``: the summary of a case and its trees, or one tree drawn with one call told in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wiretrace.model.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from rich.console import Console

    from wiretrace.case.calls import CallRecord
    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.summary import Summary

CANDIDATES = 4
"""Ids that are named where a prefix is not unique."""
TREES_READ = 4096
"""Trees that are read at once."""


@click.command("show")
@click.argument("case_path", metavar="CASE", type=click.Path(path_type=Path, readable=False))
@click.argument("call_id", metavar="[ID]", required=False)
@click.option("--why", is_flag=True, help="Say below each call why it is linked to its parent.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Trees that are listed; 0 for all.",
)
@click.option(
    "--where",
    metavar="FILTER",
    help="List only the trees that a filter finds, such as 'service:db errors>0 duration>200ms path~/orders'.",
)
@click.option(
    "--red",
    type=click.Choice(["operation", "edge", "instance"]),
    is_flag=False,
    flag_value="operation",
    help="Print rate, errors and durations of each operation, edge or instance instead.",
)
@click.option("--bucket", metavar="SECONDS", type=click.FloatRange(min=0.001), help="With --red: by pieces of time.")
@click.option("--health-checks", is_flag=True, help="With --red: count health checks, too.")
def command(
    case_path: Path, call_id: str | None, why: bool, limit: int, where: str | None, red: str | None,
    bucket: float | None, health_checks: bool,
) -> None:  # fmt: skip
    """Show a case: its summary and its trees, or the tree of one call.

    ID is the id of a tree or of a call, or its first digits. FILTER is what the report's filter takes: words, and
    terms such as service:db, status!=200, path~/orders, duration>200ms; any.FIELD asks all calls, not only the root. In a
    tree, a bar is solid where everything waits for the call itself (the critical path), and light where the call waits
    for its own calls, or nothing waits for it.
    """
    from wiretrace.case.reader import Case
    from wiretrace.cli.terminal.console import output
    from wiretrace.cli.terminal.summary import print_summary

    case = Case.open(case_path)
    console = output()
    if red is not None:
        from wiretrace.cli.terminal.red import print_red
        from wiretrace.diagnosis.observed import Observed
        from wiretrace.diagnosis.red import red_of

        bucket_ns = round((bucket or 0) * 1e9)
        print_red(console, red_of(Observed(case), red, bucket_ns, health_checks), red, bool(bucket))
        return
    if call_id is not None:
        if where is not None:
            raise click.UsageError("--where lists trees: leave out the ID")
        _show_call(console, case, call_id, why)
        return
    if why:
        raise click.UsageError("--why tells about one tree: give its ID")
    if where is not None:
        from wiretrace.diagnosis.filter import parse_filter
        from wiretrace.diagnosis.search import find_trees

        _list_found(console, case, find_trees(case, parse_filter(where)), limit)
        return
    _list_trees(console, case, print_summary(console, case), limit)


def _show_call(console: Console, case: Case, prefix: str, why: bool) -> None:
    """Draw the tree of a call, and tell all about the call."""
    import pyarrow.compute as pc

    from wiretrace.case.calls import call_records
    from wiretrace.case.rows import RowReader
    from wiretrace.cli.terminal.call import tell_call
    from wiretrace.cli.terminal.tree import draw_tree
    from wiretrace.diagnosis.proof import explain
    from wiretrace.model.schema import table_schema

    row = _row_of(case, prefix)
    (record,) = call_records(case, row)
    in_tree = case.find("calls", "tree", lambda trees: pc.equal(trees, record.tree))
    records: dict[str, CallRecord] = {}
    if why:
        records = {each.id: each for each in call_records(case, in_tree)}
    tell_call(console, record, case, with_reasons=not why, words=explain(case, row))
    console.print()
    tree = RowReader(case, "calls", table_schema("calls").names).take(in_tree)
    draw_tree(console, tree, marked=record.id if record.id != record.tree else "", records=records if why else None)


def _row_of(case: Case, prefix: str) -> NDArray[np.int64]:
    """The row of the only call whose id begins with `prefix`, shape (1,). Raises UserError if there is none, or several."""
    import pyarrow.compute as pc

    from wiretrace.case.rows import RowReader

    # What the shell took from bytes that are no UTF-8 can not be looked for.
    wanted = prefix.lower().encode(errors="replace").decode()
    found = case.find("calls", "id", lambda ids: pc.starts_with(ids, wanted))
    if len(found) == 1:
        return found
    if not len(found):
        raise UserError(f"{prefix}: there is no call or tree with this id in the case")
    some = ", ".join(RowReader(case, "calls", ["id"]).take(found[:CANDIDATES]).column("id").to_pylist())
    more = "" if len(found) <= CANDIDATES else f" and {len(found) - CANDIDATES:,} more"
    raise UserError(f"{prefix}: begins the ids of several calls: {some}{more}; give more digits")


def _list_found(console: Console, case: Case, is_found: NDArray[np.bool_], limit: int) -> None:
    """List the trees that a filter finds in order of their start."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from wiretrace.cli.terminal.console import print_heading
    from wiretrace.cli.terminal.text import counted

    trees = case.columns("trees", ["start_ns", "tree"])
    found = pa.array(is_found)
    sort_keys = [("start_ns", "ascending"), ("tree", "ascending")]
    order = pc.indices_nonzero(found).take(pc.sort_indices(trees.filter(found), sort_keys=sort_keys))
    print_heading(console, f"{len(order):,} of {counted(len(trees), 'request tree')}")
    _print_trees(console, case, order.to_numpy().astype("int64"), limit)


def _list_trees(console: Console, case: Case, summary: Summary, limit: int) -> None:
    """List the trees in order of their start: those of requests first, then those of calls that no request caused."""
    from wiretrace.cli.terminal.console import print_heading
    from wiretrace.cli.terminal.text import counted

    order, outside = _trees_in_order(case, summary.entering)
    title = counted(len(order) - outside, "request tree")
    print_heading(console, f"{title}, and {outside:,} outside any request" if outside else title)
    _print_trees(console, case, order, limit)


def _print_trees(console: Console, case: Case, order: NDArray[np.int64], limit: int) -> None:
    """Print the trees in `order`, rows of the table of trees: at most `limit`, or all where it is 0."""
    from rich.text import Text

    from wiretrace.case.calls import plain_list
    from wiretrace.case.rows import RowReader
    from wiretrace.cli.terminal.console import cell, print_line
    from wiretrace.cli.terminal.text import counted, duration, instant

    names = ("tree", "start_ns", "duration_ns", "calls", "errors", "operation", "service")
    trees = RowReader(case, "trees", names)
    room = max(console.width - 16 - 12 - 8 - 20 - 5, 10)
    shown = min(limit or len(order), len(order))
    for begin in range(0, shown, TREES_READ):
        some = trees.take(order[begin : min(begin + TREES_READ, shown)])
        for tree, start, length, calls, errors, operation, service in zip(
            *(plain_list(some.column(name)) for name in names), strict=True
        ):
            size = counted(calls, "call") + (f", {errors:,} ✗" if errors else "")
            parts = [
                cell(tree, 16),
                cell(instant(start).partition(" ")[2] or str(start), 12),
                cell(duration(length), 8, right=True),
                cell(size, 20, style="red" if errors else ""),
                cell(f"{operation} ({service})", room),
            ]
            print_line(console, Text(" ").join(parts))
    if shown < len(order):
        print_line(console, Text(f"… {len(order) - shown:,} more: --limit 0 lists all", style="dim"))


def _trees_in_order(case: Case, entering: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """Rows of the trees as they are listed, and how many of them no request caused, which come last."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from wiretrace.case.ids import RowsOfIds

    def requests() -> Iterator[pa.ChunkedArray]:
        starts = case.group_starts("calls").tolist()
        for begin, end, piece in zip(starts, starts[1:], case.pieces("calls", ["tree"]), strict=False):
            yield piece.column("tree").filter(pa.array(entering[begin:end]))

    trees = case.columns("trees", ["tree", "start_ns"])
    is_outside = RowsOfIds(requests).rows(trees.column("tree")) < 0
    sort_keys = [("outside", "ascending"), ("start_ns", "ascending"), ("tree", "ascending")]
    order = pc.sort_indices(trees.append_column("outside", pa.array(is_outside)), sort_keys=sort_keys)
    return order.to_numpy().astype("int64"), int(is_outside.sum())
