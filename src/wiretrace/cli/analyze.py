"""``wiretrace analyze``: captures in, the answer on the terminal, and a case, a report and JSON where they are wanted."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wiretrace.cli.terminal.streams import STANDARD_OUTPUT, result_stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wiretrace.case.reader import Case
    from wiretrace.model.settings import Settings

FILE = click.Path(path_type=Path, readable=False)
"""Whether it can be read is found out by reading it."""
CAPTURE = click.Path(readable=False, allow_dash=True)
"""Kept as a string: it may be a URL."""


@click.command("analyze")
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True, type=CAPTURE)
@click.option("-o", "case_path", metavar="CASE", type=FILE, help="Keep the case, a directory, under this name.")
@click.option("--html", "html_path", metavar="FILE", type=FILE, help="Write the report, one self-contained page.")
@click.option("--json", "json_path", metavar="FILE", type=FILE, help="Write the request trees as JSON; - for stdout.")
@click.option("--jsonl", "jsonl_path", metavar="FILE", type=FILE, help="Write one call a line as JSON; - for stdout.")
@click.option(
    "--names", "names_path", metavar="FILE", type=FILE, help="Names, owners and external marks of services (TOML)."
)
@click.option("--overwrite", is_flag=True, help="Replace the case that is there.")
@click.option("--keep-values", is_flag=True, help="Do not redact captured values; every output then holds secrets.")
@click.option(
    "--jobs", metavar="N", type=click.IntRange(min=1), help="Worker processes; as many as processors if not given."
)
def command(
    captures: tuple[str, ...],
    case_path: Path | None,
    html_path: Path | None,
    json_path: Path | None,
    jsonl_path: Path | None,
    names_path: Path | None,
    overwrite: bool,
    keep_values: bool,
    jobs: int | None,
) -> None:
    """Turn capture files into request trees, and say what is wrong.

    CAPTURE is a pcap or pcapng file, also compressed, a directory of them, a URL, or - for standard input.
    Files of several hosts are brought together. Without -o nothing is kept but what --html, --json and --jsonl
    write. With - for one of their files, the summary is left out.
    """
    to_stdout = [path for path in (json_path, jsonl_path) if path == STANDARD_OUTPUT]
    if len(to_stdout) > 1 or html_path == STANDARD_OUTPUT or case_path == STANDARD_OUTPUT:
        raise click.UsageError("only one of --json and --jsonl can be written to standard output")
    _check_outputs([path for path in (html_path, json_path, jsonl_path) if path and path != STANDARD_OUTPUT])
    from wiretrace.model.settings import Settings

    names = {}
    if names_path is not None:
        from wiretrace.hosts.names_file import read_names

        names = read_names(names_path)
    with _place_of_case(case_path, overwrite) as place:
        case = _analyze(captures, place, overwrite, Settings(keep_values=keep_values, jobs=jobs or 0, names=names))
        if html_path is not None:
            from wiretrace.report import write_report

            write_report(case, html_path)
        for path, format_name in ((json_path, "json"), (jsonl_path, "jsonl")):
            if path is not None:
                from wiretrace.export.registry import known_exporters

                with result_stream(path) as stream:
                    known_exporters()[format_name]().write(case, stream)
        if not to_stdout:
            from wiretrace.cli.terminal.console import output
            from wiretrace.cli.terminal.summary import print_summary

            print_summary(output(), case, kept=case_path is not None)


def _check_outputs(paths: Sequence[Path]) -> None:
    """Complain now, and not after all the work."""
    from wiretrace.case.files import check_file_target

    for path in paths:
        check_file_target(path)


@contextmanager
def _place_of_case(case_path: Path | None, overwrite: bool) -> Iterator[Path]:
    """Where the case is written: a place that is gone in the end where nobody gave a name."""
    from wiretrace.case.files import temporary_folder
    from wiretrace.case.writer import check_target

    if case_path is not None:
        check_target(case_path, overwrite)  # now, and not after all the work
        yield case_path
    else:
        with temporary_folder() as folder:
            yield folder / "case"


def _analyze(captures: tuple[str, ...], case_path: Path, overwrite: bool, settings: Settings) -> Case:
    """Run the pipeline, and open the case that it wrote."""
    from wiretrace.case.reader import Case
    from wiretrace.case.writer import CaseWriter
    from wiretrace.cli.terminal.progress import progress_on_terminal
    from wiretrace.packets.fetch import is_elsewhere
    from wiretrace.pipeline import analyze

    progress = progress_on_terminal()
    try:
        with CaseWriter(case_path, overwrite) as writer:
            given = [one if is_elsewhere(one) else Path(one) for one in captures]
            analyze(given, settings, progress, writer)
    finally:
        progress.finish()
    return Case.open(case_path)
