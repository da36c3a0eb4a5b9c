"""``wiretrace link``: link calls that somebody else observed."""

import sys
from pathlib import Path

import click


@click.command("link")
@click.argument("calls", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def command(calls: Path) -> None:
    """Say which call caused each call in CALLS, a file of JSON Lines.

    A row has id, operation, caller, callee (instances), caller_start_ns and caller_end_ns or callee_start_ns and
    callee_end_ns (or all four, each side on its own clock), and may have caller_service and callee_service. For each
    row one JSON line with its parent (null: none), the confidence, the runners-up and the evidence is printed.
    """
    from wiretrace.linking.rows import problem_of, read_rows, write_rows
    from wiretrace.linking.stretches import link_in_stretches
    from wiretrace.model.errors import UserError
    from wiretrace.workers import map_in_workers

    try:
        with calls.open("rb") as lines:
            rows = read_rows(lines)
    except UserError as error:
        raise UserError(f"{calls}: {error}") from None
    problem, order = problem_of(rows)
    ids = [row.id for row in rows]
    del rows
    for line in write_rows(ids, order, link_in_stretches(problem, map_in_workers)):
        sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
