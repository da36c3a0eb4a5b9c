"""``wiretrace export``: a case in the format of another tool."""

import sys
from pathlib import Path

import click

from wiretrace.cli.terminal.streams import STANDARD_OUTPUT, result_stream
from wiretrace.cli.terminal.text import printable
from wiretrace.model.errors import UserError


def _list_formats(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the formats and end, where --list is given."""
    if not wanted or context.resilient_parsing:
        return
    from wiretrace.export.registry import known_exporters

    for name, exporter in known_exporters().items():
        click.echo(f"{name:<12}{exporter.sentence}")
    context.exit()


@click.command("export")
@click.argument("case_path", metavar="CASE", type=click.Path(path_type=Path, readable=False))
@click.option("--format", "format_name", metavar="FORMAT", required=True, help="Format to write; --list names them.")
@click.option(
    "-o",
    "path",
    metavar="FILE",
    type=click.Path(path_type=Path, readable=False),
    default=STANDARD_OUTPUT,
    help="File to write; standard output if not given.",
)
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list_formats, help="List the formats and exit."
)
def command(case_path: Path, format_name: str, path: Path) -> None:
    """Write a case in the format of another tool."""
    from wiretrace.case.reader import Case
    from wiretrace.export.registry import known_exporters

    exporter = known_exporters().get(format_name)
    if exporter is None:
        raise click.UsageError(f"there is no format {printable(format_name)}; there are {', '.join(known_exporters())}")
    if not exporter.is_text and path == STANDARD_OUTPUT and sys.stdout.isatty():
        raise UserError(f"{format_name} is not for a terminal; give -o FILE")
    case = Case.open(case_path)
    if case.manifest.keeps_values:
        click.echo("wiretrace: captured values were kept readable in this case (--keep-values)", err=True)
    with result_stream(path) as stream:
        exporter().write(case, stream)
