"""Lines fit, cells have their width, and text is never read as markup."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from wiretrace.cli.terminal.console import NARROWEST, WIDEST, cell, output, print_line, print_paragraph


@given(text=st.text(), width=st.integers(1, 40), right=st.booleans())
def test_a_cell_has_exactly_its_width(text: str, width: int, right: bool) -> None:
    """Also with characters that take two columns or none."""
    made = cell(text, width, right=right)
    assert made.cell_len == width
    assert made.plain.isprintable()


@pytest.mark.parametrize(("columns", "used"), [("1", NARROWEST), ("100", 100), ("1000", WIDEST)])
def test_the_width_is_kept_within_reason(monkeypatch: pytest.MonkeyPatch, columns: str, used: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert output(io.StringIO()).width == used


@given(text=st.text(), indent=st.integers(0, 8))
def test_a_paragraph_is_wrapped_into_its_lines(text: str, indent: int) -> None:
    stream = io.StringIO()
    console = output(stream)
    print_paragraph(console, text, indent)
    lines = stream.getvalue().split("\n")
    assert all(line.isprintable() for line in lines)
    assert all(Text(line).cell_len <= console.width for line in lines)


def test_markup_is_shown_as_it_is() -> None:
    stream = io.StringIO()
    print_line(output(stream), Text("[bold]x[/] :smile:"))
    assert stream.getvalue() == "[bold]x[/] :smile:\n"
