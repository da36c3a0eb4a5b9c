"""``wiretrace capture``: record the packets of an interface to capture files, with the options that tcpdump's users know."""

import re
import sys
from pathlib import Path

import click

from wiretrace.model.errors import UserError

SIZE_UNIT = 1_000_000
"""tcpdump(8), -C: "The units of file_size are millions of bytes (1,000,000 bytes, not 1,048,576 bytes)"."""
SIZE_SUFFIXES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
"""tcpdump(8), -C: a suffix of k, m or g changes the unit to KiB, MiB or GiB."""
LONGEST_PACKET = 262_144
"""tcpdump's default snapshot length; 0 means the same."""


class FileSize(click.ParamType[int]):
    """A file size as tcpdump's -C takes it."""

    name = "size"

    def convert(self, value: str | int, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Return the size in bytes."""
        match = re.fullmatch(r"([1-9][0-9]{0,8})([kmg]?)", str(value).lower())
        if match is None:
            self.fail(
                f'"{value}" is not a size: give millions of bytes, or a number with k, m or g', parameter, context
            )
        return int(match[1]) * SIZE_SUFFIXES.get(match[2], SIZE_UNIT)


@click.command("capture", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-i", "interface", metavar="IFACE", required=True, help="Interface to record; any for all of them.")
@click.option("-f", "filter_text", metavar="FILTER", default="", help="What to record, in pcap-filter(7) words.")
@click.option(
    "-w", "file", metavar="FILE", required=True, help="File to write, - for standard output; never written over."
)
@click.option(
    "-s",
    "snapshot_length",
    metavar="BYTES",
    type=click.IntRange(0, LONGEST_PACKET),
    default=LONGEST_PACKET,
    show_default=True,
    help="Bytes kept of each packet; 0 for all.",
)
@click.option("-C", "file_bytes", type=FileSize(), help="Size of a file in millions of bytes, or with k, m or g.")
@click.option(
    "-G",
    "file_seconds",
    metavar="SECONDS",
    type=click.IntRange(min=1),
    help="Age of a file in seconds; FILE may hold strftime fields.",
)
@click.option(
    "-W",
    "files_kept",
    metavar="FILES",
    type=click.IntRange(min=1),
    help="Files kept; older ones of this run are deleted.",
)
@click.option("-c", "packets", metavar="COUNT", type=click.IntRange(min=1), help="Stop after this many packets.")
@click.option(
    "-B",
    "buffer_kib",
    metavar="KIB",
    type=click.IntRange(1, 2_000_000),
    default=16_384,
    show_default=True,
    help="Kernel buffer, KiB.",
)
@click.option("-p", "not_promiscuous", is_flag=True, help="Do not put the interface into promiscuous mode.")
@click.option("-n", "_names_unresolved", is_flag=True, help="Accepted for habit: names are never resolved.")
@click.option("-U", "flush_always", is_flag=True, help="Write packets to the file as they come, not once a second.")
@click.argument("expression", nargs=-1)
def command(
    interface: str,
    filter_text: str,
    file: str,
    snapshot_length: int,
    file_bytes: int | None,
    file_seconds: int | None,
    files_kept: int | None,
    packets: int | None,
    buffer_kib: int,
    not_promiscuous: bool,
    _names_unresolved: bool,
    flush_always: bool,
    expression: tuple[str, ...],
) -> None:
    """Record the packets of an interface until SIGINT, SIGTERM or COUNT.

    EXPRESSION says what to record, like -f. Time stamps are in nanoseconds. At the end the counts are printed as
    tcpdump prints them.
    """
    if filter_text and expression:
        raise click.UsageError("give the filter either with -f or at the end, not both")
    if files_kept is not None and file_bytes is None and file_seconds is None:
        raise click.UsageError("-W keeps a number of files: say with -C or -G when a new one begins")
    if file == "-" and (file_bytes is not None or file_seconds is not None):
        raise click.UsageError("standard output is one stream: -C and -G need a file name")
    _record(
        interface,
        filter_text or " ".join(expression),
        file,
        snapshot_length or LONGEST_PACKET,
        (file_bytes, file_seconds, files_kept),
        packets,
        buffer_kib << 10,
        not not_promiscuous,
        flush_always,
    )


def _record(
    interface: str,
    filter_text: str,
    file: str,
    snapshot_length: int,
    files: tuple[int | None, int | None, int | None],
    packets: int | None,
    buffer_bytes: int,
    promiscuous: bool,
    flush_always: bool,
) -> None:
    """Capture, and print the counts. Imported here, so that ``wiretrace --help`` loads no libpcap."""
    from wiretrace.capture.libpcap import LiveCapture
    from wiretrace.capture.recorder import KERNEL_HOLDS_MS, record
    from wiretrace.capture.rotation import STANDARD_OUTPUT, Rotation

    if file == STANDARD_OUTPUT and sys.stdout.isatty():
        raise click.UsageError("packets are binary: send standard output to a file or a pipe")
    if file != STANDARD_OUTPUT and not Path(file).parent.is_dir():
        raise UserError(f"can not write {file}: there is no directory {Path(file).parent}")
    with LiveCapture(interface, snapshot_length, buffer_bytes, promiscuous, KERNEL_HOLDS_MS) as capture:
        if filter_text:
            capture.set_filter(filter_text)
        if not capture.nanoseconds:
            click.echo(f"{interface} gives time stamps in microseconds only", err=True)
        summary = record(capture, Rotation(file, *files), packets, flush_always)
    click.echo(str(summary), err=True)
