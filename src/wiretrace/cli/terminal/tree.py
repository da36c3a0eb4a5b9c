"""Draws request trees: who caused whom, how long, when, how it ended, and how sure the link is.

A link that the wire states or proves has an unbroken branch, an inferred one a broken branch, a question a question
mark, and one to whoever put a message on a queue a double arrow: they differ without colour. A bar is solid where the call
is on the critical path by itself, and light where it waits for calls of its own, or nothing waits for it. Drawing is
iterative, and prefixes are bounded: a tree may be as deep as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.text import Text

from wiretrace.case.calls import CallRecord, plain_list
from wiretrace.case.forest import FOLLOWS, Forest
from wiretrace.cli.terminal.console import cell, print_line
from wiretrace.cli.terminal.text import counted, duration, percent, printable
from wiretrace.diagnosis.columns import party_names
from wiretrace.diagnosis.critical_path import own_stretches
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from rich.console import Console

DEEPEST_DRAWN = 8
"""Levels that are drawn with branches; deeper calls are drawn at this level, with the number of theirs."""
DURATION_WIDTH = 8
ENDING_WIDTH, SHORT_ENDING_WIDTH = 15, 8
SURE_WIDTH = 8
ID_WIDTH = 16
SELF_WIDTH = 13
WIDE_ENOUGH_FOR_ENDINGS = 80
"""Columns of a console that shows how calls ended in full: below that, names need the room."""
WIDE_ENOUGH_FOR_IDS = 110
"""Columns of a console that shows the ids of the calls, and the time that each took by itself."""
ON_PATH, BESIDE = "█", "▒"
"""What a bar is made of."""


@dataclass(slots=True)
class _Line:
    """One call in its place."""

    row: int
    branch: str
    """What is drawn before its name."""
    below: str
    """What is drawn before further lines about it."""


def draw_tree(
    console: Console,
    calls: pa.Table,
    *,
    most_lines: int = 0,
    marked: str = "",
    records: Mapping[str, CallRecord] | None = None,
) -> None:
    """Draw the tree whose calls are `calls`, rows of the table of that name.

    `most_lines` bounds the calls that are drawn (0: all), `marked` is the id of a call to point at, and `records` hold
    the evidence, which is then told below each call.
    """
    drawing = _Drawing(console, calls, marked)
    for drawn, line in enumerate(drawing.lines()):
        if most_lines and drawn == most_lines:
            print_line(console, Text(f"  … {counted(len(calls) - drawn, 'more call')}", style="dim"))
            break
        print_line(console, drawing.draw(line))
        if records is not None:
            for words in reasons(records[drawing.ids[line.row]]):
                indent = len(words) - len(words.lstrip()) + 2
                lines = wrap(printable(words), console.width - len(line.below), subsequent_indent=" " * indent)
                for piece in lines:
                    print_line(console, Text.assemble((line.below, "dim"), piece))


def reasons(record: CallRecord) -> Iterator[str]:
    """Why a call has its parent, in words: the evidence with its weight, and the runners-up."""
    if record.parent is None:
        if not record.alternatives:
            yield f"{record.id}: nothing captured caused it"
    else:
        share = percent if record.basis in ("stated", "measured") else inferred_share
        basis = "" if record.confidence is None else f", {share(record.confidence)}"
        if record.relation == FOLLOWS:
            yield f"{record.id}: took off what {record.parent} put on a queue ({record.basis}{basis})"
        else:
            yield f"{record.id}: caused by {record.parent} ({record.basis}{basis})"
    for other in record.also_follows:
        yield f"  and what {other.parent} put there, {percent(other.confidence)}"
    for item in record.evidence:
        yield f"  {item.kind} ({item.weight:+.1f}): {item.detail}"
    for other in record.alternatives:
        verb = "put there" if record.relation == FOLLOWS else "caused"
        caused = f"{verb} by {other.parent or 'nothing captured'}"
        yield f"  or {caused}, {percent(other.confidence)}"


def inferred_share(confidence: float) -> str:
    """The confidence of a link by judgement: never all, whatever its last digits are rounded to."""
    return percent(min(confidence, 0.999))


class _Drawing:
    """One tree on one console."""

    def __init__(self, console: Console, calls: pa.Table, marked: str) -> None:
        self._calls = calls
        self._forest = Forest.of(calls)
        self.ids: list[str] = plain_list(calls.column("id"))
        self._marked = marked
        self._start: list[int] = plain_list(calls.column("start_ns"))
        self._end: list[int] = plain_list(calls.column("end_ns"))
        self._operation = plain_list(calls.column("operation"))
        self._outcome = plain_list(calls.column("outcome"))
        self._status = plain_list(calls.column("status"))
        self._basis = plain_list(calls.column("basis"))
        self._relation = plain_list(calls.column("relation"))
        self._confidence = plain_list(calls.column("confidence"))
        self._question = plain_list(calls.column("question"))
        self._callee = party_names(calls, "server")
        self._first = min(self._start, default=0)
        self._span = max(max(self._end, default=0) - self._first, 1)
        self._ending_width = ENDING_WIDTH if console.width >= WIDE_ENOUGH_FOR_ENDINGS else SHORT_ENDING_WIDTH
        width = console.width - DURATION_WIDTH - self._ending_width - SURE_WIDTH - 4
        self._with_ids = console.width >= WIDE_ENOUGH_FOR_IDS
        self._self: list[int] = plain_list(calls.column("self_ns"))
        self._own: dict[int, list[tuple[int, int]]] = {}
        follows = [relation == FOLLOWS for relation in self._relation]
        for root in self._forest.roots:
            for row, begin, end in own_stretches(self._forest, self._start, self._end, follows, root):
                self._own.setdefault(row, []).append((begin, end))
        if self._with_ids:
            width -= ID_WIDTH + SELF_WIDTH + 2
        self._bar_width = max(min(width // 4, 40), 4)
        self._name_width = width - self._bar_width

    def lines(self) -> Iterator[_Line]:
        """The calls, parents before children, in order of their start."""
        stack = [(root, 0, "", True) for root in reversed(self._forest.roots)]
        while stack:
            row, depth, before, is_last = stack.pop()
            if depth == 0:
                branch, below = "", ""
            elif depth > DEEPEST_DRAWN:
                branch, below = f"{before}{self._arm(row, is_last)}{depth}: ", before
            else:
                branch, below = before + self._arm(row, is_last), before + ("   " if is_last else "│  ")
            children = self._forest.children(row)
            yield _Line(row, branch, below + ("│    " if children else "     "))
            stack.extend((child, depth + 1, below, position == 0) for position, child in enumerate(reversed(children)))

    def draw(self, line: _Line) -> Text:
        """One call as one line."""
        row = line.row
        failed = self._outcome[row] != Outcome.OK
        service = f" · {self._callee[row]}"
        service_width = min(len(service), max(self._name_width // 3, 8))
        branch = line.branch[-max(self._name_width - service_width - 8, 1) :]
        room = self._name_width - len(branch) - service_width
        name = Text.assemble(
            (branch, "dim"),
            _cut(self._operation[row] or "?", room, "bold" if failed else ""),
            cell(service, service_width, style="cyan"),
        )
        name.append(" " * (self._name_width - name.cell_len))
        if self.ids[row] == self._marked:
            name.stylize("reverse")
        parts = [
            name,
            cell(duration(self._end[row] - self._start[row]), DURATION_WIDTH, right=True),
            *self._by_itself(row),
            self._bar(row, failed),
            cell(self._ending(row), self._ending_width, style="red" if failed else "green"),
            cell(self._sure(row), SURE_WIDTH, right=True),
        ]
        if self._with_ids:
            parts.append(cell(self.ids[row], ID_WIDTH, style="dim"))
        return Text(" ").join(parts)

    def _arm(self, row: int, is_last: bool) -> str:
        corner = "└" if is_last else "├"
        if self._question[row]:
            return corner + "? "
        if self._relation[row] == FOLLOWS:
            return corner + "» "
        return corner + ("─ " if self._basis[row] in ("stated", "measured") else "╌ ")

    def _by_itself(self, row: int) -> list[Text]:
        """The time in which none of its own calls ran, where there is room and it has any."""
        if not self._with_ids:
            return []
        told = f"self {duration(self._self[row])}" if self._forest.children(row) else ""
        return [cell(told, SELF_WIDTH, right=True, style="dim")]

    def _bar(self, row: int, failed: bool) -> Text:
        begin, length = self._cells(self._start[row], self._end[row])
        cells = [BESIDE] * length
        for first, last in self._own.get(row, ()):
            at, many = self._cells(first, last)
            cells[at - begin : at - begin + many] = [ON_PATH] * many
        drawn = "".join(cells[:length]), "red" if failed else "blue"
        return Text.assemble(("·" * begin, "dim"), drawn, ("·" * (self._bar_width - begin - length), "dim"))

    def _cells(self, start: int, end: int) -> tuple[int, int]:
        """The first cell of a bar that a span of time fills, and how many."""
        begin = min((start - self._first) * self._bar_width // self._span, self._bar_width - 1)
        behind = -(-(end - self._first) * self._bar_width // self._span)
        return begin, min(max(behind - begin, 1), self._bar_width - begin)

    def _ending(self, row: int) -> str:
        outcome = self._outcome[row] or ""
        status = self._status[row] or ""
        if outcome == Outcome.OK:
            return status or "ok"
        if outcome in (Outcome.NOT_CAPTURED, Outcome.UNFINISHED):
            return f"? {outcome.replace('_', ' ')}"
        return f"✗ {status if outcome == Outcome.ERROR and status else outcome.replace('_', ' ')}"

    def _sure(self, row: int) -> str:
        basis = self._basis[row]
        if basis is None:
            return ""
        if basis in ("stated", "measured") and not self._question[row]:
            return str(basis)
        confidence = self._confidence[row]
        if confidence is None:
            return "?"
        share = inferred_share(confidence)
        return f"{'' if share[0] in '<>' else '≈'}{share}{'?' if self._question[row] else ''}"


def _cut(text: str, width: int, style: str) -> Text:
    """Text made harmless, cut to at most `width` columns."""
    shown = cell(text, max(width, 1), style=style)
    shown.rstrip()
    return shown
