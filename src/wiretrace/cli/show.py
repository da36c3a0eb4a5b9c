"""``wiretrace show``: the summary of a case and its trees, or one tree drawn with one call told in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wiretrace.model.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

    from wiretrace.case.calls import CallRecord
    from wiretrace.case.reader import Case

CANDIDATES = 4
"""Ids that are named where a prefix is not unique."""


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
def command(case_path: Path, call_id: str | None, why: bool, limit: int) -> None:
    """Show a case: its summary and its trees, or the tree of one call.

    ID is the id of a tree or of a call, or its first digits.
    """
    from wiretrace.case.reader import Case
    from wiretrace.cli.terminal.console import output
    from wiretrace.cli.terminal.summary import print_summary

    case = Case.open(case_path)
    console = output()
    if call_id is not None:
        _show_call(console, case, call_id, why)
        return
    if why:
        raise click.UsageError("--why tells about one tree: give its ID")
    print_summary(console, case)
    _list_trees(console, case, limit)


def _show_call(console: Console, case: Case, prefix: str, why: bool) -> None:
    """Draw the tree of a call, and tell all about the call."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from wiretrace.case.calls import call_records
    from wiretrace.cli.terminal.call import tell_call
    from wiretrace.cli.terminal.tree import draw_tree

    calls = case.table("calls")
    row = _row_of(calls, prefix)
    in_tree = pc.indices_nonzero(pc.equal(calls.column("tree"), calls.column("tree")[row]))
    tree = calls.take(in_tree)
    records: dict[str, CallRecord] = {}
    if why:
        records = {record.id: record for record in call_records(case, in_tree)}
    (record,) = call_records(case, pa.array([row], pa.int64()))
    tell_call(console, record, case, with_reasons=not why)
    console.print()
    draw_tree(console, tree, marked=record.id if record.id != record.tree else "", records=records if why else None)


def _row_of(calls: pa.Table, prefix: str) -> int:
    """The row of the only call whose id begins with `prefix`. Raises UserError if there is none, or several."""
    import pyarrow.compute as pc

    found = pc.indices_nonzero(pc.starts_with(calls.column("id"), prefix.lower()))
    if len(found) == 1:
        return int(found[0].as_py())
    if not len(found):
        raise UserError(f"{prefix}: there is no call or tree with this id in the case")
    some = ", ".join(calls.column("id").take(found.slice(0, CANDIDATES)).to_pylist())
    more = "" if len(found) <= CANDIDATES else f" and {len(found) - CANDIDATES:,} more"
    raise UserError(f"{prefix}: begins the ids of several calls: {some}{more}; give more digits")


def _list_trees(console: Console, case: Case, limit: int) -> None:
    """List the trees in order of their start: those of requests first, then those of calls that no request caused."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from rich.text import Text

    from wiretrace.case.calls import plain_list
    from wiretrace.cli.terminal.console import cell, print_heading, print_line
    from wiretrace.cli.terminal.text import counted, duration, instant
    from wiretrace.diagnosis.requests import entering_calls

    calls = case.table("calls")
    requests = calls.column("tree").filter(pa.array(entering_calls(calls))).combine_chunks()
    is_outside = pc.invert(pc.is_in(case.table("trees").column("tree"), value_set=requests))
    trees = case.table("trees").append_column("outside", is_outside)
    trees = trees.sort_by([("outside", "ascending"), ("start_ns", "ascending"), ("tree", "ascending")])
    outside = pc.sum(is_outside).as_py() or 0
    title = counted(len(trees) - outside, "request tree")
    print_heading(console, f"{title}, and {outside:,} outside any request" if outside else title)
    shown = trees.slice(0, limit or len(trees))
    names = ("tree", "start_ns", "duration_ns", "calls", "errors", "operation", "service")
    room = max(console.width - 16 - 12 - 8 - 20 - 5, 10)
    for tree, start, length, calls, errors, operation, service in zip(
        *(plain_list(shown.column(name)) for name in names), strict=True
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
    if len(shown) < len(trees):
        print_line(console, Text(f"… {len(trees) - len(shown):,} more: --limit 0 lists all", style="dim"))
