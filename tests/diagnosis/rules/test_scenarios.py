"""Every rule finds what it is for, points at the right component, and keeps quiet where it comes near."""

from __future__ import annotations

import pytest
from tests.diagnosis.rules.scenarios import SCENARIOS, steady
from tests.support.examined import found

from wiretrace.diagnosis.diagnose import diagnose
from wiretrace.diagnosis.rules.registry import known_rules
from wiretrace.model.finding import Severity


def test_every_rule_has_a_scenario() -> None:
    assert set(SCENARIOS) == set(known_rules())


@pytest.mark.parametrize("code", sorted(SCENARIOS))
def test_the_rule_finds_what_it_is_for_and_where(code: str) -> None:
    findings = found(code, SCENARIOS[code].triggers())
    assert SCENARIOS[code].component in [finding.component for finding in findings]
    for finding in findings:
        assert finding.code == code
        assert finding.calls
        assert finding.title.endswith(".")
        assert finding.detail.endswith(".")


@pytest.mark.parametrize("code", sorted(SCENARIOS))
def test_the_rule_keeps_quiet_where_it_must(code: str) -> None:
    must_not = found(code, SCENARIOS[code].must_not())
    wrong = [finding for finding in must_not if finding.component == SCENARIOS[code].component]
    assert wrong == []


def test_a_steady_system_has_nothing_above_info() -> None:
    findings = diagnose(steady(200).case())["findings"].to_pylist()
    assert [row["title"] for row in findings if row["severity"] != Severity.INFO] == []


@pytest.mark.parametrize("code", sorted(known_rules()))
def test_every_rule_is_documented_in_full(code: str) -> None:
    page = known_rules()[code].page
    for part in (page.finds, page.matters, page.confirm, page.false_alarm):
        assert len(part) > 40
        assert part.endswith((".", "'."))
