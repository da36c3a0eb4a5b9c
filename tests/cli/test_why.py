"""`wiretrace why` says the answer first, with what it rests on and what was cleared; its objectives set the exit status."""

import json
from pathlib import Path

import msgspec
import pytest
from tests.diagnosis.rules.scenarios import broken_by_database, steady
from tests.support.command_line import invoke, run
from tests.support.system import System

from wiretrace.case.writer import CaseWriter
from wiretrace.diagnosis.diagnose import diagnose
from wiretrace.model.tables import TABLES


def written(path: Path, system: System) -> Path:
    """The case of a system with its diagnosis, as an analysis leaves it."""
    case = system.case()
    found = diagnose(case)
    with CaseWriter(path) as writer:
        for name in TABLES:
            writer.write_table(name, found[name] if name in found else case.table(name))
        writer.commit(case.manifest)
    return path


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("why") / "broken.case", broken_by_database())


def test_the_answer_comes_first_and_names_the_first_cause(broken: Path) -> None:
    lines = " ".join(invoke(["why", broken]).split())
    assert lines.startswith("Of 68 requests in 5.36 s, 8 failed (12%). SELECT orders (pg) fails with 57014")
    for heading in ("Findings, by impact", "Suspects", "What these captures do not show"):
        assert heading in lines
    assert "wiretrace explain first-cause" in lines
    assert f"wiretrace show {broken}" in lines


def test_the_json_holds_the_same(broken: Path) -> None:
    document = json.loads(invoke(["why", broken, "--json"]))
    assert document["schema"] == "wiretrace.why/1"
    assert (document["requests"], document["failed"]) == (68, 8)
    assert document["findings"][0]["code"] == "first-cause"
    assert "SELECT orders (pg)" in document["suspects"][0]["words"]


def test_a_system_that_is_well_is_told_to_be(tmp_path: Path) -> None:
    answer = invoke(["why", written(tmp_path / "a.case", steady())])
    assert "Nothing is wrong that these captures show." in " ".join(answer.split())


def test_a_case_without_calls_is_told_so(tmp_path: Path) -> None:
    assert "no request that could be read" in " ".join(invoke(["why", written(tmp_path / "a.case", System())]).split())


def test_a_missed_objective_is_exit_status_1(broken: Path, tmp_path: Path) -> None:
    path = tmp_path / "slo.toml"
    path.write_text("[[objective]]\nerror_rate = 0.01\np95_ms = 1000\n")
    done = run(["why", broken, "--slo", path])
    assert done.returncode == 1
    assert "MISSED: error rate of all requests is 12%, 1% demanded" in done.stdout
    path.write_text("[[objective]]\nerror_rate = 0.5\n")
    done = run(["why", broken, "--json", "--slo", path])
    assert done.returncode == 0
    assert msgspec.json.decode(done.stdout)["objectives"][0]["met"] is True
