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
def command(case_path: Path, path: Path) -> None:
    """Write a case as one self-contained HTML page.

    The page opens in any browser and needs no network.
    """
    from wiretrace.case.reader import Case
    from wiretrace.report import write_report

    write_report(Case.open(case_path), path)
