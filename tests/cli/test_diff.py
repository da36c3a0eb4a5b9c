"""`wiretrace diff` tells what changed and where, also between two times of one case."""

import json
from pathlib import Path

import pytest
from tests.cli.test_why import written
from tests.diagnosis.rules.scenarios import broken_by_database, slow_instance_of_two, steady
from tests.support.command_line import invoke, run
from tests.support.system import System

from wiretrace.model.errors import UsageError


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("diff")
    return written(folder / "good.case", steady(60)), written(folder / "bad.case", broken_by_database(30))


def test_what_changed_is_told_first_and_where(cases: tuple[Path, Path]) -> None:
    text = " ".join(invoke(["diff", *cases]).split())
    assert text.startswith(
        "1 kind of request changed: GET /orders/{id} (web). Most of it: shop → pg: SELECT orders fails"
    )
    assert "errors 0% → 33%" in text


def test_the_same_case_has_not_changed(cases: tuple[Path, Path]) -> None:
    assert invoke(["diff", cases[0], cases[0]]).startswith("Nothing changed that is both large and no accident.")


def test_the_json_is_of_its_schema(cases: tuple[Path, Path]) -> None:
    document = json.loads(invoke(["diff", *cases, "--json"]))
    assert document["schema"] == "wiretrace.diff/1"
    assert document["operations"][0]["flagged"] == ["errors"]
    assert document["steps"][0]["operation"] == "SELECT orders"


def test_two_times_of_one_case_are_compared(tmp_path: Path) -> None:
    path = written(tmp_path / "a.case", slow_instance_of_two(every=2))
    windows = ["--before-window", "+0/+3s", "--after-window", "+3.1/"]
    text = " ".join(invoke(["diff", path, *windows]).split())
    assert "Most of it: web → shop: GET /orders/{id} costs a request +" in text
    assert "server" in text


def test_of_thousands_of_operations_the_first_are_told_and_the_others_counted(tmp_path: Path) -> None:
    """Both of what changed and of what did not; the document tells all."""
    paths = []
    for name, first in (("before", 0), ("after", 30)):
        system = System()
        for number in range(60):
            for again in range(10):
                system.call(None, ("client", "web1"), f"GET /{first + number}", number * 50.0 + again, 10)
        paths.append(written(tmp_path / f"{name}.case", system))
    text = invoke(["diff", *paths])
    assert "… 40 more changed: --json tells all" in text
    assert "… 18 more did not change by much: --json tells all" in text
    assert text.count(" requests") == 20 + 12
    assert len(json.loads(invoke(["diff", *paths, "--json"]))["operations"]) == 90


@pytest.mark.parametrize("window", ["+1", "a/b", "+1/c"])
def test_a_window_that_is_none_is_told(cases: tuple[Path, Path], window: str) -> None:
    with pytest.raises(UsageError, match=r"FROM/TO|not a time"):
        invoke(["diff", *cases, "--before-window", window])


def test_one_case_needs_two_windows(cases: tuple[Path, Path]) -> None:
    done = run(["diff", cases[0]])
    assert done.returncode == 2
    assert "give a second case" in done.stderr


def test_objectives_judge_the_second_case(cases: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "slo.toml"
    path.write_text("[[objective]]\nerror_rate = 0.01\n")
    assert run(["diff", *cases, "--slo", path]).returncode == 1
    assert run(["diff", *reversed(cases), "--slo", path]).returncode == 0
