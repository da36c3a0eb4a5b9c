"""Rows of observed calls, and the command that links them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from wiretrace.cli.link import command
from wiretrace.linking.rows import problem_of, read_rows
from wiretrace.model.errors import UserError

ROOT = {
    "id": "a",
    "operation": "GET /",
    "caller": "client",
    "callee": "web",
    "callee_start_ns": 0,
    "callee_end_ns": 9000,
}
CHILD = {
    "id": "b",
    "operation": "GET",
    "caller": "web",
    "callee": "cache",
    "caller_start_ns": 1000,
    "caller_end_ns": 5000,
}


def _lines(*rows: dict) -> list[bytes]:
    return [json.dumps(row).encode() for row in rows]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"{", "line 2"),
        (b'{"id": "x"}', "operation"),
        (b'{"id": 1.5, "operation": "GET"}', "id"),
        (json.dumps({**CHILD, "caller_start_ns": None}).encode(), "caller_end_ns without caller_start_ns"),
        (json.dumps({**CHILD, "caller_end_ns": 0}).encode(), "caller_end_ns is before caller_start_ns"),
        (json.dumps({**CHILD, "caller_start_ns": 2**62 + 1}).encode(), "nanoseconds since the epoch"),
        (b'{"id": "x", "operation": "GET"}', "neither caller_start_ns nor callee_start_ns"),
        (json.dumps({**CHILD, "id": "a"}).encode(), "a call with this id came before"),
        (b'{"id": "\xff", "operation": "GET", "caller_start_ns": 1}', "line 2"),
        (b"[" * 100_000, "line 2"),
    ],
)
def test_a_row_that_is_no_call_is_named_by_its_line(row: bytes, reason: str) -> None:
    """Every bad row gives one line that says where and why."""
    with pytest.raises(UserError) as raised:
        read_rows([*_lines(ROOT), row])
    assert "line 2" in str(raised.value)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_instances_without_a_service_borrow_it_from_other_rows() -> None:
    """A service that one row names for an instance holds for all rows of that instance."""
    rows = read_rows(_lines({**ROOT, "callee_service": "shop"}, CHILD))
    problem, _ = problem_of(rows)
    assert problem.service_names[problem.caller_service[1]] == "shop"


def test_the_command_prints_a_line_for_each_row_in_their_order(tmp_path) -> None:
    """Two calls, child first: the child has the root as parent, the root has none."""
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"\n".join(_lines(CHILD, ROOT)))
    result = CliRunner().invoke(command, [str(path)])
    assert result.exit_code == 0
    child, root = (json.loads(line) for line in result.output.splitlines())
    assert (child["id"], child["parent"], root["id"], root["parent"]) == ("b", "a", "a", None)
    assert child["confidence"] > 0.9
    assert child["evidence"][0]["kind"] == "timing"
    assert set(child) == {"id", "parent", "confidence", "alternatives", "evidence"}


def test_the_command_names_the_file_and_the_line_of_a_bad_row(tmp_path) -> None:
    """The error is for the user: no traceback, the file and the line."""
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"nonsense\n")
    result = CliRunner().invoke(command, [str(path)])
    assert isinstance(result.exception, UserError)
    assert "calls.jsonl: line 1" in str(result.exception)


def test_an_empty_file_has_no_links(tmp_path) -> None:
    """No rows, no lines, no error."""
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"\n")
    result = CliRunner().invoke(command, [str(path)])
    assert (result.exit_code, result.output) == (0, "")
