"""A tree of any shape is drawn within the width, without recursion."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from tests.support.cases import CaseBuilder

from wiretrace.cli.terminal.console import output
from wiretrace.cli.terminal.tree import draw_tree

PARTY = ("10.0.0.1", 80, None, "a")


def drawn(
    parents: list[int | None],
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
    operation: str = "GET",
    relation: str = "child",
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    builder = CaseBuilder()
    rows: list[dict] = []
    for number, parent in enumerate(parents):
        above = None if parent is None else rows[parent]
        rows.append(builder.call(above, "http", operation, "", PARTY, PARTY, number * 1000, 5000, relation=relation))
    stream = io.StringIO()
    draw_tree(output(stream), builder.analysis().tables["calls"])
    return stream.getvalue().splitlines()


@settings(max_examples=40, deadline=None)
@given(data=st.data(), columns=st.integers(1, 170), operation=st.text(max_size=60))
def test_every_call_is_one_line_that_fits(data: st.DataObject, columns: int, operation: str) -> None:
    count = data.draw(st.integers(1, 30))
    parents = [None, *(data.draw(st.integers(0, row - 1)) for row in range(1, count))]
    with pytest.MonkeyPatch.context() as monkeypatch:
        lines = drawn(parents, columns, monkeypatch, operation)
    assert len(lines) == count
    assert all(line.isprintable() for line in lines)
    assert max(map(cell_len, lines)) <= min(max(columns, 40), 160)


def test_a_tree_deeper_than_the_stack_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn([None, *range(1999)], 80, monkeypatch)
    assert len(lines) == 2000
    assert "1999: GET" in lines[-1]


def test_bars_show_when_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn([None, *[0] * 20], 80, monkeypatch)
    begins = [min(line.find(cell) % 1000 for cell in "█▒") for line in lines]
    assert begins == sorted(begins)
    assert begins[0] < begins[-1]


def test_only_what_is_beside_the_point_is_dimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and bars stand out from the lines to them; with NO_COLOR nothing has a colour."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    line = drawn([None, 0], 80, monkeypatch)[1]
    assert "\x1b[2m└╌ \x1b[0mGET" in line
    assert "\x1b[36m · a" in line
    assert "\x1b[34m" in line
    assert "\x1b[2;3" not in line
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in "".join(drawn([None, 0], 80, monkeypatch))


def test_a_narrow_terminal_leaves_names_more_room_than_endings(monkeypatch: pytest.MonkeyPatch) -> None:
    line = drawn([None, 0, 1, 2], 60, monkeypatch, operation="GET /a")[3]
    assert line.startswith("      └╌ GET /a")


def test_what_follows_is_told_apart_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn([None, 0], 80, monkeypatch, relation="follows")[1].startswith("└» GET")
    assert drawn([None, 0], 80, monkeypatch)[1].startswith("└╌ GET")


def test_solid_bars_are_the_critical_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The root waits for its first child, then for the second, which is told where the bars of both are solid."""
    monkeypatch.setenv("COLUMNS", "150")
    builder = CaseBuilder()
    root = builder.call(None, "http", "GET", "", PARTY, PARTY, 0, 100_000)
    builder.call(root, "http", "first", "", PARTY, PARTY, 0, 50_000)
    builder.call(root, "http", "second", "", PARTY, PARTY, 50_000, 50_000)
    builder.call(root, "http", "beside", "", PARTY, PARTY, 10_000, 30_000)
    stream = io.StringIO()
    draw_tree(output(stream), builder.analysis().tables["calls"])
    bars = ["".join(cell for cell in line if cell in "█▒") for line in stream.getvalue().splitlines()]
    assert [set(bar) for bar in bars] == [{"▒"}, {"█"}, {"▒"}, {"█"}]
    assert "self" in stream.getvalue().splitlines()[0]
