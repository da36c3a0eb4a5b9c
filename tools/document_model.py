"""Writes docs/limits.md and docs/notes-and-outcomes.md from the sentences of the model.

Run it after changing model/limits.py, note.py, outcome.py or analysis.py: `python tools/document_model.py`. A test holds
the pages against it.
"""

import ast
import dataclasses
import inspect
from enum import StrEnum
from pathlib import Path

from wiretrace.model.analysis import Payload
from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind
from wiretrace.model.outcome import Outcome

DOCS = Path(__file__).parent.parent / "docs"
LIMITS = """# Limits

Whatever a capture holds, memory and time stay bounded. Each bound has a name. Reaching one is never silent: the answer
then has a note of kind `limit_reached` that names it.

| limit | value | what it bounds, and what happens beyond it |
|---|---|---|
"""
NOTES = """# Notes and outcomes

Three words are never mixed. A **note** is what we could not see or read. An **outcome** is what happened to an exchange. A
**finding** is what we conclude from them.

## Notes

They stand in the table `notes` of a case, with how often and about what (a file, a protocol, a reason).

| note | meaning |
|---|---|
"""
OUTCOMES = """
## Outcomes

They stand in the column `outcome` of exchanges and calls. Where packets leave several causes open, the column `possible`
lists them all.

| outcome | meaning |
|---|---|
"""
PROOFS = """
### What proves an outcome, and what one side can not tell

The first question is always whether our own capture lost it. Every packet says how much its sender has received, so that an
acknowledgement of bytes that the capture lacks is proof of `not_captured`, and a packet that the client sends later is proof that it
has not got an answer. Packets that the capturing host says it dropped leave `not_captured` open. The packets that prove an outcome
stand in `outcome_frames` of the table `exchanges`, and `wiretrace show CASE ID` tells them in words.

| outcome | proof | what one capture leaves open |
|---|---|---|
| `request_lost` | The request was sent again, and never acknowledged; or the callee's host, capturing at that time, has no packet of it; or ICMP says that it did not get there. | At the caller, where nothing at all comes back: `response_lost`. At the callee there is nothing to see. |
| `response_lost` | The answer was sent, and a client that still sends never acknowledges it; or a bare acknowledgement of the server says that it has sent more than arrived. | At the callee, where nothing comes from the client any more: that it arrived. At the caller, where the server says nothing more: `request_lost`. |
| `server_silent` | The request is acknowledged. The client closed after its wait, and the server did nothing any more, for as long as the client had waited and for a second at least. | `client_timeout` and `client_aborted`: whether the server would ever have answered is in no packet. |
| `server_reset` | The server's end sent the first RST or FIN behind the request. Without a request: behind the handshake. | Nothing; a device between the two that resets connections looks the same. |
| `server_closed` | The server's end sent a FIN before, or in the middle of, its answer. | Nothing. |
| `client_aborted` | The client's end sent the first FIN or RST, and the server still did something afterwards: an answer, a FIN. | `client_timeout`, as long as the wait has not been seen again. After a RST also `server_silent`, and at the caller `response_lost`. |
| `client_timeout` | As above, after a wait that agrees within 2 % with those of at least two more calls of the same client to the same operation, and most waits of about that length agree. A busy client may notice up to 5 % late. | Where it is late: `client_aborted`. |
| `refused` | A RST that answers a SYN, or ICMP's port unreachable. | Nothing. |
| `unreachable` | SYNs without an answer, SYN-ACKs that are never acknowledged, or ICMP's network or host unreachable. | Which of both ways is broken, and whether the listen queue was full: the column `syns_repeated` of `connections` where the server's host was captured. |
| `tls_failed` | An alert, or a handshake that ended before it was over. | Nothing. |
| `dns_failed` | Every question of a resolution failed or was never answered. | Of an unanswered one at the end of the capture: `unfinished`. |
| `unfinished` | The connection is open when the capture ends. | All that may still come. |

With both ends captured what stays possible is what both leave open: the callee's own capture would have seen a request arrive and an
answer leave. An answer that the caller has, it has, whatever the callee's capture shows.

`make accuracy ACCURACY=faults` injects each of them between real processes and compares.

## Where the time went

`whole_ns` of a call is the sum of its parts, in the columns of the table `calls` that follow it. Where both ends were captured, the time
on the network is the caller's wait less the callee's: two durations, each by one clock, which need no comparison of clocks. Where they
were not, the way is in `server_ns`, and `network_measured` says so. What was lost and sent again, and what waited for a closed window,
is taken out of the parts that it lengthened. At a client the loss of the first packet of an answer can not be seen: there it is
the server's time.
"""
PAYLOAD = """
## Where every byte went

Every captured payload byte ends in one of these, and the sums are printed with every answer. A difference would be a defect
of wiretrace, and is printed as "unexplained".

| | bytes that |
|---|---|
"""
FOOT = "\nThis page is written by `tools/document_model.py`.\n"


def sentences(described: type) -> dict[str, str]:
    """The docstring behind each assignment in the body of a class, by the name that is assigned; '' where there is none."""
    (definition,) = ast.parse(inspect.getsource(described)).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, behind in zip(definition.body, [*definition.body[1:], None], strict=True):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                match behind:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        found[name] = inspect.cleandoc(text).replace("\n", " ")
                    case _:
                        found[name] = ""
    return found


def member_sentences(described: type[StrEnum]) -> dict[str, str]:
    """The docstring of each member of an enumeration, by its value."""
    behind = sentences(described)
    return {member.value: behind[member.name] for member in described}


def rows(table: dict[str, str]) -> str:
    """Rows of a table of two columns."""
    return "".join(f"| `{name}` | {sentence} |\n" for name, sentence in table.items())


def limits_page() -> str:
    """The page of limits."""
    text = sentences(Limits)
    values = {limit.name: limit.default for limit in dataclasses.fields(Limits)}
    return LIMITS + "".join(f"| `{name}` | {value:,} | {text[name]} |\n" for name, value in values.items()) + FOOT


def notes_page() -> str:
    """The page of notes and outcomes."""
    parts = [NOTES, rows({kind.value: kind.sentence for kind in NoteKind})]
    parts += [OUTCOMES, rows(member_sentences(Outcome)), PROOFS, PAYLOAD, rows(member_sentences(Payload))]
    return "".join(parts) + FOOT


if __name__ == "__main__":
    (DOCS / "limits.md").write_text(limits_page())
    (DOCS / "notes-and-outcomes.md").write_text(notes_page())
