"""Tells all about one call, for `wiretrace show CASE ID`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.cli.terminal.console import print_paragraph
from wiretrace.cli.terminal.text import counted, duration, instant, size
from wiretrace.cli.terminal.tree import reasons

if TYPE_CHECKING:
    from rich.console import Console

    from wiretrace.case.calls import CallRecord, Part, Party, Phases
    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.proof import Words

FRAMES_SHOWN = 12
"""Frame numbers of a part that are told; of more, the first and the last."""


PHASES = {
    "lookup_ns": "looking up the name",
    "connect_ns": "connecting",
    "tls_ns": "TLS handshake",
    "request_ns": "sending the request",
    "queued_ns": "queueing behind earlier requests",
    "network_ns": "network",
    "server_ns": "server",
    "response_ns": "receiving the response",
    "retransmission_ns": "waiting for lost packets to be sent again",
    "zero_window_ns": "waiting for a receiver that took no more",
}
"""Columns of the parts of a call's time, in words."""
LEAST_SHARE = 0.005
"""Parts of less than this share of the time are not told, ..."""
LEAST_NS = 100_000
"""... unless they take so long."""


def tell_call(console: Console, record: CallRecord, case: Case, with_reasons: bool, words: Words | None = None) -> None:
    """Print what a call was, how it ended, where it was seen, and (`with_reasons`) why it has its parent.

    `words` say why its outcome is what it is.
    """
    print_paragraph(console, record.summary or record.operation, style="bold")
    ended = record.outcome.replace("_", " ")
    if record.status:
        ended += f", {record.status}"
    if record.possible:
        ended += " (possible: " + ", ".join(word.replace("_", " ") for word in record.possible) + ")"
    print_paragraph(console, f"{record.protocol}, {ended}, {duration(record.end_ns - record.start_ns)}", 2)
    if words is not None:
        for sentence in filter(None, (*words.sentences, words.open)):
            print_paragraph(console, sentence, 2)
    print_paragraph(console, time_spent(record.phases, answered=any(view.response for view in record.views)), 2)
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
        for reason in reasons(record):
            print_paragraph(console, reason.strip(), 2 + 2 * reason.startswith(" "))
    if case.manifest.keeps_values:
        print_paragraph(console, "Captured values were kept readable (--keep-values).", 2)


def time_spent(phases: Phases, *, answered: bool) -> str:
    """Where the time went, the longest part first."""
    whole = phases.whole_ns
    parts = [(getattr(phases, name), words) for name, words in PHASES.items()]
    told = [each for each in parts if each[0] >= LEAST_NS or each[0] > LEAST_SHARE * whole]
    if not phases.network_measured:
        both = "server and network" if answered else "waiting for an answer"
        told = [(length, both if words == PHASES["server_ns"] else words) for length, words in told]
    if not told:
        return f"time: {duration(whole)}"
    told.sort(key=lambda each: -each[0])
    spent = ", ".join(f"{duration(length)} {words}" for length, words in told)
    # lookup, connect and TLS come before the call: what is left of the rest ran without calls of its own.
    lasted = whole - phases.lookup_ns - phases.connect_ns - phases.tls_ns
    alone = f"; {duration(phases.self_ns)} of it without any call of its own" if phases.self_ns < lasted else ""
    return f"time: {spent}{alone}"


def _party(party: Party) -> str:
    names = " on ".join(name for name in (party.service, party.host) if name)
    address = f"{party.address}:{party.port}" if ":" not in party.address else f"[{party.address}]:{party.port}"
    return f"{names} ({address})" if names else address


def _part(part: Part | None) -> str:
    if part is None:
        return "not captured"
    if not part.bytes:
        return "empty"
    if len(part.frames) > FRAMES_SHOWN:
        frames = f"{counted(len(part.frames), 'frame')} {part.frames[0]} to {part.frames[-1]}"
    else:
        frames = f"frame{'s' * (len(part.frames) != 1)} {', '.join(map(str, part.frames))}"
    return f"{size(part.bytes)} in {frames}"
