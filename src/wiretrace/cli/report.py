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
@click.option(
    "--with-packets",
    is_flag=True,
    help="Put the packets that prove the findings into the page, as they were captured: not redacted.",
)
def command(case_path: Path, path: Path, before_path: Path | None, with_packets: bool) -> None:
    """Write a case as one self-contained HTML page.

    The page opens in any browser and needs no network. With --with-packets the captures are read again, where they were
    when they were analyzed.
    """
    from wiretrace.case.reader import Case
    from wiretrace.report import write_report

    before = None if before_path is None else Case.open(before_path)
    case = Case.open(case_path)
    packets = None
    if with_packets:
        from wiretrace.packets.extract import CapturePackets

        files: dict[str, list[tuple[Path, str]]] = {}
        for row in case.table("captures").select(["capture", "path", "sha256"]).to_pylist():
            files.setdefault(row["capture"], []).append((Path(row["path"]), row["sha256"]))
        packets = CapturePackets(files)
    write_report(case, path, before, packets)
