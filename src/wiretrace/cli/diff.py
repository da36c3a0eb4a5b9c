"""``wiretrace diff``: what changed between two cases, or between two times of one, and where."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wiretrace.model.errors import UsageError

if TYPE_CHECKING:
    from wiretrace.case.reader import Case

OFFSET = re.compile(r"\+(\d+(?:\.\d+)?)s?\Z")
CASE = click.Path(path_type=Path, readable=False)


@click.command("diff")
@click.argument("before", metavar="BEFORE", type=CASE)
@click.argument("after", metavar="[AFTER]", required=False, type=CASE)
@click.option("--before-window", metavar="FROM/TO", help="Take only requests that began in this time of BEFORE.")
@click.option("--after-window", metavar="FROM/TO", help="Take only requests that began in this time of AFTER.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as one JSON document.")
@click.option(
    "--slo", "slo_path", metavar="FILE", type=CASE, help="Judge AFTER by objectives; exit 1 if one is missed."
)
def command(
    before: Path, after: Path | None, before_window: str | None, after_window: str | None, as_json: bool,
    slo_path: Path | None,
) -> int:  # fmt: skip
    """Compare two cases, or two times of one: what changed for each kind of request, and where.

    The changes of the parts add up to the change of the whole. A time is ISO 8601 in UTC, or +SECONDS from the
    first call; with one case, give both windows.
    """
    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.comparison import compare
    from wiretrace.diagnosis.measured import Measured
    from wiretrace.diagnosis.observed import Observed

    if after is None and not (before_window and after_window):
        raise click.UsageError("give a second case, or --before-window and --after-window")
    objectives = None
    if slo_path is not None:
        from wiretrace.diagnosis.objectives import read_objectives

        objectives = read_objectives(slo_path)
    cases = [Case.open(before)]
    observed = [Observed(cases[0])]
    if after is not None:
        cases.append(Case.open(after))
        observed.append(Observed(cases[1]))
    sides = [
        Measured(one, *window_of(one.case, window))
        for one, window in zip([observed[0], observed[-1]], (before_window, after_window), strict=True)
    ]
    comparison = compare(*sides)
    verdicts = []
    if objectives is not None:
        from wiretrace.diagnosis.objectives import judge

        verdicts = judge(sides[1], objectives)
    if as_json:
        import msgspec

        document = msgspec.to_builtins(comparison) | ({"objectives": msgspec.to_builtins(verdicts)} if verdicts else {})
        click.echo(msgspec.json.encode(document))
    else:
        from wiretrace.cli.terminal.answer import print_verdicts
        from wiretrace.cli.terminal.changes import print_comparison
        from wiretrace.cli.terminal.console import output

        print_comparison(output(), comparison)
        if verdicts:
            print_verdicts(output(), verdicts)
    return 0 if all(each.met for each in verdicts) else 1


def window_of(case: Case, window: str | None) -> tuple[int | None, int | None]:
    """Beginning and end of a window in nanoseconds. Raises UsageError where it is none."""
    if window is None:
        return None, None
    begin, separator, end = window.partition("/")
    if not separator:
        raise UsageError(f"{window}: a window is FROM/TO, such as +0/+30 or 2026-11-21T02:00:00/2026-11-21T02:05:00")
    return _moment(case, begin), _moment(case, end)


def _moment(case: Case, text: str) -> int | None:
    if not text:
        return None
    if (offset := OFFSET.match(text)) is not None:
        import pyarrow.compute as pc

        first = pc.min(case.columns("calls", ["start_ns"]).column("start_ns")).as_py() or 0
        return int(first + float(offset[1]) * 1e9)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text}: not a time; give ISO 8601 in UTC, or +SECONDS from the first call") from None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return int(zoned.timestamp() * 1_000_000) * 1000
