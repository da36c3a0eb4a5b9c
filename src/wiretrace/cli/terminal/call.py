"""Tells all about one call, for `wiretrace show CASE ID`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.cli.terminal.console import print_paragraph
from wiretrace.cli.terminal.text import counted, duration, instant, size
from wiretrace.cli.terminal.tree import reasons

if TYPE_CHECKING:
    from rich.console import Console

    from wiretrace.case.calls import CallRecord, Part, Party
    from wiretrace.case.reader import Case

FRAMES_SHOWN = 12
"""Frame numbers of a part that are told; of more, the first and the last."""


def tell_call(console: Console, record: CallRecord, case: Case, with_reasons: bool) -> None:
    """Print what a call was, how it ended, where it was seen, and (`with_reasons`) why it has its parent."""
    print_paragraph(console, record.summary or record.operation, style="bold")
    ended = record.outcome.replace("_", " ")
    if record.status:
        ended += f", {record.status}"
    if record.possible:
        ended += " (possible: " + ", ".join(word.replace("_", " ") for word in record.possible) + ")"
    print_paragraph(console, f"{record.protocol}, {ended}, {duration(record.end_ns - record.start_ns)}", 2)
    print_paragraph(console, f"{_party(record.client)} asks {_party(record.server)}", 2)
    print_paragraph(console, f"call {record.id} of tree {record.tree}, {instant(record.start_ns)} UTC", 2)
    for view in record.views:
        print_paragraph(
            console,
            f"seen in {view.capture} ({view.role}): request {_part(view.request)}, response {_part(view.response)}",
            2,
        )
    for name, value in sorted(record.attributes.items()):
        print_paragraph(console, f"{name} = {value}", 2)
    if with_reasons:
        for words in reasons(record):
            print_paragraph(console, words.strip(), 2 + 2 * words.startswith(" "))
    if case.manifest.keeps_values:
        print_paragraph(console, "Captured values were kept readable (--keep-values).", 2)


def _party(party: Party) -> str:
    names = " on ".join(name for name in (party.service, party.host) if name)
    address = f"{party.address}:{party.port}" if ":" not in party.address else f"[{party.address}]:{party.port}"
    return f"{names} ({address})" if names else address


def _part(part: Part | None) -> str:
    if part is None:
        return "not captured"
    if len(part.frames) > FRAMES_SHOWN:
        frames = f"{counted(len(part.frames), 'frame')} {part.frames[0]} to {part.frames[-1]}"
    else:
        frames = f"frame{'s' * (len(part.frames) != 1)} {', '.join(map(str, part.frames))}"
    return f"{size(part.bytes)} in {frames}"
