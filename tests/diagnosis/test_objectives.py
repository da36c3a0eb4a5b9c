"""Objectives are read from a file, and judged."""

from pathlib import Path

import pytest
from tests.diagnosis.rules.scenarios import broken_by_database

from wiretrace.diagnosis.measured import Measured
from wiretrace.diagnosis.objectives import Objective, judge, read_objectives
from wiretrace.diagnosis.observed import Observed
from wiretrace.model.errors import UserError


def test_figures_are_compared_with_what_is_demanded() -> None:
    measured = Measured(Observed(broken_by_database().case()))
    verdicts = judge(measured, [Objective("GET /orders/{id}", "web", p95_ms=20, error_rate=0.01), Objective(p50_ms=5)])
    assert [(each.figure, each.met) for each in verdicts] == [("p95", True), ("error rate", False), ("p50", False)]


def test_what_is_not_asked_for_misses_nothing() -> None:
    measured = Measured(Observed(broken_by_database().case()))
    assert all(each.met for each in judge(measured, [Objective("GET /none", p99_ms=1, error_rate=0.0)]))


def test_a_file_of_objectives(tmp_path: Path) -> None:
    path = tmp_path / "slo.toml"
    path.write_text('[[objective]]\noperation = "GET /"\np95_ms = 300\n')
    assert read_objectives(path) == [Objective("GET /", p95_ms=300)]


@pytest.mark.parametrize(
    "text", ["", "[[objective]]\np96_ms = 1\n", "objective = 3", "\x00", "[[objective]]\np95_ms = 'x'"]
)
def test_what_is_no_file_of_objectives_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "slo.toml"
    path.write_text(text)
    with pytest.raises(UserError, match="not a file of objectives") as raised:
        read_objectives(path)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can not be read"):
        read_objectives(tmp_path / "none.toml")
