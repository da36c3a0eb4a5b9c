"""``wiretrace report``: a case as one self-contained HTML file."""

from pathlib import Path

import click


@click.command("report")
@click.argument("case_path", metavar="CASE", type=click.Path(path_type=Path, readable=False))
@click.option(
    "-o",
    "path",
    metavar="FILE",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    help="File to write, an HTML page.",
)
@click.option(
    "--compare",
    "before_path",
    metavar="CASE",
    type=click.Path(path_type=Path, readable=False),
    help="Another case, from before a change: the page says what differs.",
)
def command(case_path: Path, path: Path, before_path: Path | None) -> None:
    """Write a case as one self-contained HTML page.

    The page opens in any browser and needs no network.
    """
    from wiretrace.case.reader import Case
    from wiretrace.report import write_report

    before = None if before_path is None else Case.open(before_path)
    write_report(Case.open(case_path), path, before)
